"""How often the drift check is right: false alarms without drift, and what it finds with it.

    python benchmarks/drift_check.py [--seeds 500]

Rows of wine and breast cancer (13 and 30 correlated columns) are drawn without drift and shared out
between reference and current rows; then some columns are shifted, or blanked. *Naive* is "some
column has a Kolmogorov-Smirnov p-value below 0.05". Last, the power at the rows that the check
itself says are needed, for a normal column shifted so that half of its mass has to move.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "services"))

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitoring.service.drift import ColumnPair, DriftResult, DriftRule, check_drift
from monitoring.service.sample_size import LARGE_DISTANCE, rows_needed
from simulator.builtin_datasets import read_builtin

RULE = DriftRule()
Change = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]


def features(name: str) -> NDArray[np.float64]:
    """Return a built-in dataset's features (n, k)."""
    source = read_builtin(name)
    names = [column for column in source.rows.columns if column != source.target.name]
    return source.rows[names].to_numpy(float)


def check(reference: NDArray[np.float64], current: NDArray[np.float64]) -> DriftResult:
    """Check all columns."""
    return check_drift(
        [
            ColumnPair(f"x{place}", "number", reference[:, place], current[:, place])
            for place in range(reference.shape[1])
        ],
        RULE,
    )


def shift(columns: int, deviations: float) -> Change:
    """Return a change that adds so many standard deviations to the first columns."""

    def change(rows: NDArray[np.float64], _: np.random.Generator) -> NDArray[np.float64]:
        moved = rows.copy()
        moved[:, :columns] += deviations * rows[:, :columns].std(axis=0)
        return moved

    return change


def blank(share: float) -> Change:
    """Return a change that loses a share of the first column's values."""

    def change(rows: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
        blanked = rows.copy()
        blanked[draw.random(len(rows)) < share, 0] = np.nan
        return blanked

    return change


def naive(reference: NDArray[np.float64], current: NDArray[np.float64]) -> bool:
    """Say whether any column alone would raise an alarm at 5 %."""
    return any(
        stats.ks_2samp(
            reference[:, place], current[:, place][~np.isnan(current[:, place])], method="asymp"
        ).pvalue
        < 0.05
        for place in range(reference.shape[1])
    )


def measure(
    rows: NDArray[np.float64], reference_rows: int, current_rows: int, change: Change, seeds: int
) -> tuple[float, float, float]:
    """Return the shares of seeds with drift, with too few rows, and with a naive alarm."""
    found = few = alarms = 0
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        order = draw.permutation(len(rows))[: reference_rows + current_rows]
        reference, current = rows[order[:reference_rows]], rows[order[reference_rows:]]
        current = change(current, draw)
        verdict = check(reference, current).verdict
        found += verdict == "drift"
        few += verdict == "too_few_rows"
        alarms += naive(reference, current)
    return found / seeds, few / seeds, alarms / seeds


def needed(seeds: int) -> None:
    """Print the power at the rows that are needed."""
    deviations = 2 * stats.norm.ppf((1 + LARGE_DISTANCE) / 2)
    print("\nrows needed, and the power with them (1 of k columns shifted by 1.35 deviations)")
    for columns in (4, 13, 30):
        for reference_rows in (60, 106, 1000):
            rows = rows_needed(reference_rows, columns, RULE.false_alarm_rate)
            if rows is None:
                print(f"k = {columns:2}, reference {reference_rows:4}: no number is enough")
                continue
            hits = 0
            for seed in range(seeds):
                draw = np.random.default_rng(seed)
                current = draw.normal(size=(rows, columns))
                current[:, 0] += deviations
                result = check(draw.normal(size=(reference_rows, columns)), current)
                hits += result.columns[0].drift
            print(
                f"k = {columns:2}, reference {reference_rows:4}: {rows:3} rows, "
                f"found in {hits / seeds:.1%}"
            )


def million() -> None:
    """Print what a million rows say to a trifling and to a large shift."""
    draw = np.random.default_rng(0)
    reference = draw.normal(size=(1_000_000, 13))
    for deviations in (0.0, 0.02, 0.1, 0.3):
        current = draw.normal(size=(1_000_000, 13))
        current[:, 0] += deviations
        started_s = time.perf_counter()
        result = check(reference, current)
        column = result.columns[0]
        print(
            f"1 M x 13, shift {deviations}: adjusted p {column.adjusted_p_value:.1e}, "
            f"distance {column.distance:.3f}, {result.verdict}, "
            f"{time.perf_counter() - started_s:.1f} s"
        )


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=500)
    seeds = parser.parse_args().seeds
    scenarios: dict[str, Any] = {
        "no drift": shift(0, 0.0),
        "1 column by 1 deviation": shift(1, 1.0),
        "3 columns by 1 deviation": shift(3, 1.0),
        "all columns by 0.5": shift(100, 0.5),
        "1 column loses 20 %": blank(0.2),
    }
    print(f"{seeds} seeds per line without drift, {seeds // 5} with; shares of them")
    print(f"{'data':14} {'reference':>9} {'rows':>5}  {'change':26} drift  few   naive")
    for name, sizes in (
        ("wine", ((106, 36), (106, 10), (106, 72), (36, 36))),
        ("breast_cancer", ((300, 60), (300, 200))),
    ):
        rows = features(name)
        for reference_rows, current_rows in sizes:
            for text, change in scenarios.items():
                # A rate of 5 % takes more seeds to see than one of 90 %.
                runs = seeds if text == "no drift" else seeds // 5
                drift, few, alarm = measure(rows, reference_rows, current_rows, change, runs)
                print(
                    f"{name:14} {reference_rows:9} {current_rows:5}  {text:26} "
                    f"{drift:5.1%} {few:6.1%} {alarm:6.1%}",
                    flush=True,
                )
    needed(seeds // 5)
    million()


if __name__ == "__main__":
    main()
