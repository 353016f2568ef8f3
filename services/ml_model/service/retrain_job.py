"""The job `retrain`: a challenger from stored and new rows, compared with what serves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from jobkit.job import Job
from jobkit.service.job_runs import JobRuns
from ml_model.champion_comparison import MEASURES, Comparison, judged
from ml_model.domain import CURRENT_SLOT
from ml_model.errors import CanaryRuns, ChampionChanged, TrainingFailed
from ml_model.evaluation_metrics import regression_metrics
from ml_model.ledger_entries import Configuration, NamedVersion
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.sets import SqlSets
from ml_model.repository.training_rows import SqlTrainingRows, TrainingRow
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.model_terms import as_number, class_text, columns_for
from ml_model.service.online_training import OnlineTraining, dataset_columns
from ml_model.service.serving_models import ServingModels
from ml_model.service.slots import SlotService
from ml_model.service.version_training import LabelledRows, Plan, Source, VersionTraining, labelled
from modelkit.errors import ModelNotFound
from modelkit.features import has_text, json_rows, rows_of, typed_frame
from modelkit.holding_back import evenly_chosen, strata_of
from modelkit.input_rows import InvalidRows
from modelkit.registry import get_entry
from modelkit.servable import Rows, ServableModel
from schema.fit_rows import FitRows
from schema.sets import Dataset, SetChanged, due_call
from servicekit.database import Database

DEFAULT_MODELS = {"classification": "RandomForest", "regression": "RandomForestRegressor"}
"""By task, where what serves has no model of ours that predicts what the dataset's target is."""

HELD_BACK_EVERY = 5
"""Of the rows that come in online, one in so many is never trained on: it is for comparing."""

COMPARED_MAX_ROWS = 100_000
"""Rows of a testing set that are compared on at most; of a longer one a sample."""

ACTOR = "retraining"


@dataclass(frozen=True)
class Champion:
    """What serves when a retraining begins; both None where nothing serves."""

    version: NamedVersion | None
    configuration: Configuration | None


