"""Load one of the three sets: split, foul, store."""

import hashlib
import logging
from dataclasses import dataclass

import pandas as pd

from contracts.vocabulary import SetName
from schema.sets import LoadedSets
from servicekit.database import Database
from servicekit.errors import Invalid, NotFound
from simulator.builtin_datasets import DATASET_NAMES, SourceDataset, read_builtin
from simulator.repository.loads import LoadRepository
from simulator.service.scenarios import SCENARIOS, foul
from simulator.service.splitting import split

log = logging.getLogger(__name__)


class DatasetUnknown(NotFound):
    """Dataset not found."""


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

    def load(self, set_name: SetName, dataset_name: str, seed: int, scenario: str) -> LoadedSet:
        """Load a set in place of what is loaded as that set.

        Only production is fouled; training and testing are clean whatever `scenario` says. Loading
        what is loaded already changes nothing and keeps its predictions; other rows replace the
        old ones together with their predictions, in one transaction.

        Raises
        ------
        DatasetUnknown, ScenarioUnknown
            No such name; the message lists those there are.
        """
        if dataset_name not in DATASET_NAMES:
            raise DatasetUnknown(f"dataset_name must be one of: {', '.join(DATASET_NAMES)}.")
        if scenario not in SCENARIOS:
            raise ScenarioUnknown(f"scenario must be one of: {', '.join(SCENARIOS)}.")
        source = read_builtin(dataset_name)
        applied = scenario if set_name == "production" else "clean"
        rows = _rows_of(source, set_name, seed, applied)
        content_hash = content_hash_of(rows)
        with self._database.transaction():
            self._loads.queue_for(dataset_name)
            dataset = self._loads.ensure_dataset(source, content_hash_of(source.rows))
            present = self._sets.find_load(set_name, dataset_name, dataset.version)
            changed = present is None or present.content_hash != content_hash
            if changed:
                self._loads.replace_set(dataset, set_name, seed, applied, content_hash, rows)
            elif present is not None and (present.seed, present.scenario) != (seed, applied):
                self._loads.relabel(present.id, seed, applied)
            seeds = self._loads.seeds(dataset)
        log.info("%s set of %s: %d rows, changed: %s", set_name, dataset_name, len(rows), changed)
        return LoadedSet(
            set_name=set_name,
            dataset_name=dataset_name,
            dataset_version=dataset.version,
            seed=seed,
            scenario=applied,
            row_count=len(rows),
            missing_cells=int(rows.isna().to_numpy().sum()),
            changed=changed,
            warnings=_warnings(seeds),
        )


def content_hash_of(rows: pd.DataFrame) -> str:
    """Return a SHA-256 of names, order and values; equal rows give equal hashes on any machine."""
    digest = hashlib.sha256("\x1f".join(map(str, rows.columns)).encode())
    digest.update(pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _rows_of(source: SourceDataset, set_name: SetName, seed: int, scenario: str) -> pd.DataFrame:
    names = [column.name for column in source.features]
    rows = split(source.rows, source.target.name, seed)[set_name].reset_index(drop=True)
    deviations = source.rows[names].to_numpy().std(axis=0)
    fouled = foul(rows[names].to_numpy(), deviations, scenario, seed)
    return pd.DataFrame(fouled, columns=names).assign(
        **{source.target.name: rows[source.target.name]}
    )


def _warnings(seeds: dict[str, int]) -> tuple[str, ...]:
    if len(set(seeds.values())) <= 1:
        return ()
    loaded = ", ".join(f"{name} {seed}" for name, seed in sorted(seeds.items()))
    warning = (
        f"The sets come from different seeds ({loaded}), so the same row can be in two of them; "
        "load all three with one seed."
    )
    return (warning,)
