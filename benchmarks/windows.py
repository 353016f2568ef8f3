"""How often windows of unchanged production ask for retraining, and which one finds a change.

    python benchmarks/windows.py [--seeds 100] [--rows 6000] [--windows 12]

In each seed a testing set and a production set of 13 normal columns with 2 % gaps and a classifier
that is right in 90 % of the rows; no database, the counts are numpy's. *Clean*: production is like
testing. *Shift*: from the middle on a third of the columns moves by half a standard deviation.
Exits with 1 where more than the rule's false-alarm rate of the clean seeds raise an alarm.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "services")]

import numpy as np  # noqa: E402 - found by the line above
from numpy.typing import NDArray  # noqa: E402

from monitoring.service.retraining_signals import RetrainingRule  # noqa: E402
from monitoring.service.set_statistics import (  # noqa: E402
    QUANTILES,
    AnswerCount,
    ClassCounts,
    ColumnCounts,
    CountedSet,
    FeatureCounts,
    NumberCells,
    Span,
    WindowedSet,
    number_cells,
)
from monitoring.service.windowed_rule import first_alarm, judge_windows  # noqa: E402

COLUMNS, GAPS, RIGHT, MOVED_COLUMNS, MOVED_BY = 13, 0.02, 0.9, 5, 0.5
LEVELS = np.arange(1, QUANTILES) / QUANTILES

Rows = tuple[NDArray[np.float64], NDArray[np.bool_]]


def drawn(draw: np.random.Generator, rows: int) -> Rows:
    """Return values (rows, 13), NaN where missing, and which rows are classified rightly."""
    values = draw.normal(size=(rows, COLUMNS))
    values[draw.random(values.shape) < GAPS] = np.nan
    return values, draw.random(rows) < RIGHT


def counted(rows: Rows, cells: list[NumberCells]) -> CountedSet:
    """Count as the database does."""
    values, right = rows
    missing = np.isnan(values)
    columns = [
        ColumnCounts(
            item.name,
            np.bincount(
                np.searchsorted(item.edges, column[~gaps], side="right"),
                minlength=len(item.edges) + 1,
            ).tolist(),
            int(gaps.sum()),
        )
        for item, column, gaps in zip(cells, values.T, missing.T, strict=True)
    ]
    per_row = np.bincount(missing.sum(axis=1), minlength=COLUMNS + 1).tolist()
    answers = [
        AnswerCount("yes", "yes", int(right.sum())),
        AnswerCount("yes", "no", int((~right).sum())),
    ]
    return CountedSet(FeatureCounts(cells, columns, per_row), ClassCounts(answers))


def alarm(seed: int, rows: int, windows: int, moved: bool) -> int | None:
    """Return the first window that asks for retraining."""
    draw = np.random.default_rng(seed)
    testing, production = drawn(draw, rows), drawn(draw, rows)
    if moved:
        production[0][rows // 2 :, :MOVED_COLUMNS] += MOVED_BY
    cells = [
        number_cells(f"x{place}", np.nanquantile(column, LEVELS, method="inverted_cdf").tolist())
        for place, column in enumerate(testing[0].T)
    ]
    parts = np.array_split(np.arange(rows), windows)
    windowed = WindowedSet(
        counted(testing, cells),
        [Span(len(part)) for part in parts],
        [counted((production[0][part], production[1][part]), cells) for part in parts],
        ["no", "yes"],
    )
    return first_alarm(judge_windows(windowed, RetrainingRule()))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--windows", type=int, default=12)
    chosen = parser.parse_args()
    found = {
        moved: Counter(
            alarm(seed, chosen.rows, chosen.windows, moved) for seed in range(chosen.seeds)
        )
        for moved in (False, True)
    }
    false_alarms = chosen.seeds - found[False][None]
    print(f"{chosen.rows} rows in {chosen.windows} windows, {chosen.seeds} seeds")
    print(f"clean: {false_alarms} with an alarm in any window")
    first = chosen.windows // 2 + 1
    print(f"shift from window {first} on: first alarm in")
    for number, count in sorted(found[True].items(), key=lambda item: item[0] or 0):
        print(f"  window {number}: {count}")
    return 1 if false_alarms > RetrainingRule().false_alarm_rate * chosen.seeds else 0


if __name__ == "__main__":
    sys.exit(main())
