"""One set of a table: which rows it has, and what they are."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contracts.vocabulary import SEEDED_SPLITS, SET_NAMES, SetName, Split
from schema.samples import CHUNK_ROWS, Column
from schema.sets import Dataset
from servicekit.errors import Impossible, Invalid
from simulator.content_hash import content_hash_of_chunks
from simulator.repository.datasets import DatasetRepository
from simulator.service.fouled_rows import deviations_of, foul_rows
from simulator.service.splitting import (
    Numbers,
    can_be_stratified,
    counted_numbers,
    drawn_numbers,
    numbers_of_places,
    places_in_order,
    sets_of_groups,
    shares_of_classes,
    split_places,
)
from simulator.service.table_source import TableSource

MOST_SET_ROWS = 2**31 - 1
"""Row numbers of a set are 32-bit."""

GROUPS_AT_ONCE = 1_000_000
"""Groups of chunks that wait before they are joined: 16 MB."""


class SplitNotPossible(Invalid):
    """Split not possible."""


class TableTooLong(Impossible):
    """Table too long."""


@dataclass(frozen=True)
class SetCut:
    """One set of a table: which of its rows, in which order, and what happens to them.

    `numbers` gives, chunk of the table by chunk, each row's place in the set, -1 where it is not
    in it; `row_count` are in it.
    """

    source: TableSource
    set_name: SetName
    seed: int
    scenario: str
    split: Split
    rare_class: bool
    row_count: int
    numbers: Callable[[], Iterator[Numbers]]

    @property
    def stays_in_the_database(self) -> bool:
        """Whether PostgreSQL can copy the rows as they are; short tables lie in order instead."""
        return self.scenario == "clean" and self.source.is_long

    def blocks(self) -> Iterator[tuple[Numbers, pd.DataFrame]]:
        """Yield the rows and their numbers in the set, a chunk of the table at a time.

        Within a block they stand in the set's order, so that a table of one chunk comes in order.
        """
        features, columns = self.source.dataset.features, self.source.dataset.columns
        fouled = self.scenario != "clean"
        if fouled:
            deviations = deviations_of(self.source.chunks(features), features)
        chunks = zip(self.numbers(), self.source.chunks(columns), strict=True)
        for block, (numbers, chunk) in enumerate(chunks):
            picked = np.flatnonzero(numbers >= 0)
            if not len(picked):
                continue
            picked = picked[np.argsort(numbers[picked])]
            rows = chunk.iloc[picked].reset_index(drop=True)
            if fouled:
                rows = foul_rows(rows, features, deviations, self.scenario, self.seed, block)
            yield numbers[picked], rows

    def content_hash(self) -> str:
        """Return a hash that changes with the rows.

        Of the rows themselves where they are few; else of all that they follow from.
        """
        dataset = self.source.dataset
        if self.source.small:
            names = [column.name for column in dataset.columns]
            return content_hash_of_chunks(names, (rows for _, rows in self.blocks()))
        drawn = self.split in SEEDED_SPLITS or self.scenario != "clean"
        recipe = [dataset.content_hash, self.set_name, self.seed if drawn else 0, self.scenario]
        if self.split != plain_split(dataset, self.rare_class):
            recipe.append(self.split)
        if self.source.is_long and self.split in ("stratified", "random"):
            recipe.append("permutation")
        if self.scenario != "clean" and self.source.chunk_rows != CHUNK_ROWS:
            # Fouling draws chunk by chunk.
            recipe.append(f"chunks of {self.source.chunk_rows}")
        return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()


def plain_split(dataset: Dataset, rare_class: bool) -> Split:
    """Return what `stratified` comes to."""
    return "random" if dataset.task == "regression" or rare_class else "stratified"


class SetCutter:
    """Cuts tables into sets."""

    def __init__(self, datasets: DatasetRepository) -> None:
        self._datasets = datasets

    def cut(
        self, source: TableSource, set_name: SetName, seed: int, scenario: str, split: Split
    ) -> SetCut:
        """Cut one set; in a transaction, in which its rows are to be taken as well.

        Memory does not grow with the rows; by group it takes some 60 bytes per group.

        Raises
        ------
        SplitNotPossible
            The dataset has no column to split by.
        TableTooLong
            The table has more than `MOST_SET_ROWS` rows.
        """
        if source.n_rows > MOST_SET_ROWS:
            raise TableTooLong(f"A table is cut into sets up to {MOST_SET_ROWS} rows.")
        dataset, rare_class = source.dataset, False
        if split == "time":
            column = source.column(_needed(dataset, split, dataset.time_column))
            row_count, numbers = self._in_order(source, column, set_name)
        elif split == "group":
            name = _needed(dataset, split, dataset.group_column)
            row_count, numbers = _by_group(source, name, set_name, seed)
        elif split == "column":
            column = source.column(_needed(dataset, split, dataset.split_column))
            row_count, numbers = self._as_said(source, column, set_name)
        else:
            rare_class = dataset.task != "regression" and not can_be_stratified(
                self._class_sizes(dataset)
            )
            if split == "stratified":
                split = plain_split(dataset, rare_class)
            row_count, numbers = self._drawn(source, split == "stratified", set_name, seed)
        return SetCut(source, set_name, seed, scenario, split, rare_class, row_count, numbers)

    def _drawn(
        self, source: TableSource, by_class: bool, set_name: SetName, seed: int
    ) -> tuple[int, Callable[[], Iterator[Numbers]]]:
        if not source.is_long:
            strata = np.concatenate(list(source.classes())) if by_class else None
            places = split_places(source.n_rows, strata, seed)[set_name]
            return len(places), lambda: iter([numbers_of_places(places, source.n_rows)])
        sizes = self._class_sizes(source.dataset) if by_class else np.array([source.n_rows])
        row_count = int(shares_of_classes(sizes)[SET_NAMES.index(set_name)].sum())
        strata_of_chunks = source.classes if by_class else lambda: _one_class(source)
        return row_count, lambda: drawn_numbers(strata_of_chunks(), sizes, set_name, seed)

    def _class_sizes(self, dataset: Dataset) -> Numbers:
        counts = self._datasets.count_values(dataset, dataset.target)
        return np.array([counts.get(label, 0) for label in dataset.classes])

    def _in_order(
        self, source: TableSource, column: Column, set_name: SetName
    ) -> tuple[int, Callable[[], Iterator[Numbers]]]:
        places = places_in_order(source.n_rows)[set_name]
        return len(places), lambda: self._datasets.numbers_in_order(
            source.dataset, column, places, source.chunk_rows
        )

    def _as_said(
        self, source: TableSource, column: Column, set_name: SetName
    ) -> tuple[int, Callable[[], Iterator[Numbers]]]:
        row_count = self._datasets.count_values(source.dataset, column).get(set_name, 0)
        return row_count, lambda: counted_numbers(source.sets(column.name), set_name)


def _by_group(
    source: TableSource, name: str, set_name: SetName, seed: int
) -> tuple[int, Callable[[], Iterator[Numbers]]]:
    groups, sizes = sizes_of_groups(source.groups(name))
    sets = sets_of_groups(sizes, seed)
    row_count = int(sizes[sets == SET_NAMES.index(set_name)].sum())

    def numbers() -> Iterator[Numbers]:
        sets_of_chunks = (sets[np.searchsorted(groups, chunk)] for chunk in source.groups(name))
        return counted_numbers(sets_of_chunks, set_name)

    return row_count, numbers


def sizes_of_groups(chunks: Iterable[NDArray[np.uint64]]) -> tuple[NDArray[np.uint64], Numbers]:
    """Return the groups (n_groups,) that rows of all chunks are in, in order, and their sizes."""
    parts = [(np.empty(0, np.uint64), np.empty(0, np.int64))]
    for chunk in chunks:
        parts.append(np.unique(chunk, return_counts=True))
        waiting = sum(len(groups) for groups, _ in parts[1:])
        if waiting > max(GROUPS_AT_ONCE, len(parts[0][0])):
            parts = [_joined(parts)]
    return _joined(parts)


def _joined(
    parts: list[tuple[NDArray[np.uint64], Numbers]],
) -> tuple[NDArray[np.uint64], Numbers]:
    together = np.concatenate([groups for groups, _ in parts])
    order = np.argsort(together)
    together = together[order]
    first = np.flatnonzero(np.diff(together, prepend=~together[:1]) != 0)
    sizes = np.concatenate([counts for _, counts in parts])[order]
    return together[first], np.add.reduceat(sizes, first)


def _one_class(source: TableSource) -> Iterator[NDArray[np.int8]]:
    """Yield 0 for each row, as if all were of one class."""
    for first in range(0, source.n_rows, source.chunk_rows):
        yield np.zeros(min(source.chunk_rows, source.n_rows - first), dtype=np.int8)


def _needed(dataset: Dataset, split: Split, column: str | None) -> str:
    if column is None:
        name = "split_column" if split == "column" else f"{split}_column"
        raise SplitNotPossible(
            f"{dataset.name} version {dataset.version} has no {name}, so it cannot be split by"
            f" {split}. Bring it with one (POST /root/simulator/datasets), or take the split"
            " stratified or random."
        )
    return column
