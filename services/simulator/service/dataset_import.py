"""Bring a table into the suite: find what it is, check it, store every row once."""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from contracts.vocabulary import BUILTIN_DATASETS, SET_NAMES, ColumnType, Task
from schema.samples import Column
from schema.sets import Dataset
from servicekit.database import Database
from servicekit.errors import Invalid
from simulator.bad_table import BadTable
from simulator.content_hash import ContentHash
from simulator.domain import DatasetDescription
from simulator.read_ahead import read_ahead
from simulator.repository.datasets import DatasetRepository
from simulator.service.table_source import TableSources
from simulator.table_facts import TASKS, TableFacts
from simulator.table_files import FEWEST_ROWS, TIME_TYPES, TableFile, WrongGuess, open_table
from simulator.unpacking import unpacked

log = logging.getLogger(__name__)

MOST_CLASSES = 1_000
MOST_GUESSED_CLASSES = 20
"""A target of whole numbers with more different values is taken as a regression."""

CLASS_TYPES = frozenset({"text", "boolean", "integer"})


class NameTaken(Invalid):
    """Name of a built-in dataset."""


@dataclass(frozen=True)
class TableRequest:
    """What is said of a file; the task and the types that are not said are found."""

    dataset_name: str
    target: str
    task: str | None = None
    types: Mapping[str, ColumnType] = field(default_factory=dict)
    id_column: str | None = None
    time_column: str | None = None
    time_is_feature: bool = False
    group_column: str | None = None
    split_column: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """The columns that are something else than a feature, by what they are."""
        columns = {
            "target": self.target,
            "id_column": self.id_column,
            "time_column": self.time_column,
            "group_column": self.group_column,
            "split_column": self.split_column,
        }
        return {key: name for key, name in columns.items() if name is not None}


@dataclass(frozen=True)
class BroughtDataset:
    """What is stored now; `created` is False where this content was there already."""

    dataset: Dataset
    created: bool
    task_inferred: bool
    inferred_types: tuple[str, ...]


class DatasetImportService:
    """Takes files and built-in tables. Nothing of a file that is refused is kept."""

    def __init__(self, database: Database, max_bytes: int) -> None:
        """`max_bytes` is the limit of a packed file's content, in bytes."""
        self._database = database
        self._max_bytes = max_bytes
        self._datasets = DatasetRepository(database.session)
        self._sources = TableSources(database)

    def bring_builtin(self, name: str) -> BroughtDataset:
        """Store a dataset that comes with scikit-learn; one of `BUILTIN_DATASETS`."""
        with self._database.transaction():
            self._datasets.queue_for(name)
            known = name in self._datasets.list_names()
            dataset = self._sources.find(name, None).dataset
        return BroughtDataset(dataset, not known, task_inferred=False, inferred_types=())

    def bring_file(self, path: Path, request: TableRequest) -> BroughtDataset:
        """Store the table in a file as a new version, or find the version that has its content.

        The file is read once, a limited number of rows at a time, and three times where its first
        rows mislead about the types. Other files may be written beside it.

        Raises
        ------
        NameTaken
            The name is that of a built-in dataset.
        BadTable
            The file is refused; the message names line and column.
        NoRoom
            Folder or memory are full.
        """
        if request.dataset_name in BUILTIN_DATASETS:
            raise NameTaken(f"{request.dataset_name} comes with the suite. Take another name.")
        path, kind = unpacked(path, self._max_bytes)
        with open_table(path, kind, path.parent) as table:
            _check_columns(table.names, request)
            origin = f"upload:{kind}"
            try:
                columns = table.guess_types(request.types)
                rows = table.guessed_chunks(columns)
                dataset, created = self._store(table, columns, rows, request, origin)
            except WrongGuess:
                columns = table.find_types(request.types)
                rows = table.chunks(columns)
                dataset, created = self._store(table, columns, rows, request, origin)
        log.info("%s version %d: created %s", dataset.name, dataset.version, created)
        return BroughtDataset(
            dataset,
            created,
            task_inferred=request.task is None,
            inferred_types=tuple(name for name in table.names if name not in request.types),
        )

    def _store(
        self,
        table: TableFile,
        columns: Sequence[Column],
        rows: Iterator[pd.DataFrame],
        request: TableRequest,
        origin: str,
    ) -> tuple[Dataset, bool]:
        """Store rows while they are read, and look at them meanwhile; all of it or nothing."""
        name = request.dataset_name
        facts = TableFacts(
            request.target,
            MOST_CLASSES,
            {task: ContentHash(_content_facts(columns, request, task)) for task in TASKS},
        )
        with (
            self._database.transaction(),
            contextlib.closing(read_ahead(rows)) as chunks,
        ):
            self._datasets.queue_for(name)
            version = self._datasets.next_version(name)
            row_count = self._datasets.write_source(name, version, columns, facts.seen(chunks))
            description = _describe(table, columns, request, facts, origin)
            content_hash = facts.content_hash(description.task)
            known = self._datasets.find_by_content(name, content_hash)
            if known is not None:
                self._datasets.drop_tables(name, version)
                return known, False
            return self._datasets.add(description, version, content_hash, row_count), True