class RetrainJob:
    """Retrains what serves, and puts the challenger into `next` if it is not worse."""

    def __init__(
        self,
        database: Database,
        runs: JobRuns,
        sets: SqlSets,
        ledger: SqlLedger,
        rows: SqlTrainingRows,
        loading: DatasetLoading,
        training: VersionTraining,
        serving: ServingModels,
        slots: SlotService,
        online: OnlineTraining,
        fit_max_rows: int,
    ) -> None:
        self._database = database
        self._runs = runs
        self._sets = sets
        self._ledger = ledger
        self._rows = rows
        self._loading = loading
        self._training = training
        self._serving = serving
        self._slots = slots
        self._online = online
        self._fit_max_rows = fit_max_rows

    def work_on(self, job: Job, request: Mapping[str, Any]) -> None:
        """Train, compare, deploy, and end the job with both scores.

        The challenger is fitted to the stored training set and the rows that came in online,
        except every `HELD_BACK_EVERY`-th of these. Both are scored on the testing set and on
        those held back; of a long training or testing set a sample is taken. A challenger in
        `next` answers nobody until somebody gives it a share.

        Raises
        ------
        ModelOfAnotherTask
        TrainingFailed
            Also where training and testing set were cut with different seeds.
        JobGivenUp, SetChanged, DatasetNotFound, ModelStoreUnavailable, MlflowUnavailable
        """
        self._runs.report(job, 0.05, "reads the rows")
        name = request["dataset_name"]
        dataset, fit_rows, testing, new = self._read(name)
        stored = labelled(fit_rows.rows, dataset.target.name)
        new_rows = _as_rows(new, dataset)
        kept = held_back_places(new)
        held_back = testing.followed_by(new_rows.chosen(kept))
        to_fit = stored.followed_by(new_rows.chosen([not held for held in kept]))
        plan = self._plan(dataset, self._champion(), to_fit, held_back)
        if fit_rows.sampled:
            plan = replace(plan, drawn_from=fit_rows.rows_in_set + len(new_rows))
        version, facts = self._training.train(job, plan)
        outcome = self._compare(job, version.id, held_back, dataset)
        self._runs.succeed(
            job,
            outcome.verdict,
            {
                **facts,
                "model_version_id": version.id,
                "dataset_name": dataset.name,
                "dataset_version": dataset.version,
                "model_name": plan.model_name,
                "promoted": outcome.promoted,
                "verdict": outcome.verdict,
                **outcome.scores(),
                "champion": outcome.champion and outcome.champion.model_uri,
                "compared_rows": len(held_back),
                "stored_rows": len(stored),
                "rows_in_set": fit_rows.rows_in_set,
                "notes": fit_rows.notes,
                "new_rows": len(new_rows),
                "new_rows_held_back": sum(kept),
            },
            then=lambda: self._online.begin_next(dataset),
        )

    def _compare(
        self, job: Job, challenger_id: int, held_back: LabelledRows, dataset: Dataset
    ) -> Comparison:
        """Compare with what serves now, which may be another version than when training began,
        and put the challenger into `next` if it is not worse.
        """
        challenger_score = self._score(challenger_id, held_back, dataset)
        while True:
            champion = self._champion().version
            champion_score = None
            if champion is not None:
                self._runs.report(job, 0.95, "compares with what serves")
                champion_score = self._score(champion.id, held_back, dataset)
            promoted, verdict = judged(
                champion, champion_score, challenger_score, MEASURES[dataset.task]
            )
            if promoted:
                reason = f"retraining, job {job.id}: {verdict}"
                champion_id = None if champion is None else champion.id
                try:
                    self._slots.put_challenger(challenger_id, champion_id, reason, ACTOR)
                except ChampionChanged:
                    continue
                except CanaryRuns:
                    promoted, verdict = False, f"a canary runs, which goes first; {verdict}"
            return Comparison(
                promoted,
                verdict,
                champion,
                champion_score,
                challenger_score,
                MEASURES[dataset.task],
            )

    def _read(self, name: str) -> tuple[Dataset, FitRows, LabelledRows, list[TrainingRow]]:
        training = self._loading.ensure("training", name)
        testing = self._loading.ensure("testing", name)
        with self._database.transaction():
            stored = self._sets.read_fit_rows(training, self._fit_max_rows)
            held_out = self._sets.read_fit_rows(testing, min(self._fit_max_rows, COMPARED_MAX_ROWS))
            new = self._rows.taken(name)
        if stored is None or held_out is None:
            raise SetChanged()
        if training.cut != testing.cut:
            what = "seed" if training.split == testing.split else "split"
            own, other = getattr(training, what), getattr(testing, what)
            raise TrainingFailed(
                f"The training set of {name} was cut with the {what} {own}, the testing set"
                f" with {other}, so that the same rows can be in both. Load both with one:"
                f" {due_call('testing', name, training.seed, training.split)}."
            )
        dataset = training.dataset
        target = dataset.target.name
        width = len(dataset.features)
        # Rows of another version of the dataset may have other columns, and classes for numbers.
        fitting = [
            row
            for row in new
            if len(row.features) == width
            and (dataset.task != "regression" or as_number(row.target) is not None)
        ]
        return dataset, stored, labelled(held_out.rows, target), fitting

    def _champion(self) -> Champion:
        with self._database.transaction():
            version_id = self._ledger.serving().current_version_id
            if version_id is None:
                return Champion(None, self._configuration_that_is_set())
            return Champion(
                self._ledger.names_of([version_id])[version_id],
                self._ledger.configuration_of(version_id),
            )

    def _fits(self, version: NamedVersion, dataset: Dataset) -> bool:
        """Tell whether a version takes the columns of a dataset and predicts what it is about."""
        model = self._serving.load(version.id)
        return model.task == dataset.task and columns_for(model, dataset.feature_names) is not None

    def _configuration_that_is_set(self) -> Configuration | None:
        found = self._ledger.find_newest(CURRENT_SLOT)
        if found is None:
            return None
        return Configuration(found.model_name, found.hyperparameters, found.source_run_id)

    def _plan(
        self, dataset: Dataset, champion: Champion, rows: LabelledRows, held_back: LabelledRows
    ) -> Plan:
        configuration, version = champion.configuration, champion.version
        model_name, hyperparameters = DEFAULT_MODELS[dataset.task], {}
        foreign = version is not None and not self._fits(version, dataset)
        if (
            not foreign
            and configuration is not None
            and _task_of(configuration.model_name) == dataset.task
        ):
            model_name = configuration.model_name
            hyperparameters = dict(configuration.hyperparameters)
        registered_name = model_name
        if foreign:
            # The newest version of what serves stays one that takes the same columns.
            registered_name = f"{dataset.name}-{model_name}"
        elif version is not None and version.version > 0:
            registered_name = version.registered_name
        return Plan(
            model_name=model_name,
            hyperparameters=hyperparameters,
            registered_name=registered_name,
            rows=rows,
            held_back=held_back.chosen(evenly_chosen(strata_of(held_back.labels, dataset.task))),
            source=Source(
                target_name=dataset.target.name,
                classes=dataset.classes,
                class_names=dataset.class_names,
                dataset_id=dataset.id,
                dataset_name=dataset.name,
                dataset_version=dataset.version,
            ),
        )

    def _score(self, version_id: int, rows: LabelledRows, dataset: Dataset) -> float | None:
        """Return a version's score as it serves, see `MEASURES`; None where columns, classes or the
        task are others, or the error is too large for a number.
        """
        model = self._serving.load(version_id)
        taken = _rows_for(model, rows.features)
        if taken is None or model.task != dataset.task:
            return None
        if dataset.task == "regression":
            found = model.predict(taken).labels
            return regression_metrics(rows.labels, found)[0].get(MEASURES[dataset.task].name)
        truth = [class_text(model, label, dataset) for label in rows.labels]
        if not set(truth) & {str(label) for label in model.classes}:
            # Its classes are others altogether: 0 % would say that it errs.
            return None
        found = model.predict(taken).labels
        right = [str(a) == b for a, b in zip(found, truth, strict=True)]
        return sum(right) / len(right)


