"""Load one of the three sets: split, foul, store."""

import logging
from dataclasses import dataclass

from contracts.vocabulary import SEEDED_SPLITS, SetName, Split
from schema.sets import Dataset, LoadedSets
from servicekit.database import Database
from servicekit.errors import Invalid
from simulator.repository.datasets import DatasetRepository
from simulator.repository.loads import LoadRepository
from simulator.service.scenarios import SCENARIOS
from simulator.service.set_cut import SetCut, SetCutter
from simulator.service.table_source import TableSources

log = logging.getLogger(__name__)


class ScenarioUnknown(Invalid):
    """Scenario unknown."""


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


class SetLoadingService:
    """Brings sets into the database. The same request leaves what it left the first time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sets = LoadedSets(database.session)
        self._loads = LoadRepository(database.session)
        self._datasets = DatasetRepository(database.session)
        self._cutter = SetCutter(self._datasets)
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
        rows. Without a `split` it is the dataset's own, see `default_split`.

        Raises
        ------
        SplitNotPossible
            The dataset has no column to split by.
        TableTooLong
            See `SetCutter.cut`.
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
            cut = self._cutter.cut(source, set_name, seed, applied, split or default_split(dataset))
            content_hash = cut.content_hash()
            present = self._sets.find_load(set_name, dataset_name, dataset.version)
            changed = present is None or present.content_hash != content_hash
            if changed:
                load_id = self._loads.replace_set(
                    dataset, set_name, seed, applied, cut.split, content_hash, cut.row_count
                )
                if cut.stays_in_the_database:
                    self._loads.copy_source_rows(
                        dataset, set_name, load_id, cut.numbers(), cut.row_count
                    )
                else:
                    self._loads.append_blocks(dataset, set_name, load_id, cut.blocks())
            elif present is not None:
                told = (seed, applied, cut.split)
                if (present.seed, present.scenario, present.split) != told:
                    self._loads.relabel(present.id, *told)
            missing_cells = self._loads.count_missing(dataset, set_name)
            cuts = self._loads.cuts(dataset)
        n_rows = cut.row_count
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