def _content_facts(columns: Sequence[Column], request: TableRequest, task: Task) -> str:
    """Return what the content hash depends on beside the rows."""
    facts: list[Any] = [
        [column.as_json() for column in columns],
        [request.target, task, request.id_column],
    ]
    splits = [
        request.time_column,
        request.time_is_feature,
        request.group_column,
        request.split_column,
    ]
    if any(splits):
        facts.append(splits)
    return json.dumps(facts, ensure_ascii=False)


def _check_columns(names: Sequence[str], request: TableRequest) -> None:
    asked = {**request.named, **{f"types.{name}": name for name in request.types}}
    for key, name in asked.items():
        if name not in names:
            known = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
            raise BadTable.at(f"{key}: there is no column {name!r}; there are {known}")
    if request.id_column == request.target:
        raise BadTable.at("the target cannot be the id", column=request.target)
    seen: dict[str, str] = {}
    for key, name in request.named.items():
        other = seen.setdefault(name, key)
        if other != key:
            raise BadTable.at(f"is named as {other} and as {key}; a column is one", column=name)
    if request.time_is_feature and request.time_column is None:
        raise BadTable.at("time_is_feature: name the time_column as well")
    if len(names) - len(seen) + request.time_is_feature < 1:
        raise BadTable.at("beside target and id there is no column left to learn from")


def _describe(
    table: TableFile,
    columns: Sequence[Column],
    request: TableRequest,
    facts: TableFacts,
    origin: str,
) -> DatasetDescription:
    by_name = {column.name: column for column in columns}
    target = by_name[request.target]
    if facts.row_count < FEWEST_ROWS:
        raise BadTable.at(f"{facts.row_count} rows; at least {FEWEST_ROWS} are needed")
    if facts.target_missing:
        table.check_complete(target)
    if request.id_column is not None:
        table.check_unique(by_name[request.id_column])
    _check_splits(table, by_name, request)
    labels = facts.labels()
    if len(labels) < 2:
        raise BadTable.at(
            f"the target is {labels[0]!r} in every row; there is nothing to learn",
            column=target.name,
        )
    task = request.task or _guess_task(target, labels)
    _check_task(task, target, labels)
    return DatasetDescription(
        name=request.dataset_name,
        task=task,
        columns=tuple(columns),
        target=target.name,
        classes=tuple(labels) if task == "classification" else (),
        origin=origin,
        id_column=request.id_column,
        time_column=request.time_column,
        time_is_feature=request.time_is_feature,
        group_column=request.group_column,
        split_column=request.split_column,
    )


def _check_splits(table: TableFile, by_name: Mapping[str, Column], request: TableRequest) -> None:
    """Refuse columns that a table cannot be cut into sets by."""
    columns = (request.time_column, request.group_column, request.split_column)
    time, group, split = (None if name is None else by_name[name] for name in columns)
    if time is not None and time.type not in TIME_TYPES | {"integer", "number"}:
        raise BadTable.at(
            f"a time column holds dates, times or numbers, and this is {time.type}",
            column=time.name,
        )
    for column in (time, group, split):
        if column is not None:
            table.check_complete(column)
    if group is not None and len(table.labels(group, len(SET_NAMES))) < len(SET_NAMES):
        raise BadTable.at("three sets need three different groups", column=group.name)
    if split is not None:
        found = table.labels(split, len(SET_NAMES) + 1)
        if split.type != "text" or sorted(found) != sorted(SET_NAMES):
            raise BadTable.at(
                f"a split column holds {', '.join(SET_NAMES)}, each at least once, and nothing"
                " else",
                column=split.name,
            )


def _guess_task(target: Column, labels: Sequence[Any]) -> str:
    if target.type == "integer":
        return "classification" if len(labels) <= MOST_GUESSED_CLASSES else "regression"
    return "classification" if target.type in CLASS_TYPES else "regression"


def _check_task(task: str, target: Column, labels: Sequence[Any]) -> None:
    if target.type in TIME_TYPES:
        raise BadTable.at(
            "the target is a time; state its type in `types`, or another target", column=target.name
        )
    if task == "regression":
        if target.type not in {"number", "integer"}:
            raise BadTable.at(
                f"a regression needs numbers, and the target is {target.type}", column=target.name
            )
    elif target.type not in CLASS_TYPES:
        raise BadTable.at(
            "the target's numbers have fractions, or are written with them (`1.0`); state its type"
            " in `types` (`integer` where they are whole), or the task `regression`",
            column=target.name,
        )
    elif len(labels) > MOST_CLASSES:
        raise BadTable.at(f"the target has more than {MOST_CLASSES} classes", column=target.name)
