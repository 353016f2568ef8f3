"""Counts the rows of a long set where they are, in PostgreSQL.

The rows are divided into ranges. A statement reads a range once, for up to `COLUMNS_AT_ONCE`
columns: memory stays flat on both sides, and several connections count at the same time. The
windows of a set are told apart in the same statements. Knows what is asked for, and adds up; the
SQL is written by `counting_sql`, and what follows from the counts is known to
`service.counted_rule`.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from monitoring.repository import counting_sql
from monitoring.repository.set_scans import MISSING_IN_ROW, ColumnScan, Row, TextScan, fetched
from monitoring.repository.shared_snapshot import SharedSnapshot
from monitoring.repository.windows import Windows
from monitoring.service.figures import Figures, combined
from monitoring.service.set_statistics import (
    MOST_CATEGORIES,
    AnswerCount,
    CategoryCells,
    Cells,
    ClassCounts,
    ColumnCounts,
    ErrorCounts,
    FeatureCounts,
    NumberCells,
    Span,
    TruthCells,
    number_cells,
)
from schema.number_limits import LARGEST_SUMMED
from schema.samples import Column
from schema.sets import SetLoad


class SetCounts:
    """Counts what a transaction sees."""

    def __init__(self, snapshot: SharedSnapshot) -> None:
        self._snapshot = snapshot

    def begin(self) -> None:
        """Prepare the transaction for counting; to be called first in each."""
        self._snapshot.begin()

    def cells(self, load: SetLoad, row_numbers: NDArray[np.int64]) -> Sequence[Cells]:
        """Return the cells of every feature, from the rows of these numbers."""
        features = load.dataset.features
        chosen = counting_sql.rows_of(load, counting_sql.numbered(row_numbers))
        found: dict[str, Cells] = {
            column.name: TruthCells(column.name) for column in features if column.type == "boolean"
        }
        for columns in counting_sql.at_once(_numbers(features)):
            wanted = (counting_sql.quantiles(counting_sql.as_number(column)) for column in columns)
            (row,) = self._fetch("SELECT {} {}", counting_sql.listed(wanted), chosen)
            for column, quantiles in zip(columns, row, strict=True):
                found[column.name] = number_cells(column.name, quantiles or ())
        for column in _texts(features):
            rows = self._fetch(
                "SELECT {0} {1} AND {0} IS NOT NULL GROUP BY 1"
                ' ORDER BY count(*) DESC, {0} COLLATE "C" LIMIT {2}',
                *(counting_sql.named(column), chosen, sql.Literal(MOST_CATEGORIES)),
            )
            found[column.name] = CategoryCells(column.name, tuple(category for (category,) in rows))
        return [found[column.name] for column in features]

    def windows(self, load: SetLoad, count: int) -> Windows:
        """Return parts of a set of nearly equally many rows, in the order of its time column.

        Rows of the same time are in the same part, so there may be fewer than `count`. Without a
        time column the order is that in which the rows are stored.
        """
        if load.dataset.time_column is None:
            of_row = sql.SQL("(s.row_number::int8 * {} / {})::int4").format(
                sql.Literal(count), sql.Literal(load.row_count)
            )
            starts = [-(-part * load.row_count // count) for part in range(count + 1)]
            spans = [Span(end - start) for start, end in itertools.pairwise(starts)]
            return Windows(of_row, spans)
        columns = {column.name: column for column in load.dataset.columns}
        column = columns[load.dataset.time_column]
        time = counting_sql.named(column)
        rows = counting_sql.rows_of(load, counting_sql.everywhere())
        ((least, ends),) = self._fetch(
            "SELECT min({0}), percentile_disc({1}::float8[]) WITHIN GROUP (ORDER BY {0}) {2}",
            *(time, sql.Literal([part / count for part in range(1, count)]), rows),
        )
        # A part begins at a time that a row has, hence none is empty.
        edges = [] if least is None else sorted({end for end in ends if end > least})
        number = counting_sql.time_bucket(column, edges)
        found = self._fetch(
            "SELECT {} AS part, count(*), min({}), max({}) {} GROUP BY 1 ORDER BY 1",
            *(number, time, time, rows),
        )
        spans = [
            Span(rows, _written(first), _written(last))
            for part, rows, first, last in found
            if part is not None
        ]
        return Windows(number, spans)

    def features(
        self, load: SetLoad, cells: Sequence[Cells], windows: Windows | None = None
    ) -> Sequence[FeatureCounts]:
        """Count every feature of a set in these cells: of each window, by default of the whole."""
        windows = windows or Windows.whole(load)
        texts = [item for item in cells if item.kind == "category"]
        of_columns = [
            ColumnScan(load, some, windows, with_missing=place == 0)
            for place, some in enumerate(counting_sql.at_once(cells))
        ]
        of_texts = [TextScan(load, some, windows) for some in counting_sql.at_once(texts)]
        scans: list[ColumnScan | TextScan] = [*of_columns, *of_texts]
        parts = [(scan, which) for scan in scans for which in counting_sql.ranges(load.row_count)]
        readers: list[Callable[[PgConnection], Any]] = [
            partial(scan.read, which) for scan, which in parts
        ]
        for (scan, _), found in zip(parts, self._snapshot.each(readers), strict=True):
            scan.add(found)
        counts_of = {name: found for scan in scans for name, found in scan.counts().items()}
        figures_of = {name: found for scan in of_columns for name, found in scan.figures().items()}
        counted = []
        for part in range(len(windows.spans)):
            columns = []
            for item in cells:
                counts, (rows, figures) = counts_of[item.name][part], figures_of[item.name][part]
                if item.kind == "category":
                    counts = [*counts, figures.present - sum(counts)]
                columns.append(_column(item.name, counts, rows, figures))
            counted.append(FeatureCounts(cells, columns, counts_of[MISSING_IN_ROW][part]))
        return counted

    def classes(
        self, load: SetLoad, model_version_id: int, windows: Windows | None = None
    ) -> Sequence[ClassCounts]:
        """Count every pair of class and prediction: of each window, by default of the whole."""
        windows = windows or Windows.whole(load)
        target = counting_sql.named(load.dataset.target)
        of_rows = {"part": windows.part, "target": target}
        statements = [
            sql.SQL(
                "{} SELECT part, target, p.predicted_class, count(*) {} GROUP BY 1, 2, 3"
            ).format(*counting_sql.joined(load, model_version_id, which, of_rows))
            for which in counting_sql.ranges(load.row_count)
        ]
        counts: Counter[tuple[int, Any, str | None]] = Counter()
        for rows in self._snapshot.each([partial(fetched, item) for item in statements]):
            for part, actual, predicted, count in rows:
                if part is not None:
                    counts[part, actual, predicted] += count
        answers: list[list[AnswerCount]] = [[] for _ in windows.spans]
        for part, actual, predicted in sorted(counts, key=_none_last):
            # As the frames write classes: 1 and not 1.0, True and not true.
            truth = None if actual is None else str(actual)
            answers[part].append(AnswerCount(truth, predicted, counts[part, actual, predicted]))
        return [ClassCounts(found) for found in answers]

    def prediction_cells(
        self, load: SetLoad, model_version_id: int, row_numbers: NDArray[np.int64]
    ) -> NumberCells:
        """Return the cells of a regression's predictions, from the rows of these numbers."""
        chosen = counting_sql.joined(load, model_version_id, counting_sql.numbered(row_numbers), {})
        ((quantiles,),) = self._fetch(
            "{} SELECT {} {}",
            *(chosen[0], counting_sql.quantiles(counting_sql.PREDICTION), chosen[1]),
        )
        return number_cells("prediction", quantiles or ())

    def errors(
        self,
        load: SetLoad,
        model_version_id: int,
        cells: NumberCells,
        windows: Windows | None = None,
    ) -> Sequence[ErrorCounts]:
        """Count the predictions of a regression, and add up their errors: of each window."""
        windows = windows or Windows.whole(load)
        statements = [
            counting_sql.medians(load, model_version_id, windows.number),
            *(
                counting_sql.errors(load, model_version_id, which, windows.part, cells.edges)
                for which in counting_sql.ranges(load.row_count)
            ),
        ]
        of_medians, *of_ranges = self._snapshot.each(
            [partial(fetched, item) for item in statements]
        )
        median_of: dict[int | None, float | None] = dict(of_medians)
        counts = np.zeros((len(windows.spans), len(cells.edges) + 1), dtype=np.int64)
        sums: list[list[Row]] = [[] for _ in windows.spans]
        for part, cell, is_sum, count, *figures in itertools.chain.from_iterable(of_ranges):
            if part is not None and is_sum:
                sums[part].append(tuple(figures))
            elif part is not None and cell is not None:
                counts[part, cell] += count
        return [
            _errors(cells, counts[part].tolist(), sums[part], span.rows, median_of.get(part))
            for part, span in enumerate(windows.spans)
        ]

    def _fetch(self, statement: str, *parts: sql.Composable) -> list[Row]:
        return fetched(sql.SQL(statement).format(*parts), self._snapshot.connection)


