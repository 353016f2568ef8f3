"""What `POST /train` asks for: checked, handed in as a job, waited for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobkit.job import Job
from jobkit.service.jobs import JobService
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.job_waiting import JobWaiting
from ml_model.service.model_terms import as_number
from modelkit.inferred_columns import inferred_columns
from modelkit.input_rows import InputRows, InvalidRows
from modelkit.registry import get_entry
from modelkit.validation import check_hyperparameters, check_task
from servicekit.errors import Detail

MOST_DETAILS = 20
MOST_CLASSES = 1_000
LONGEST_NAME = 200


class TrainRequests:
    """Hands trainings in and waits for them."""

    def __init__(self, jobs: JobService, loading: DatasetLoading, waiting: JobWaiting) -> None:
        self._jobs = jobs
        self._loading = loading
        self._waiting = waiting

    def train_on_rows(
        self,
        rows: Sequence[Any],
        target: Sequence[Any],
        columns: Sequence[str] | None,
        model: Mapping[str, Any],
    ) -> Job:
        """Train on rows and their labels; see `train_on_dataset`.

        Rows are lists of values in the order of `columns`, or objects by column; None is missing.
        What a column is follows from its values, see `inferred_columns`. Labels are classes or,
        for a model of a regression, numbers.

        Raises
        ------
        InvalidRows
            Rows of different lengths or keys, a value that is not what its column is, or labels
            that are missing, too few, of several types, no classes or no numbers.
        ModelNotFound, HyperparametersRefused
        """
        check_hyperparameters(model["model_name"], model["hyperparameters"])
        names = _column_names(rows, columns)
        inferred = inferred_columns(rows, names)
        if isinstance(rows[0], dict):
            InputRows(inferred).from_records(rows, path="data")
            rows = [[row[name] for name in names] for row in rows]
        else:
            InputRows(inferred).from_lists(rows)
        task = get_entry(model["model_name"]).task
        labels = (_labels if task == "classification" else _numbers)(target, len(rows))
        request = {**model, "columns": names, "data": list(rows), "target": labels}
        types = [column.type for column in inferred]
        if set(types) != {"double"}:
            request["types"] = types
        return self._run(request, None)

    def train_on_dataset(
        self, dataset_name: str, dataset_version: int | None, model: Mapping[str, Any]
    ) -> Job:
        """Train on a stored training set, which is loaded first if it is not.

        Returns the job when it has finished; as it is after the waiting time, or at once where too
        many wait already.

        Raises
        ------
        DatasetNotFound, ModelNotFound, HyperparametersRefused
        ModelOfAnotherTask
            The model does not predict what the dataset's target is.
        """
        check_hyperparameters(model["model_name"], model["hyperparameters"])
        load = self._loading.ensure("training", dataset_name, dataset_version)
        check_task(model["model_name"], load.dataset.task, dataset_name)
        request = {
            **model,
            "dataset_name": dataset_name,
            "dataset_version": load.dataset.version,
        }
        return self._run(request, dataset_name)

    def _run(self, request: Mapping[str, Any], dataset_name: str | None) -> Job:
        return self._waiting.wait(self._jobs.submit("train", request, dataset_name))


def _column_names(rows: Sequence[Any], columns: Sequence[str] | None) -> list[str]:
    """Return the given names, else an object's, else x0, x1 ... as scikit-learn has them."""
    if columns is None:
        first = rows[0] if rows else None
        if not isinstance(first, list | dict) or not first:
            raise _refused("data.0", "must be a list of values, or an object of columns and values")
        if isinstance(first, list):
            return [f"x{number}" for number in range(len(first))]
        if any(not 0 < len(name) <= LONGEST_NAME for name in first):
            raise _refused("data.0", f"has a column name that is not 1 to {LONGEST_NAME} long")
        return list(first)
    repeated = {name for name in columns if list(columns).count(name) > 1}
    if repeated:
        raise _refused("columns", f"{sorted(repeated)[0]!r} is given more than once")
    return list(columns)


def _labels(target: Sequence[Any], row_count: int) -> list[Any]:
    """Return the labels, whole floats as whole numbers."""
    _check_count(target, row_count)
    labels = [int(x) if isinstance(x, float) and x.is_integer() else x for x in target]
    first = next((label for label in labels if label is not None), None)
    _refuse_any(_label_problem(label, first) for label in labels)
    if len(set(labels)) > MOST_CLASSES:
        raise _refused("target", f"has more than {MOST_CLASSES} classes")
    return labels


def _numbers(target: Sequence[Any], row_count: int) -> list[float]:
    """Return the numbers of a regression."""
    _check_count(target, row_count)
    numbers = [as_number(label) for label in target]
    _refuse_any(
        None if number is not None else f"must be a finite number, not {str(label)[:50]!r}"
        for number, label in zip(numbers, target, strict=True)
    )
    return [number for number in numbers if number is not None]


def _check_count(target: Sequence[Any], row_count: int) -> None:
    if len(target) != row_count:
        raise _refused("target", f"has {len(target)} labels for {row_count} rows")


def _refuse_any(problem_by_row: Iterable[str | None]) -> None:
    problems = [
        Detail(f"target.{row}", problem) for row, problem in enumerate(problem_by_row) if problem
    ]
    if problems:
        named = "; ".join(f"{item.path} {item.problem}" for item in problems[:3])
        raise InvalidRows(named, details=problems[:MOST_DETAILS])


def _label_problem(label: Any, first: Any) -> str | None:
    if label is None:
        return "is missing"
    if not isinstance(label, str | int):
        return f"must be a class (a whole number, text or true/false), not {label!r}"
    if type(label) is not type(first):
        return f"is {label!r}, while the first label is {first!r}: all must be of one type"
    return None


def _refused(path: str, problem: str) -> InvalidRows:
    return InvalidRows(f"{path} {problem}", details=[Detail(path, problem)])
