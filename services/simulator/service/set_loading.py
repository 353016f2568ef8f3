"""Load one of the three sets: split, foul, store."""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contracts.vocabulary import SEEDED_SPLITS, SetName, Split
from schema.samples import CHUNK_ROWS
from schema.sets import Dataset, LoadedSets
from servicekit.database import Database
from servicekit.errors import Impossible, Invalid
from simulator.content_hash import content_hash_of_chunks
from simulator.repository.datasets import DatasetRepository
from simulator.repository.loads import LoadRepository
from simulator.service.fouled_rows import deviations_of, foul_rows
from simulator.service.scenarios import SCENARIOS
from simulator.service.splitting import (
    can_be_stratified,
    split_by_group,
    split_by_set,
    split_by_time,
    split_places,
)
from simulator.service.table_source import TableSource, TableSources

log = logging.getLogger(__name__)

MOST_SET_ROWS = 2**31 - 1
"""Row numbers of a set are 32-bit."""


class ScenarioUnknown(Invalid):
    """Scenario unknown."""


class SplitNotPossible(Invalid):
    """Split not possible."""


class TableTooLong(Impossible):
    """Table too long."""


@dataclass(frozen=True)
class LoadedSet:
    """What is loaded after a request; `changed` tells whether the request changed anything."""

    set_name: SetName
    dataset_name: str
    dataset_version: int
    seed: int
    scenario: str
    split: Split
    row_count: int
    missing_cells: int
    changed: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SetCut:
    """One set of a table: which rows it has, in which order, and what happens to them."""

    source: TableSource
    set_name: SetName
    seed: int
    scenario: str
    places: NDArray[np.int64]
    split: Split
    rare_class: bool

    @property
    def stays_in_the_database(self) -> bool:
        """Whether PostgreSQL can copy the rows as they are; short tables lie in order instead."""
        return (
            self.scenario == "clean" and not self.source.small and self.source.n_rows > CHUNK_ROWS
        )

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], pd.DataFrame]]:
        """Yield the rows and their numbers in the set, a chunk of the table at a time.

        Within a block they stand in the set's order, so that a table of one chunk comes in order.
        """
        features, columns = self.source.dataset.features, self.source.dataset.columns
        number_of = np.full(self.source.n_rows, -1, dtype=np.int64)
        number_of[self.places] = np.arange(len(self.places))
        fouled = self.scenario != "clean"
        if fouled:
            deviations = deviations_of(self.source.chunks(features), features)
        first = 0
        for block, chunk in enumerate(self.source.chunks(columns)):
            numbers = number_of[first : first + len(chunk)]
            first += len(chunk)
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
        if self.split != _plain_split(dataset, self.rare_class):
            recipe.append(self.split)
        return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()


