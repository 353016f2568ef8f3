"""The job `retrain`: a challenger from stored and new rows, compared with what serves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ml_model.background_job import Job
from ml_model.domain import CURRENT_SLOT
from ml_model.ledger_entries import Configuration, NamedVersion
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.sets import SqlSets
from ml_model.repository.training_rows import SqlTrainingRows, TrainingRow
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.job_runs import JobRuns
from ml_model.service.serving_models import ServingModels
from ml_model.service.slots import SlotService
from ml_model.service.version_training import LabelledRows, Plan, Source, VersionTraining, labelled
from modelkit.errors import ModelNotFound
from modelkit.holding_back import evenly_chosen
from modelkit.registry import get_entry
from schema.sets import Dataset, SetChanged
from servicekit.database import Database

DEFAULT_MODEL = "RandomForest"
HELD_BACK_EVERY = 5
"""Of the rows that come in online, one in so many is never trained on: it is for comparing."""

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

    def work_on(self, job: Job, request: Mapping[str, Any]) -> None:
        """Train, compare, deploy, and end the job with both scores.

        The challenger is fitted to the stored training set and the rows that came in online,
        except every `HELD_BACK_EVERY`-th of these. Both are scored on the testing set and on
        those held back.

        Raises
        ------
        TrainingFailed, JobGivenUp, SetChanged, DatasetNotFound, ModelStoreUnavailable,
        MlflowUnavailable
        """
        self._runs.report(job, 0.05, "reads the rows")
        name = request["dataset_name"]
        dataset, stored, testing, new = self._read(name)
        new_rows = _as_rows(new, dataset)
        kept = [row.id % HELD_BACK_EVERY == 0 for row in new]
        held_back = testing.followed_by(new_rows.chosen(kept))
        to_fit = stored.followed_by(new_rows.chosen([not held for held in kept]))
        champion = self._champion()
        plan = self._plan(dataset, champion, to_fit, held_back)
        version, facts = self._training.train(job, plan)
        challenger_score = self._score(version.id, held_back)
        champion_score = None
        if champion.version is not None:
            self._runs.report(job, 0.95, "compares with what serves")
            champion_score = self._score(champion.version.id, held_back)
        promoted, verdict = _judged(champion.version, champion_score, challenger_score)
        if promoted:
            self._slots.put_next(version.id, f"retraining, job {job.id}: {verdict}", ACTOR)
        self._runs.succeed(
            job,
            verdict,
            {
                **facts,
                "model_version_id": version.id,
                "dataset_name": dataset.name,
                "dataset_version": dataset.version,
                "model_name": plan.model_name,
                "promoted": promoted,
                "verdict": verdict,
                "challenger_accuracy": challenger_score,
                "champion_accuracy": champion_score,
                "champion": champion.version and champion.version.model_uri,
                "compared_rows": len(held_back),
                "stored_rows": len(stored),
                "new_rows": len(new_rows),
                "new_rows_held_back": sum(kept),
            },
        )

    def _read(self, name: str) -> tuple[Dataset, LabelledRows, LabelledRows, list[TrainingRow]]:
        training = self._loading.ensure("training", name)
        testing = self._loading.ensure("testing", name)
        with self._database.transaction():
            stored, held_out = self._sets.read_rows(training), self._sets.read_rows(testing)
            new = self._rows.taken(name)
        if stored is None or held_out is None:
            raise SetChanged()
        dataset = training.dataset
        target = dataset.target.name
        width = len(dataset.features)
        # Rows of another version of the dataset may have other columns.
        fitting = [row for row in new if len(row.features) == width]
        return dataset, labelled(stored, target), labelled(held_out, target), fitting

    def _champion(self) -> Champion:
        with self._database.transaction():
            version_id = self._ledger.serving().current_version_id
            if version_id is None:
                return Champion(None, self._configuration_that_is_set())
            return Champion(
                self._ledger.names_of([version_id])[version_id],
                self._ledger.configuration_of(version_id),
            )

    def _configuration_that_is_set(self) -> Configuration | None:
        found = self._ledger.find_newest(CURRENT_SLOT)
        if found is None:
            return None
        return Configuration(found.model_name, found.hyperparameters, found.source_run_id)

    def _plan(
        self, dataset: Dataset, champion: Champion, rows: LabelledRows, held_back: LabelledRows
    ) -> Plan:
        configuration = champion.configuration
        model_name, hyperparameters = DEFAULT_MODEL, {}
        if configuration is not None and _is_ours(configuration.model_name):
            model_name = configuration.model_name
            hyperparameters = dict(configuration.hyperparameters)
        registered = champion.version
        return Plan(
            model_name=model_name,
            hyperparameters=hyperparameters,
            registered_name=(
                registered.registered_name
                if registered is not None and registered.version > 0
                else model_name
            ),
            rows=rows,
            held_back=held_back.chosen(evenly_chosen(held_back.labels)),
            source=Source(
                target_name=dataset.target.name,
                classes=dataset.classes,
                class_names=dataset.class_names,
                dataset_id=dataset.id,
                dataset_name=dataset.name,
                dataset_version=dataset.version,
            ),
        )

    def _score(self, version_id: int, rows: LabelledRows) -> float | None:
        """Return the accuracy of a version as it serves; None where it takes other columns."""
        model = self._serving.load(version_id)
        features = rows.features
        names = [column.name for column in model.columns]
        if set(names) == set(features.columns):
            features = features[names]
        elif len(names) != features.shape[1] or set(names) & set(features.columns):
            return None
        if model.task != "classification" or not model.numeric:
            return None
        found = model.predict(features.to_numpy(dtype="float64")).labels
        right = [str(a) == str(b) for a, b in zip(found, rows.labels, strict=True)]
        return sum(right) / len(right)


def _is_ours(model_name: str) -> bool:
    try:
        get_entry(model_name)
    except ModelNotFound:
        return False
    return True


def _as_rows(rows: Sequence[TrainingRow], dataset: Dataset) -> LabelledRows:
    features = pd.DataFrame(
        [list(row.features) for row in rows], columns=dataset.feature_names, dtype="float64"
    )
    return LabelledRows(features, [row.target for row in rows])


def _judged(
    champion: NamedVersion | None, champion_score: float | None, challenger_score: float | None
) -> tuple[bool, str]:
    """Return whether the challenger goes to `next`, and why."""
    if challenger_score is None:
        return False, "the challenger cannot be scored"
    if champion is None:
        return True, f"nothing serves yet, the challenger has accuracy {challenger_score:.4f}"
    if champion_score is None:
        return False, f"{champion.model_uri} takes other columns: the two cannot be compared"
    comparison = f"accuracy {challenger_score:.4f} against {champion_score:.4f} of what serves"
    if challenger_score >= champion_score:
        return True, f"not worse: {comparison}"
    return False, f"worse: {comparison}"
