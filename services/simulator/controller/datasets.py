"""`/root/simulator/datasets`: bring a table, look at it, take it out, delete it."""

import os
from typing import Annotated, Any, Literal

from flask import Response, send_file
from flask_restful import Resource
from pydantic import Field, Json

from contracts.vocabulary import DATASET_NAME_PATTERN, ColumnType, SetName, Split, Task
from servicekit.api import endpoint
from servicekit.upload import UploadedFile
from servicekit.wire import AnswerModel, RequestModel
from simulator.service.dataset_import import DatasetImportService, TableRequest
from simulator.service.datasets import DatasetService
from simulator.service.set_loading import default_split

LARGEST_VERSION = 2**31 - 1
LARGEST_CURSOR = 2**63 - 1
MOST_ROWS = 1_000

MEDIA = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}

Version = Annotated[
    int | None,
    Field(default=None, ge=1, le=LARGEST_VERSION, description="The newest one unless given"),
]
ColumnName = Annotated[str, Field(min_length=1, max_length=63)]


class BuiltinRequest(RequestModel):
    """A dataset that comes with scikit-learn."""

    builtin: Literal["wine", "iris", "breast_cancer", "digits", "diabetes"]


class TableForm(RequestModel):
    """A file with a table, and what is to be known of it."""

    file: UploadedFile = Field(description="CSV in UTF-8 with a header, or Parquet; or gzip of it")
    dataset_name: str = Field(pattern=DATASET_NAME_PATTERN)
    target: ColumnName = Field(description="Name of the column to be predicted")
    task: Task | None = Field(default=None, description="Found from the target unless given")
    types: Json[dict[str, ColumnType]] | None = Field(
        default=None, description="Types by column, in place of those that would be found"
    )
    id_column: ColumnName | None = Field(
        default=None, description="A column that tells rows apart and is no feature"
    )
    time_column: ColumnName | None = Field(
        default=None, description="When each row was: dates, times or numbers, none missing"
    )
    time_is_feature: bool = Field(
        default=False, description="Whether models learn from the time column, too"
    )
    group_column: ColumnName | None = Field(
        default=None,
        description="Rows with one value of it stay in one set: a person, a machine; no feature",
    )
    split_column: ColumnName | None = Field(
        default=None,
        description="`training`, `testing` or `production` in every row; no feature",
    )


class ColumnAnswer(AnswerModel):
    """A column and its type."""

    name: str
    type: ColumnType


class DatasetAnswer(AnswerModel):
    """One version of a dataset."""

    dataset_name: str
    dataset_version: int
    task: Task
    target: str
    id_column: str | None
    time_column: str | None
    time_is_feature: bool
    group_column: str | None
    split_column: str | None
    default_split: Split = Field(
        description="How sets are cut where no split is named: by split, group or time column,"
        " else by class"
    )
    rows: int | None = Field(description="In all; null where only sets are stored")
    columns: list[ColumnAnswer] = Field(description="In the order they came in")
    classes: list[Any] = Field(description="The labels in order; empty for a regression")
    class_names: list[str] | None
    content_hash: str
    origin: str


class BroughtAnswer(DatasetAnswer):
    """What is stored, and what was found rather than said."""

    message: str
    created: bool = Field(description="False where this content was there already")
    task_inferred: bool
    inferred_types: list[str] = Field(description="Columns whose types were found from the file")


class ListedAnswer(DatasetAnswer):
    """A version, and which of its sets are loaded."""

    loaded_sets: dict[str, int] = Field(description="Rows of each loaded set")
    created_at: str


class DatasetsAnswer(AnswerModel):
    """All versions by name, newest first."""

    datasets: list[ListedAnswer]


class HistogramAnswer(AnswerModel):
    """Equal bins: `counts[i]` values from `edges[i]` to `edges[i + 1]`."""

    edges: list[float] | list[str] = Field(description="Texts of dates and times")
    counts: list[int]


