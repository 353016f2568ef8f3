"""Scored tables of every column type, and who counts them: for tests of what monitoring counts."""

from typing import Any

import numpy as np
import pandas as pd
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from contracts.vocabulary import ColumnType
from monitoring.repository.scored_sets import ScoredSetsRepository
from monitoring.repository.set_counts import SetCounts
from monitoring.repository.set_statistics import SetStatisticsRepository
from monitoring.repository.shared_snapshot import SharedSnapshot
from monitoring.service.counted_sets import CountedSetsReader
from schema.samples import Column
from tests.support.databases import TestDatabase
from tests.support.scored_tables import ScoredTable

ROWS = 4000
TYPES: dict[str, ColumnType] = {
    "even": "number",
    'sugar (g/l), "dry" 100%': "number",
    "year": "integer",
    "rosé": "boolean",
    "colour": "text",
    "empty": "number",
    "picked": "date",
    "bottled at": "timestamp",
}


def rows_of(seed: int, n_rows: int = ROWS, moved: float = 0.0) -> pd.DataFrame:
    """Return rows of every type, with gaps, ties and odd names; `moved` shifts half of them."""
    draw = np.random.default_rng(seed)
    even, sugar, year, rose, colour, empty, picked, bottled = TYPES
    words = np.array(["red", "white", "it's", "none", "ünlü"], dtype=object)
    days = pd.Series(
        pd.to_datetime((19_000 + 300 * (draw.random(n_rows) + moved)) * 86_400_000_000, unit="us")
    )
    days = days.dt.as_unit("us")
    frame = pd.DataFrame(
        {
            even: draw.normal(size=n_rows) + moved,
            # A third of all is 0: a value that many rows have.
            sugar: np.where(draw.random(n_rows) < 0.33, 0.0, draw.exponential(3.0, n_rows)) + moved,
            year: pd.array(draw.integers(1990, 2000, n_rows), "Int64"),
            rose: pd.array(draw.random(n_rows) < 0.3 + 0.2 * bool(moved), "boolean"),
            colour: words[draw.integers(0, 4 + bool(moved), n_rows)],
            empty: np.nan,
            picked: days.dt.floor("D"),
            bottled: days,
        }
    )
    for name in (even, year, rose, colour, picked, bottled):
        frame.loc[draw.random(n_rows) < 0.05, name] = None
    return frame


def table_of(
    reference: pd.DataFrame, current: pd.DataFrame, task: str = "classification", off: float = 0.1
) -> ScoredTable:
    """Return a table whose predictions in production are off as said: in a share, or by so much."""
    draw = np.random.default_rng(7)
    columns = [Column(name, type_) for name, type_ in TYPES.items()]
    sets = {}
    for set_name, frame, wrong in (("testing", reference, 0.1), ("production", current, off)):
        n_rows = len(frame)
        truth: Any = draw.integers(0, 3, n_rows)
        if task == "regression":
            truth = draw.normal(size=n_rows)
            predicted: Any = truth + draw.normal(scale=wrong, size=n_rows)
            kept = np.where(draw.random(n_rows) < 0.1, np.nan, truth)
        else:
            predicted = np.where(draw.random(n_rows) < wrong, (truth + 1) % 3, truth)
            kept = pd.array(np.where(draw.random(n_rows) < 0.1, None, truth), "Int64")
        sets[set_name] = (frame.assign(target=kept), predicted)
    of_target: ColumnType = "number" if task == "regression" else "integer"
    classes = [] if task == "regression" else [0, 1, 2]
    return ScoredTable(
        "cellar", [*columns, Column("target", of_target)], "target", task, classes, sets
    )


class Counter:
    """Counts, and reads whole, what is stored in a database."""

    def __init__(self, database: TestDatabase, session: Any) -> None:
        self.database = database
        self.sets = ScoredSetsRepository(session)
        snapshot = SharedSnapshot(session, self._connect)
        self.reader = CountedSetsReader(SetCounts(snapshot), SetStatisticsRepository(session))
        self.session = session

    def _connect(self) -> PgConnection:
        connection = self.database.connect("cellar_monitoring")
        connection.autocommit = True
        return connection

    def read(self) -> Any:
        """Return the counted sets and what of them is fresh; keep that."""
        self.sets.begin_snapshot()
        counted, fresh = self.reader.read(self.sets.get("cellar", None))
        self.reader.keep(fresh)
        self.session.commit()
        return counted, fresh

    def read_windows(self, window_count: int) -> Any:
        """Return the production set in windows and what of them is fresh; keep that."""
        self.sets.begin_snapshot()
        windowed, fresh = self.reader.read_windows(self.sets.get("cellar", None), window_count)
        self.reader.keep(fresh)
        self.session.commit()
        return windowed, fresh


def store(database: TestDatabase, table: ScoredTable) -> int:
    """Write a table into a database; return the model version's id."""
    with database.connection("cellar_simulator") as connection:
        return table.store(connection)
