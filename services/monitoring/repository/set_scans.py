"""What one statement counts of a range of a set's rows, and how ranges are put together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from monitoring.repository import counting_sql, packed_cells
from monitoring.repository.windows import Windows
from monitoring.service.figures import Figures, combined
from monitoring.service.set_statistics import CategoryCells, Cells
from schema.sets import SetLoad

Row = tuple[Any, ...]

MISSING_IN_ROW = ""
"""Where a column's name would be, for the number of columns without a value; none is called so."""


class ColumnScan:
    """Figures of some columns, and how many rows are in each cell of numbers and truth values."""

    def __init__(
        self, load: SetLoad, cells: Sequence[Cells], windows: Windows, *, with_missing: bool
    ) -> None:
        self._load, self._windows = load, windows
        columns = {column.name: column for column in load.dataset.features}
        self._columns = [columns[item.name] for item in cells]
        numbered = [item for item in cells if item.kind != "category"]
        self._names = [item.name for item in numbered]
        self._sizes = [counting_sql.cell_count(item) for item in numbered]
        values = [counting_sql.cell_of(item, columns[item.name]) for item in numbered]
        if with_missing:
            self._names.append(MISSING_IN_ROW)
            self._sizes.append(len(columns) + 1)
            values.append(counting_sql.missing_in_row(list(columns.values())))
        self._packs = list(packed_cells.packs(self._sizes))
        self._wanted = [
            *map(counting_sql.figures, self._columns),
            *(packed_cells.packed(values[pack], self._sizes[pack]) for pack in self._packs),
        ]
        self._figures: list[list[Row]] = [[] for _ in windows.spans]
        self._counts = np.zeros((len(windows.spans), sum(self._sizes)), dtype=np.int64)

    def read(
        self, which: sql.Composable, connection: PgConnection
    ) -> list[tuple[int, Row, NDArray[np.int64]]]:
        """Return figures and counts of each part."""
        statement = sql.SQL("SELECT {} AS part, count(*), {} {} GROUP BY 1").format(
            self._windows.part,
            counting_sql.listed(self._wanted),
            counting_sql.rows_of(self._load, which),
        )
        figures = 1 + 5 * len(self._columns)
        return [
            (part, tuple(row[:figures]), self._counted(row[figures:]))
            for part, *row in fetched(statement, connection)
            if part is not None
        ]

    def _counted(self, packs: Sequence[memoryview]) -> NDArray[np.int64]:
        found = [
            packed_cells.counted(data, self._sizes[pack])
            for data, pack in zip(packs, self._packs, strict=True)
        ]
        return np.concatenate([np.zeros(0, dtype=np.int64), *found])

    def add(self, found: list[tuple[int, Row, NDArray[np.int64]]]) -> None:
        """Add what further rows say."""
        for part, figures, counts in found:
            self._figures[part].append(figures)
            self._counts[part] += counts

    def counts(self) -> Mapping[str, Sequence[Sequence[int]]]:
        """Return the counts by cell of each column that has some here, of each window."""
        ends = np.cumsum(self._sizes)[:-1]
        of_columns = np.split(self._counts, ends, axis=1) if self._names else []
        return {name: counts.tolist() for name, counts in zip(self._names, of_columns, strict=True)}

    def figures(self) -> Mapping[str, Sequence[tuple[int, Figures]]]:
        """Return rows and figures of each column, of each window."""
        return {
            column.name: [
                (
                    sum(rows for rows, *_ in found),
                    combined([Figures(*row[5 * place + 1 : 5 * place + 6]) for row in found]),
                )
                for found in self._figures
            ]
            for place, column in enumerate(self._columns)
        }


class TextScan:
    """How many rows have each of the known categories of some columns."""

    def __init__(self, load: SetLoad, cells: Sequence[CategoryCells], windows: Windows) -> None:
        columns = {column.name: column for column in load.dataset.features}
        self._load, self._windows, self._cells = load, windows, cells
        self._wanted = [
            counting_sql.category(columns[item.name], item.categories) for item in cells
        ]
        self._places = [
            {category: place for place, category in enumerate(item.categories)} for item in cells
        ]
        self._counts = [
            np.zeros((len(windows.spans), len(item.categories)), dtype=np.int64) for item in cells
        ]

    def read(self, which: sql.Composable, connection: PgConnection) -> list[NDArray[np.int64]]:
        """Return the counts of each column."""
        found = [np.zeros_like(counts) for counts in self._counts]
        rows = counting_sql.rows_of(self._load, which)
        with connection.cursor() as cursor:
            cursor.execute(counting_sql.by_each(self._wanted, self._windows.part, rows))
            for part, place, category, times in cursor:
                if part is not None and category is not None:
                    found[place][part, self._places[place][category]] = times
        return found

    def add(self, found: list[NDArray[np.int64]]) -> None:
        """Add what further rows say."""
        for counts, more in zip(self._counts, found, strict=True):
            counts += more

    def counts(self) -> Mapping[str, Sequence[Sequence[int]]]:
        """Return the counts by category of each column, of each window."""
        return {
            item.name: counts.tolist()
            for item, counts in zip(self._cells, self._counts, strict=True)
        }


def fetched(statement: sql.Composable, connection: PgConnection) -> list[Row]:
    """Return all rows that a statement answers."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