def _texts(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.type == "text"]


def _numbers(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.type not in ("text", "boolean")]


def _written(time: Any) -> str:
    """Return a time as people write it; a number in its shortest form."""
    return str(time.isoformat()) if isinstance(time, date) else repr(time)


def _none_last(values: Row) -> tuple[Any, ...]:
    return tuple((value is None, value) for value in values)


def _column(name: str, counts: Sequence[int], rows: int, figures: Figures) -> ColumnCounts:
    """Return a column's counts with its figures as far as they can be told."""
    least, largest, mean, variance = (
        value if value is not None and math.isfinite(value) else None
        for value in (figures.minimum, figures.maximum, figures.mean, figures.variance)
    )
    if not _can_be_summed(figures):
        mean = variance = None
    deviation = None if variance is None else math.sqrt(variance)
    return ColumnCounts(name, counts, rows - figures.present, least, largest, mean, deviation)


def _can_be_summed(figures: Figures) -> bool:
    extremes = figures.minimum or 0.0, figures.maximum or 0.0
    return max(map(abs, extremes)) < LARGEST_SUMMED


def _errors(
    cells: NumberCells, counts: Sequence[int], sums: Sequence[Row], rows: int, median: float | None
) -> ErrorCounts:
    """Return what the ranges of a window's rows say together: see `counting_sql.errors`."""
    of_errors = combined([Figures(row[0], None, None, *row[1:3]) for row in sums])
    squares = [row[0] / of_errors.present * row[3] for row in sums if row[0]]
    return ErrorCounts(
        cells=cells,
        predicted=_column(
            "prediction", counts, rows, combined([Figures(*row[4:]) for row in sums])
        ),
        median=median,
        labelled=of_errors.present,
        mean_error=of_errors.mean,
        error_variance=of_errors.variance,
        root_mean_squared_error=math.sqrt(sum(squares)) if squares else None,
    )