def _rows_for(model: ServableModel, features: pd.DataFrame) -> Rows | None:
    """Return the rows as a model takes them; None where it takes others."""
    columns = columns_for(model, list(features.columns))
    if columns is None:
        return None
    chosen = features[columns]
    if model.numeric and not has_text(chosen):
        return rows_of(chosen)
    try:
        return model.rows_from_lists(json_rows(chosen))
    except InvalidRows:
        return None


def _task_of(model_name: str) -> str | None:
    """Return what a model of ours predicts, None for any other model."""
    try:
        return get_entry(model_name).task
    except ModelNotFound:
        return None


def held_back_places(rows: Sequence[TrainingRow]) -> list[bool]:
    """Tell of each row of a dataset, in the order they came, whether it is held back for comparing.

    Every `HELD_BACK_EVERY`-th different row is, and the same row sent twice is on one side only.
    Rows that come later change nothing for those before.
    """
    known: dict[str, bool] = {}
    for row in rows:
        key = json.dumps([list(row.features), row.target])
        known.setdefault(key, len(known) % HELD_BACK_EVERY == HELD_BACK_EVERY - 1)
    return [known[json.dumps([list(row.features), row.target])] for row in rows]


def _as_rows(rows: Sequence[TrainingRow], dataset: Dataset) -> LabelledRows:
    features = typed_frame([row.features for row in rows], dataset_columns(dataset))
    return LabelledRows(features, [row.target for row in rows])
