"""The job `train`: a version from rows in the request or from a stored training set."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from jobkit.job import Job
from jobkit.service.job_runs import JobRuns
from ml_model.repository.sets import SqlSets
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.version_training import LabelledRows, Plan, Source, VersionTraining, labelled
from modelkit.features import typed_frame
from modelkit.holding_back import held_back_rows, strata_of
from modelkit.input_rows import InputColumn
from modelkit.registry import get_entry
from schema.sets import SetChanged
from servicekit.database import Database

TARGET = "target"
DEPLOY_HINT = 'Nothing is deployed by this: POST /update-model {{"model_uri": "{uri}"}} does.'

Read = tuple[LabelledRows, Source, Mapping[str, Any]]
"""Rows, what they belong to, and what is said of them: `rows_in_set` and `notes`."""


class TrainJob:
    """Trains as `POST /train` asked, holding rows back for the drift sample."""

    def __init__(
        self,
        database: Database,
        runs: JobRuns,
        sets: SqlSets,
        loading: DatasetLoading,
        training: VersionTraining,
        fit_max_rows: int,
    ) -> None:
        self._database = database
        self._runs = runs
        self._sets = sets
        self._loading = loading
        self._training = training
        self._fit_max_rows = fit_max_rows

    def work_on(self, job: Job, request: Mapping[str, Any]) -> None:
        """Train, and end the job with what came of it.

        Raises
        ------
        ModelOfAnotherTask, TrainingFailed
            As `VersionTraining.train`.
        JobGivenUp, SetChanged, DatasetNotFound, ModelStoreUnavailable, MlflowUnavailable
        """
        self._runs.report(job, 0.05, "reads the rows")
        rows, source, facts_of_rows = (
            self._given(request) if "data" in request else self._stored(request)
        )
        held_back = held_back_rows(strata_of(rows.labels, source.task))
        plan = Plan(
            model_name=request["model_name"],
            hyperparameters=request["hyperparameters"],
            registered_name=request["registered_model_name"],
            rows=rows.chosen(~held_back),
            held_back=rows.chosen(held_back),
            source=source,
            drawn_from=facts_of_rows["rows_in_set"] if facts_of_rows["notes"] else None,
        )
        version, facts = self._training.train(job, plan)
        hint = DEPLOY_HINT.format(uri=facts["model_uri"])
        self._runs.succeed(job, hint, {**facts, **facts_of_rows, "model_version_id": version.id})

    def _given(self, request: Mapping[str, Any]) -> Read:
        columns, labels = request["columns"], request[TARGET]
        if "types" in request:
            typed = [InputColumn(*pair) for pair in zip(columns, request["types"], strict=True)]
            features = typed_frame(request["data"], typed)
        else:
            features = pd.DataFrame(request["data"], columns=columns, dtype="float64")
        target_name = TARGET
        while target_name in columns:
            target_name += "_"
        of_classes = get_entry(request["model_name"]).task == "classification"
        classes = tuple(sorted(set(labels))) if of_classes else ()
        facts = {"rows_in_set": len(labels), "notes": []}
        return LabelledRows(features, labels), Source(target_name, classes), facts

    def _stored(self, request: Mapping[str, Any]) -> Read:
        name, version = request["dataset_name"], request.get("dataset_version")
        load = self._loading.ensure("training", name, version)
        with self._database.transaction():
            found = self._sets.read_fit_rows(load, self._fit_max_rows)
        if found is None:
            raise SetChanged()
        dataset = load.dataset
        source = Source(
            target_name=dataset.target.name,
            classes=dataset.classes,
            class_names=dataset.class_names,
            dataset_id=dataset.id,
            dataset_name=dataset.name,
            dataset_version=dataset.version,
        )
        facts = {"rows_in_set": found.rows_in_set, "notes": found.notes}
        return labelled(found.rows, dataset.target.name), source, facts