class FrequentAnswer(AnswerModel):
    """A value and how often it is there."""

    value: str | int | bool
    count: int


class ProfileAnswer(ColumnAnswer):
    """What a column looks like over all rows."""

    missing: int
    minimum: float | str | None = Field(default=None, description="A text of dates and times")
    maximum: float | str | None = None
    mean: float | None = None
    deviation: float | None = Field(default=None, description="Population standard deviation")
    histogram: HistogramAnswer | None = None
    distinct: int | None = Field(default=None, description="Different values, but for numbers")
    frequent: list[FrequentAnswer] | None = None


class DescribedAnswer(ListedAnswer):
    """A version with the profile of its columns."""

    profile: list[ProfileAnswer]


class VersionQuery(RequestModel):
    """Which version."""

    version: Version


class RowsQuery(VersionQuery):
    """Which rows."""

    set_name: SetName | None = Field(default=None, description="Of a loaded set instead of all")
    limit: int = Field(default=100, ge=1, le=MOST_ROWS)
    cursor: int = Field(
        default=0, ge=0, le=LARGEST_CURSOR - MOST_ROWS, description="First row number"
    )


class ExportQuery(VersionQuery):
    """Which rows, and in which form."""

    set_name: SetName | None = Field(default=None, description="Of a loaded set instead of all")
    format: Literal["csv", "parquet"] = "csv"


class RowsAnswer(AnswerModel):
    """A page of rows."""

    dataset_name: str
    dataset_version: int
    columns: list[str]
    rows: list[list[Any]] = Field(description="Values in the order of `columns`; null is missing")
    next_cursor: int | None = Field(description="To ask for the next page with; null at the end")


class DeletedAnswer(AnswerModel):
    """What is gone."""

    message: str
    dataset_name: str
    deleted_versions: list[int]


class DatasetsResource(Resource):  # type: ignore[misc]
    """Lists datasets and takes new ones."""

    def __init__(self, imports: DatasetImportService, datasets: DatasetService) -> None:
        self._imports = imports
        self._datasets = datasets

    @endpoint(summary="All datasets", answers={200: DatasetsAnswer})
    def get(self) -> DatasetsAnswer:
        """Returns the versions of all datasets, at most 1,000."""
        listed = self._datasets.list_versions()
        return DatasetsAnswer(datasets=[ListedAnswer(**_listed(item)) for item in listed])

    @endpoint(
        summary="Bring a dataset",
        body=BuiltinRequest,
        upload=TableForm,
        answers={200: BroughtAnswer, 201: BroughtAnswer},
        example={"builtin": "iris"},
    )
    def post(self, body: BuiltinRequest | TableForm) -> tuple[BroughtAnswer, int]:
        """Stores a table from a file, or a built-in one: 201, or 200 where its content is there.

        Types and task are found from the values unless they are given. A file that is wrong
        anywhere is refused whole, with line and column (400). Changed content of a name is its
        next version.
        """
        if isinstance(body, BuiltinRequest):
            brought = self._imports.bring_builtin(body.builtin)
        else:
            request = TableRequest(
                body.dataset_name,
                body.target,
                body.task,
                body.types or {},
                body.id_column,
                body.time_column,
                body.time_is_feature,
                body.group_column,
                body.split_column,
            )
            brought = self._imports.bring_file(body.file.path, request)
        answer = BroughtAnswer(
            **_described(brought.dataset),
            message="Dataset stored" if brought.created else "Dataset already there",
            created=brought.created,
            task_inferred=brought.task_inferred,
            inferred_types=list(brought.inferred_types),
        )
        return answer, 201 if brought.created else 200


