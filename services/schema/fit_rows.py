"""Which rows of a set a model is fitted to: all that there are, or of a long set a sample.

The sample of the same set is the same in every service and at every time: a row's place in it
follows from its row number alone, not from where it lies in the table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from schema import samples
from schema.binary_copy import copy_out
from schema.samples import FIELD_TYPES, Column
from schema.splitmix import GOLDEN, mix

SEED = 42

MOST_CELLS = 7_000_000
"""Cells that a model is fitted to at most, 56 MB as numbers: a wide table's rows are fewer."""

LEAST_OF_CLASS = 10
"""Rows that a sample keeps of a class that has them, for the folds of a search."""


@dataclass(frozen=True)
class FitRows:
    """Rows to fit to, as `schema.samples.read_rows` gives them, in the set's order.

    All rows of the set, or of one with more rows than may be fitted those with a label, all
    (`sampled` is False) or a sample of them.
    """

    rows: pd.DataFrame
    rows_in_set: int
    sampled: bool

    @property
    def whole(self) -> bool:
        """Whether these are all rows of the set, with a label or without."""
        return len(self.rows) == self.rows_in_set

    @property
    def notes(self) -> list[str]:
        """A sentence for people where this is a sample."""
        return [sample_note(len(self.rows), self.rows_in_set)] if self.sampled else []

    def facts(self, target: str) -> dict[str, Any]:
        """Return what answers say of the rows that were fitted."""
        return {
            "rows_fitted": int(self.rows[target].notna().sum()),
            "rows_in_set": self.rows_in_set,
            "notes": self.notes,
        }


def sample_note(rows_fitted: int, rows_in_set: int) -> str:
    """Return the sentence that says what was fitted to a sample."""
    return (
        f"Fitted to a sample of {rows_fitted} of the set's {rows_in_set} rows, drawn with the seed"
        f" {SEED}, every class in its share: CELLAR_FIT_MAX_ROWS."
    )


