"""Rows that come in online, and the retraining that they set off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter

from jobkit.errors import JobNotFound
from jobkit.job import Job
from ml_model.errors import NoNewRows, RequestIdTaken
from ml_model.repository.jobs import TrainingJobs
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.training_rows import SqlTrainingRows
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.model_terms import as_number, as_written
from modelkit.input_rows import ColumnType, InputColumn, InputRows, InvalidRows
from schema.sets import Dataset
from servicekit.database import Database
from servicekit.errors import Detail
from servicekit.telemetry import request_id

DEFAULT_DATASET = "iris"
"""Of rows that name none while nothing serves that was trained on a dataset."""

COLUMN_TYPES: Mapping[str, ColumnType] = {
    "number": "double",
    "integer": "double",
    "boolean": "boolean",
    "text": "string",
    "date": "datetime",
    "timestamp": "datetime",
}

RETRAININGS = Counter(
    "retraining_triggered_total", "Retrainings that were begun, by rows or a call"
)


@dataclass(frozen=True)
class Added:
    """A row that is stored; `job` is the retraining that waits or runs, if there is one."""

    id: int
    dataset_name: str
    new_rows: int
    missing_rows: int
    job: Job | None
    started: bool


class OnlineTraining:
    """Stores labelled rows and begins one retraining per dataset at a time."""

    def __init__(
        self,
        database: Database,
        rows: SqlTrainingRows,
        jobs: TrainingJobs,
        ledger: SqlLedger,
        loading: DatasetLoading,
        threshold_rows: int,
    ) -> None:
        self._database = database
        self._rows = rows
        self._jobs = jobs
        self._ledger = ledger
        self._loading = loading
        self._threshold_rows = threshold_rows

    @property
    def threshold_rows(self) -> int:
        """New rows from which on a retraining begins."""
        return self._threshold_rows

    def add(self, features: Sequence[Any], target: Any, dataset_name: str | None) -> Added:
        """Store a row, once per request id; from the threshold on a retraining begins.

        Raises
        ------
        DatasetNotFound
        InvalidRows
            The row does not have the dataset's columns, or its label is no class of it, of a
            regression no number.
        RequestIdTaken
            The request id has stored another row.
        """
        dataset = self._dataset(dataset_name)
        checked, label = _checked(dataset, features), _label(dataset, target)
        with self._database.transaction():
            self._rows.lock(dataset.name)
            row_id = self._rows.add(dataset.name, checked, label, request_id())
            if row_id is None:
                row_id = self._repeated(dataset, checked, label)
            new_rows = self._rows.count_new(dataset.name)
            job = self._jobs.find_unfinished_retraining(dataset.name)
            started = job is None and new_rows >= self._threshold_rows
            if started:
                job = self._begin(dataset, forced=False)
        if started:
            RETRAININGS.inc()
        missing = 0 if started else max(0, self._threshold_rows - new_rows)
        return Added(row_id, dataset.name, 0 if started else new_rows, missing, job, started)

    def begin_next(self, dataset: Dataset) -> None:
        """Begin another retraining, in the caller's transaction that ends one, where so many rows
        have come in meanwhile that one is due: nobody may come later and notice.
        """
        self._rows.lock(dataset.name)
        if self._rows.count_new(dataset.name) >= self._threshold_rows:
            self._begin(dataset, forced=False)

    def trigger(self, dataset_name: str | None, *, force: bool) -> Job:
        """Return the retraining of a dataset that waits or runs, a new one if there is none.

        Raises
        ------
        NoNewRows
            There is nothing new to train on, and it was not forced.
        DatasetNotFound
        """
        dataset = self._dataset(dataset_name)
        with self._database.transaction():
            self._rows.lock(dataset.name)
            job = self._jobs.find_unfinished_retraining(dataset.name)
            if job is not None:
                return job
            if not force and self._rows.count_new(dataset.name) == 0:
                raise NoNewRows(
                    f"No new rows of {dataset.name}: send some (POST /add_training_data), or train"
                    ' on what is stored: POST /trigger_retrain {"force_retrain": true}.'
                )
            job = self._begin(dataset, forced=force)
        RETRAININGS.inc()
        return job

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return by dataset how many rows no retraining has taken yet, and how many there are."""
        with self._database.transaction():
            return self._rows.count_by_dataset()

    def _begin(self, dataset: Dataset, *, forced: bool) -> Job:
        request = {"dataset_name": dataset.name, "forced": forced}
        request["new_rows"] = self._rows.count_new(dataset.name)
        job_id = self._jobs.add("retrain", request, dataset.name, request_id())
        self._rows.take(dataset.name, job_id)
        self._jobs.defer(job_id)
        job = self._jobs.find(job_id)
        if job is None:
            raise JobNotFound()
        return job

    def _dataset(self, name: str | None) -> Dataset:
        return self._loading.ensure("training", name or self._default_name()).dataset

    def _default_name(self) -> str:
        """Return the dataset that the serving version was trained on, else iris."""
        with self._database.transaction():
            version_id = self._ledger.serving().current_version_id
            version = None if version_id is None else self._ledger.get_version(version_id)
        return (version and version.dataset_name) or DEFAULT_DATASET

    def _repeated(self, dataset: Dataset, features: Sequence[Any], label: Any) -> int:
        """Return the id of the row that this request has stored before."""
        row = self._rows.of_request(request_id())
        if row is None or (row.dataset_name, list(row.features), row.target) != (
            dataset.name,
            list(features),
            label,
        ):
            raise RequestIdTaken()
        return row.id


def dataset_columns(dataset: Dataset) -> list[InputColumn]:
    """Return a dataset's features as rows of it come in: null is a missing value."""
    return [
        InputColumn(column.name, COLUMN_TYPES[column.type], required=False)
        for column in dataset.features
    ]


def _checked(dataset: Dataset, features: Sequence[Any]) -> list[Any]:
    InputRows(dataset_columns(dataset)).from_lists([list(features)], path="features", single=True)
    return list(features)


def _label(dataset: Dataset, target: Any) -> Any:
    """Return the class that a label names, or its number.

    A class is named by itself, by what people call it, or as it is written in an answer.
    """
    if dataset.task == "regression":
        number = as_number(target)
        if number is None:
            problem = f"must be a finite number, as {dataset.name} is a regression"
            raise InvalidRows(f"target: {problem}", details=[Detail("target", problem)])
        return number
    class_of = {str(label): label for label in dataset.classes}
    written = as_written(target, class_of)
    if written in class_of:
        return class_of[written]
    if isinstance(target, str) and target in (dataset.class_names or ()):
        return dataset.classes[(dataset.class_names or ()).index(target)]
    known = ", ".join(map(str, dataset.classes))
    problem = f"{target!r} is no class of {dataset.name}: {known}"
    raise InvalidRows(f"target: {problem}", details=[Detail("target", problem)])
