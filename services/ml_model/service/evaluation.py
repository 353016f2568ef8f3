"""Measure a version on labelled rows, and keep the outcome as a run in MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.inference import EvaluateRequest
from contracts.vocabulary import SetName
from ml_model.errors import InvalidTarget, ScoringFailed
from ml_model.repository.sets import SqlSets
from ml_model.repository.work_runs import WorkRun, WorkRuns
from ml_model.service.batch_prediction import checked_rows, json_rows, predict
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.model_terms import as_number, class_text, columns_for
from ml_model.service.version_choice import ChosenVersion, VersionChoice
from modelkit.input_rows import InvalidRows
from modelkit.servable import ServableModel
from schema.sets import Dataset, SetChanged
from servicekit.database import Database
from servicekit.errors import Detail
from servicekit.telemetry import request_id

EXPERIMENT = "evaluation"
RUN_KIND = "eval"
ATTEMPTS = 2


@dataclass(frozen=True)
class Labelled:
    """Rows as lists in the model's order or as records, their labels, and where they are from."""

    rows: Sequence[Any]
    target: Sequence[Any]
    dataset: Dataset | None = None
    set_name: SetName | None = None


@dataclass(frozen=True)
class Evaluation:
    """What was measured. `rows` had a label."""

    version: ChosenVersion
    metrics: dict[str, float]
    rows: int
    labelled: Labelled
    run: WorkRun
    notes: Sequence[str]


class EvaluationService:
    """Evaluates on rows of the request or on a stored set, which is loaded where it is not."""

    def __init__(
        self,
        database: Database,
        versions: VersionChoice,
        sets: SqlSets,
        loading: DatasetLoading,
        runs: WorkRuns,
    ) -> None:
        self._database = database
        self._versions = versions
        self._sets = sets
        self._loading = loading
        self._runs = runs

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        """Predict the rows that have a label and measure.

        A failure is a FAILED run with its traceback; with MLflow away the metrics are answered
        all the same.

        Raises
        ------
        NothingServes, VersionNotFound, ModelRefused, MlflowUnavailable
            See `VersionChoice.choose`.
        InvalidRows, InvalidTarget, PredictionFailed
            Rows or labels do not fit the model.
        DatasetNotFound, SetChanged, ScoringFailed
            The set is unknown, replaced meanwhile, or has no label.
        """
        chosen = self._versions.choose(request.registered_model_name, request.model_version)
        tags = {**chosen.tags, "request_id": request_id()}
        if request.dataset_name is not None:
            tags |= {"dataset_name": request.dataset_name, "dataset": request.dataset or "testing"}
        with self._runs.recorded(EXPERIMENT, RUN_KIND, tags) as run:
            labelled = self._labelled(request, chosen.model)
            return self._evaluate(chosen, labelled, run)

    def _labelled(self, request: EvaluateRequest, model: ServableModel) -> Labelled:
        if request.data is not None and request.target is not None:
            return Labelled(request.data, request.target)
        set_name: SetName = request.dataset or "testing"
        for _ in range(ATTEMPTS):
            load = self._loading.ensure(
                set_name, str(request.dataset_name), request.dataset_version
            )
            with self._database.transaction():
                rows = self._sets.read_rows(load)
            if rows is not None:
                break
        else:
            raise SetChanged()
        # pandas is imported by what reads a frame only.
        from modelkit.features import json_values

        dataset = load.dataset
        columns = _columns_for(model, dataset)
        values = [json_values(rows[name]) for name in columns]
        return Labelled(
            [list(row) for row in zip(*values, strict=True)],
            json_values(rows[dataset.target.name]),
            dataset,
            set_name,
        )

    def _evaluate(self, chosen: ChosenVersion, labelled: Labelled, run: WorkRun) -> Evaluation:
        # scikit-learn takes a second to import; a process that only serves never does.
        from ml_model.evaluation_metrics import classification_metrics, regression_metrics

        model = chosen.model
        known = [number for number, label in enumerate(labelled.target) if label is not None]
        if not known:
            raise ScoringFailed("No row has a label to measure against.")
        labels = [(number, labelled.target[number]) for number in known]
        truth = _truth(model, labels, labelled.dataset)
        checked = checked_rows(model, labelled.rows)
        predicted = predict(model, _chosen(checked, known))
        if model.task == "regression":
            metrics, notes = regression_metrics(truth, predicted.labels)
        else:
            metrics, notes = classification_metrics(
                truth,
                [str(label) for label in predicted.labels],
                predicted.probabilities,
                [str(label) for label in model.classes],
            )
        run.log(
            params={"data_samples": len(known), "data_features": len(model.columns)},
            metrics=metrics,
        )
        run.put_json(
            "evaluation.json",
            {
                "columns": [column.name for column in model.columns],
                "rows": json_rows(model, _chosen(checked, known)),
                "target": truth,
                "predictions": predicted.labels,
                "metrics": metrics,
            },
        )
        return Evaluation(chosen, metrics, len(known), labelled, run, notes)


def _columns_for(model: ServableModel, dataset: Dataset) -> list[str]:
    """Return the dataset's features in the order of the model's columns, or say what is amiss."""
    features = dataset.feature_names
    columns = columns_for(model, features)
    if columns is not None:
        return columns
    names = [column.name for column in model.columns]
    missing = [name for name in names if name not in features]
    raise InvalidRows(
        f"{dataset.name} does not have the columns that the model takes.",
        details=[Detail(f"dataset_name.{name}", "is no column of the dataset") for name in missing]
        or [Detail("dataset_name", f"has {len(features)} columns, the model takes {len(names)}")],
    )


def _truth(
    model: ServableModel, labels: Sequence[tuple[int, Any]], dataset: Dataset | None
) -> list[Any]:
    """Return labels as the model writes them: classes as text, or numbers for a regression."""
    if model.task == "regression":
        numbers = [as_number(label) for _, label in labels]
        for (row, _), number in zip(labels, numbers, strict=True):
            if number is None:
                raise InvalidTarget(
                    f"Row {row} of target must be a number.",
                    details=[Detail(f"target.{row}", "must be a number")],
                )
        return numbers
    for number, label in labels:
        if not isinstance(label, bool | int | float | str):
            raise InvalidTarget(
                f"Row {number} of target must be a class.",
                details=[Detail(f"target.{number}", "must be a class: text or a number")],
            )
    return [class_text(model, label, dataset) for _, label in labels]


def _chosen(rows: Any, numbers: Sequence[int]) -> Any:
    if len(numbers) == len(rows):
        return rows
    if isinstance(rows, np.ndarray):
        return rows[list(numbers)]
    return [rows[number] for number in numbers]