class SetLoadingService:
    """Brings sets into the database. The same request leaves what it left the first time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sets = LoadedSets(database.session)
        self._loads = LoadRepository(database.session)
        self._datasets = DatasetRepository(database.session)
        self._sources = TableSources(database)

    def load(
        self,
        set_name: SetName,
        dataset_name: str,
        seed: int,
        scenario: str,
        dataset_version: int | None = None,
        split: Split | None = None,
    ) -> LoadedSet:
        """Load a set in place of what is loaded as that set.

        Only production is fouled; training and testing are clean whatever `scenario` says. Loading
        what is loaded already changes nothing and keeps its predictions; other rows replace the
        old ones together with their predictions, in one transaction. Memory does not grow with the
        rows, but for up to 75 bytes per row while they are cut. Without a `split` it is the
        dataset's own, see `default_split`.

        Raises
        ------
        SplitNotPossible
            The dataset has no column to split by.
        DatasetUnknown, ScenarioUnknown
            No such name; the message lists those there are.
        """
        if scenario not in SCENARIOS:
            raise ScenarioUnknown(f"scenario must be one of: {', '.join(SCENARIOS)}.")
        applied = scenario if set_name == "production" else "clean"
        with self._database.transaction():
            self._datasets.queue_for(dataset_name)
            source = self._sources.find(dataset_name, dataset_version)
            dataset = source.dataset
            cut = _cut(source, set_name, seed, applied, split or default_split(dataset))
            content_hash = cut.content_hash()
            present = self._sets.find_load(set_name, dataset_name, dataset.version)
            changed = present is None or present.content_hash != content_hash
            if changed:
                self._loads.replace_set(
                    dataset,
                    set_name,
                    seed,
                    applied,
                    cut.split,
                    content_hash,
                    len(cut.places),
                    cut.places if cut.stays_in_the_database else cut.blocks(),
                )
            elif present is not None:
                told = (seed, applied, cut.split)
                if (present.seed, present.scenario, present.split) != told:
                    self._loads.relabel(present.id, *told)
            missing_cells = self._loads.count_missing(dataset, set_name)
            cuts = self._loads.cuts(dataset)
        n_rows = len(cut.places)
        log.info("%s set of %s: %d rows, changed: %s", set_name, dataset_name, n_rows, changed)
        return LoadedSet(
            set_name=set_name,
            dataset_name=dataset_name,
            dataset_version=dataset.version,
            seed=seed,
            scenario=applied,
            split=cut.split,
            row_count=n_rows,
            missing_cells=missing_cells,
            changed=changed,
            warnings=_warnings(cuts, cut),
        )


def default_split(dataset: Dataset) -> Split:
    """Return the split of a dataset for which none is named.

    By the columns that were named when it came: split, group, time, in this order; else by class.
    """
    if dataset.split_column is not None:
        return "column"
    if dataset.group_column is not None:
        return "group"
    return "stratified" if dataset.time_column is None else "time"


def _plain_split(dataset: Dataset, rare_class: bool) -> Split:
    """Return what `stratified` comes to."""
    return "random" if dataset.task == "regression" or rare_class else "stratified"


def _cut(source: TableSource, set_name: SetName, seed: int, scenario: str, split: Split) -> SetCut:
    if source.n_rows > MOST_SET_ROWS:
        raise TableTooLong(f"A table is cut into sets up to {MOST_SET_ROWS} rows.")
    dataset, rare_class = source.dataset, False
    if split == "time":
        places = split_by_time(source.times(_needed(dataset, split, dataset.time_column)))
    elif split == "group":
        groups = source.groups(_needed(dataset, split, dataset.group_column))
        places = split_by_group(groups, seed)
    elif split == "column":
        places = split_by_set(source.sets(_needed(dataset, split, dataset.split_column)))
    else:
        strata = source.strata()
        rare_class = strata is not None and not can_be_stratified(strata)
        if split == "stratified":
            split = _plain_split(dataset, rare_class)
        places = split_places(source.n_rows, strata if split == "stratified" else None, seed)
    return SetCut(source, set_name, seed, scenario, places[set_name], split, rare_class)


def _needed(dataset: Dataset, split: Split, column: str | None) -> str:
    if column is None:
        name = "split_column" if split == "column" else f"{split}_column"
        raise SplitNotPossible(
            f"{dataset.name} version {dataset.version} has no {name}, so it cannot be split by"
            f" {split}. Bring it with one (POST /root/simulator/datasets), or take the split"
            " stratified or random."
        )
    return column


def _warnings(cuts: dict[str, tuple[str, int]], cut: SetCut) -> tuple[str, ...]:
    warnings = []
    if len({split for split, _ in cuts.values()}) > 1:
        loaded = ", ".join(f"{name} {split}" for name, (split, _) in sorted(cuts.items()))
        warnings.append(
            f"The sets come from different splits ({loaded}), so the same row can be in two of"
            " them; load all three with one split."
        )
    elif cut.split in SEEDED_SPLITS and len(set(cuts.values())) > 1:
        loaded = ", ".join(f"{name} {seed}" for name, (_, seed) in sorted(cuts.items()))
        warnings.append(
            f"The sets come from different seeds ({loaded}), so the same row can be in two of them;"
            " load all three with one seed."
        )
    if cut.rare_class:
        warnings.append(
            "A class has fewer than 5 rows, so the sets are cut at random and not by class; a set"
            " may lack it."
        )
    return tuple(warnings)