class DatasetResource(Resource):  # type: ignore[misc]
    """One dataset."""

    def __init__(self, datasets: DatasetService) -> None:
        self._datasets = datasets

    @endpoint(
        summary="What a dataset looks like",
        query=VersionQuery,
        answers={200: DescribedAnswer},
        errors=(404, 409),
    )
    def get(self, dataset_name: str, query: VersionQuery) -> DescribedAnswer:
        """Returns a version, which sets of it are loaded, and the profile of every column.

        The profile is made when it is first asked for: some seconds per million rows.
        """
        listed, profile = self._datasets.describe(dataset_name, query.version)
        return DescribedAnswer(
            **_listed(listed), profile=[ProfileAnswer(**column) for column in profile]
        )

    @endpoint(
        summary="Delete a dataset",
        query=VersionQuery,
        answers={200: DeletedAnswer},
        errors=(404, 409),
    )
    def delete(self, dataset_name: str, query: VersionQuery) -> DeletedAnswer:
        """Deletes a version, or all versions where none is named, with rows and loaded sets.

        Fails while a model version, a scoring or a monitoring result refers to it (409).
        """
        deleted = self._datasets.delete(dataset_name, query.version)
        numbers = ", ".join(map(str, deleted))
        return DeletedAnswer(
            message=f"Dataset {dataset_name} version {numbers} deleted successfully.",
            dataset_name=dataset_name,
            deleted_versions=deleted,
        )


class DatasetRowsResource(Resource):  # type: ignore[misc]
    """The rows of a dataset, page by page."""

    def __init__(self, datasets: DatasetService) -> None:
        self._datasets = datasets

    @endpoint(
        summary="Rows of a dataset", query=RowsQuery, answers={200: RowsAnswer}, errors=(404, 409)
    )
    def get(self, dataset_name: str, query: RowsQuery) -> RowsAnswer:
        """Returns rows in their order: of the whole table, or of a loaded set."""
        page = self._datasets.page(
            dataset_name, query.version, query.set_name, query.limit, query.cursor
        )
        return RowsAnswer(
            dataset_name=page.dataset.name,
            dataset_version=page.dataset.version,
            columns=[column.name for column in page.dataset.columns],
            rows=[list(row) for row in page.rows],
            next_cursor=page.next_cursor,
        )


class DatasetExportResource(Resource):  # type: ignore[misc]
    """A dataset as a file."""

    def __init__(self, datasets: DatasetService) -> None:
        self._datasets = datasets

    @endpoint(
        summary="A dataset as a file",
        query=ExportQuery,
        answers={200: None},
        media=tuple(MEDIA.values()),
        errors=(404, 409),
    )
    def get(self, dataset_name: str, query: ExportQuery) -> Response:
        """Sends all rows, or those of a loaded set, as CSV or Parquet.

        Brought in again, the file gives the same content: text is in quotes, what is missing is
        not.
        """
        dataset, file = self._datasets.export(
            dataset_name, query.version, query.set_name, query.format
        )
        part = f"_{query.set_name}" if query.set_name else ""
        response = send_file(
            file,
            mimetype=MEDIA[query.format],
            as_attachment=True,
            download_name=f"{dataset.name}_v{dataset.version}{part}.{query.format}",
        )
        response.content_length = os.fstat(file.fileno()).st_size
        return response


def _described(dataset: Any) -> dict[str, Any]:
    return {
        "dataset_name": dataset.name,
        "dataset_version": dataset.version,
        "task": dataset.task,
        "target": dataset.target.name,
        "id_column": dataset.id_column,
        "time_column": dataset.time_column,
        "time_is_feature": dataset.time_is_feature,
        "group_column": dataset.group_column,
        "split_column": dataset.split_column,
        "default_split": default_split(dataset),
        "rows": dataset.row_count,
        "columns": [ColumnAnswer(name=one.name, type=one.type) for one in dataset.columns],
        "classes": list(dataset.classes),
        "class_names": None if dataset.class_names is None else list(dataset.class_names),
        "content_hash": dataset.content_hash,
        "origin": dataset.origin,
    }


def _listed(listing: Any) -> dict[str, Any]:
    return {
        **_described(listing.dataset),
        "loaded_sets": dict(listing.loaded),
        "created_at": listing.created_at.isoformat(),
    }