def most_rows_of(max_rows: int, n_columns: int) -> int:
    """Return how many rows of so many columns, the target among them, are fitted at most."""
    return min(max_rows, max(1, MOST_CELLS // n_columns))


def draw_fit_rows(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str,
    target: Column,
    of_classes: bool,
    most: int,
) -> tuple[NDArray[np.int64], bool]:
    """Return the numbers of the labelled rows to fit to, in order, and whether they are a sample.

    `most` of them, of classes in their shares, but at least `LEAST_OF_CLASS` of each, or all that
    a class has, or `most` shared out evenly where that is less; one of each in any case. Only
    labels and numbers leave the database, a part at a time: memory grows with `most` alone.
    """
    place = (dataset_name, version, set_name, target)
    count_of = _count_labels(connection, *place, of_classes)
    counts = np.array(list(count_of.values()), dtype=np.int64)
    sampled = int(counts.sum()) > most
    quotas = shares_of(counts, most) if sampled else counts
    code_of = {label: code for code, label in enumerate(count_of)}
    chunks: Iterable[tuple[Any, Any]] = (
        (
            labels.index.to_numpy(np.int64),
            labels.map(code_of).to_numpy(np.int64)
            if of_classes
            else np.zeros(len(labels), np.int64),
        )
        for labels in _read_labels(connection, *place)
    )
    return drawn_numbers(chunks, quotas), sampled


def shares_of(counts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Share `most` rows out among strata of `counts` (n_strata,) rows, see `draw_fit_rows`."""
    least: NDArray[np.int64] = np.minimum(counts, max(1, min(LEAST_OF_CLASS, most // len(counts))))
    exact = most * counts / counts.sum()
    taken: NDArray[np.int64] = np.clip(np.floor(exact).astype(np.int64), least, counts)
    while taken.sum() > most and (taken > least).any():
        taken[int(np.argmax(np.where(taken > least, taken - exact, -np.inf)))] -= 1
    while taken.sum() < most and (taken < counts).any():
        taken[int(np.argmax(np.where(taken < counts, exact - taken, -np.inf)))] += 1
    return taken


def drawn_numbers(
    chunks: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]], quotas: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Draw `quotas` (n_strata,) rows of each stratum, and return their numbers in order.

    `chunks` are row numbers and the stratum of each, in any order and of any length: what is drawn
    does not depend on it. The rows drawn are those of the lowest keys, see `_keys`.
    """
    kept = _Kept(quotas)
    for numbers, strata in chunks:
        kept.add(numbers, strata)
    return kept.numbers()


class _Kept:
    """The rows of the lowest keys so far, and some more that wait to be compared."""

    def __init__(self, quotas: NDArray[np.int64]) -> None:
        self._quotas = quotas
        self._room = 2 * int(quotas.sum())
        self._highest = np.full(len(quotas), np.iinfo(np.uint64).max, dtype=np.uint64)
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._rows = 0

    def add(self, numbers: NDArray[np.int64], strata: NDArray[np.int64]) -> None:
        wanted = _keys(numbers) <= self._highest[strata]
        self._parts.append((numbers[wanted], strata[wanted]))
        self._rows += int(wanted.sum())
        if self._rows > self._room:
            self._compare()

    def numbers(self) -> NDArray[np.int64]:
        self._compare()
        return np.sort(self._parts[0][0])

    def _compare(self) -> None:
        empty = np.empty(0, np.int64)
        numbers = np.concatenate([empty, *(part[0] for part in self._parts)])
        strata = np.concatenate([empty, *(part[1] for part in self._parts)])
        keys = _keys(numbers)
        order = np.lexsort((keys, strata))
        numbers, strata, keys = numbers[order], strata[order], keys[order]
        first = np.searchsorted(strata, np.arange(len(self._quotas)))
        places = np.arange(len(strata)) - first[strata]
        last = places == self._quotas[strata] - 1
        self._highest[strata[last]] = keys[last]
        kept = places < self._quotas[strata]
        self._parts = [(numbers[kept], strata[kept])]
        self._rows = int(kept.sum())


def _keys(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key (n,) per row number that looks random, a different one for each."""
    seed = np.uint64(SEED * 0xD1B54A32D192ED03 % 2**64)
    return mix(numbers.astype(np.uint64) * GOLDEN + seed)


def _count_labels(
    connection: PgConnection,
    dataset_name: str,
    version: int,
    set_name: str,
    target: Column,
    of_classes: bool,
) -> dict[object, int]:
    """Return the rows by class; of a regression all that have a label, under None."""
    label = sql.Identifier(target.name)
    statement = sql.SQL(
        "SELECT {label}, count(*) FROM {table}"
        " WHERE set_name = {set_name} AND {known} IS NOT NULL{each}"
    ).format(
        label=label if of_classes else sql.SQL("NULL"),
        table=samples.table_name(dataset_name, version),
        set_name=sql.Literal(set_name),
        known=label,
        each=sql.SQL(" GROUP BY 1 ORDER BY 1") if of_classes else sql.SQL(""),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return dict(cursor.fetchall())


def _read_labels(
    connection: PgConnection, dataset_name: str, version: int, set_name: str, target: Column
) -> "Iterator[pd.Series]":
    """Yield the labels that there are, by row number, part by part."""
    label = sql.Identifier(target.name)
    for ids in samples.parts_of_set(connection, dataset_name, version, set_name, 2):
        query = sql.SQL(
            # As in `samples.read_part`: along the key, not along the index on the set.
            "SELECT row_number, {label} FROM {table} WHERE sample_id >= {start}"
            " AND sample_id < {stop} AND set_name || '' = {set_name} AND {label} IS NOT NULL"
        ).format(
            label=label,
            table=samples.table_name(dataset_name, version),
            start=sql.Literal(ids.start),
            stop=sql.Literal(ids.stop),
            set_name=sql.Literal(set_name),
        )
        types = {"row_number": "int4", target.name: FIELD_TYPES[target.type]}
        rows = copy_out(connection, query, types, index="row_number")
        yield rows[target.name]
