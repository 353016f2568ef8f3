"""The rows that a model is fitted to, out of a real PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from schema import fit_rows, samples
from schema.samples import Column
from schema.sets import LoadedSets, SetLoad
from tests.support.databases import TestDatabase

N_ROWS = 400
COLUMNS = (Column("a", "number"), Column("colour", "text"))


def labels_of(type_: str) -> pd.Series:
    """Return 300 of one class, 60 of another, 4 of a third and 36 that are missing; or numbers."""
    codes = np.repeat([0, 1, 2, -1], [300, 60, 4, 36])
    np.random.default_rng(5).shuffle(codes)
    values: dict[str, list[Any]] = {
        "text": ["süß", "it's", 'a "b"'],
        "integer": [3, -1, 2**40],
        "boolean": [True, False, True],
        "number": [0.5, 1.5, -2.25],
    }
    labels = [None if code < 0 else values[type_][code] for code in codes]
    return pd.Series(labels, dtype=samples.PANDAS_TYPES[type_])


class Stored:
    """A set in the database, loaded past the simulator."""

    def __init__(self, database: TestDatabase) -> None:
        self._database = database

    def put(self, type_: str, task: str, *, order: Any = None, name: str = "mine") -> SetLoad:
        """Store the rows, in the table in this order."""
        columns = [*COLUMNS, Column("t", type_)]  # type: ignore[arg-type]
        listed = ", ".join(f'{{"name": "{c.name}", "type": "{c.type}"}}' for c in columns)
        [(dataset_id,)] = self._database.rows(
            "SELECT nextval(pg_get_serial_sequence('datasets', 'id'))::bigint"
        )
        self._database.execute(
            "INSERT INTO datasets (id, name, version, content_hash, task, target, columns, classes,"
            " origin) OVERRIDING SYSTEM VALUE VALUES (%s, %s, 1, 'h', %s, 't', %s, '[]', 'test');"
            "INSERT INTO set_loads (dataset_id, set_name, seed, scenario, content_hash, row_count)"
            " VALUES (%s, 'training', 0, 'clean', 'h', %s)",
            (dataset_id, name, task, f"[{listed}]", dataset_id, N_ROWS),
        )
        rows = pd.DataFrame({"a": np.arange(N_ROWS) / 4, "colour": ["rot", None] * 200})
        rows["t"] = labels_of(type_)
        order = np.arange(N_ROWS) if order is None else order
        with self._database.connection("cellar_simulator") as connection:
            samples.create_table(connection, name, 1, columns)
            # Rows of another set lie between.
            other = np.arange(50)
            samples.append_rows(connection, name, 1, "testing", 1, columns, other, rows.head(50))
            samples.append_rows(
                connection, name, 1, "training", 1, columns, order, rows.iloc[order]
            )
            connection.commit()
        with self._database.session("cellar_ml_model") as session:
            return LoadedSets(session).get_load("training", name, 1)  # type: ignore[arg-type]

    def read(self, load: SetLoad, max_rows: int) -> fit_rows.FitRows:
        """Read rows to fit to."""
        with self._database.session("cellar_ml_model") as session:
            return LoadedSets(session).read_fit_rows(load, max_rows)  # type: ignore[arg-type]

    def read_all(self, load: SetLoad) -> pd.DataFrame:
        """Read all rows."""
        with self._database.session("cellar_ml_model") as session:
            return LoadedSets(session).read_rows(load)  # type: ignore[arg-type]


@pytest.fixture
def stored(cellar_database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    monkeypatch.setattr(samples, "CHUNK_ROWS", 90)
    return Stored(cellar_database)


def test_a_set_at_the_limit_is_read_whole(stored: Stored) -> None:
    load = stored.put("text", "classification")
    found = stored.read(load, N_ROWS)
    assert (found.sampled, found.whole, found.notes) == (False, True, [])
    assert_frame_equal(found.rows, stored.read_all(load))


@pytest.mark.parametrize("type_", ["text", "integer", "number", "boolean"])
def test_classes_keep_their_shares_and_none_is_lost(stored: Stored, type_: str) -> None:
    load = stored.put(type_, "classification")
    found = stored.read(load, 60)
    counts = sorted(found.rows["t"].value_counts())
    # 304 and 60 of two truth values; 300, 60 and 4 else, of which the rare one is kept whole.
    assert counts == ([10, 50] if type_ == "boolean" else [4, 10, 46])
    assert (found.sampled, found.whole, found.rows_in_set) == (True, False, N_ROWS)
    assert "a sample of 60 of the set's 400 rows" in found.notes[0]
    everything = stored.read_all(load)
    assert_frame_equal(found.rows, everything.loc[found.rows.index])
    # In the set's order, which is that of time where the set was cut by it.
    assert found.rows["a"].is_monotonic_increasing


def test_same_rows_wherever_they_lie(stored: Stored) -> None:
    straight = stored.read(stored.put("text", "classification"), 60)
    order = np.random.default_rng(0).permutation(N_ROWS)
    mixed = stored.read(stored.put("text", "classification", order=order, name="mixed"), 60)
    assert_frame_equal(straight.rows.reset_index(drop=True), mixed.rows.reset_index(drop=True))


def test_numbers_are_drawn_alike(stored: Stored) -> None:
    load = stored.put("number", "regression")
    found = stored.read(load, 60)
    assert len(found.rows) == 60 and found.rows["t"].notna().all()
    more = stored.read(load, 61)
    # A higher limit adds rows and takes none away.
    assert set(found.rows.index) < set(more.rows.index)


def test_fewer_labels_than_the_limit_are_no_sample(stored: Stored) -> None:
    load = stored.put("text", "classification")
    found = stored.read(load, 370)
    assert (found.sampled, found.whole, found.notes) == (False, False, [])
    everything = stored.read_all(load)
    assert_frame_equal(found.rows, everything[everything["t"].notna()])
