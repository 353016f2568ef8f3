"""Has the data drifted away from a reference? The verdict per column and over all of them.

Pure: columns in, a result out; no rows as they came, no SQL, no HTTP. A column has drifted when its
values or its missing values differ from the reference beyond chance *and* by enough to matter. See
docs/adr/0010-drift-check.md for the choices and the measured rates.

Notes
-----
All tests of a check, of values and of missing values, are one family. Their p-values are adjusted
by Benjamini and Hochberg (J. R. Stat. Soc. B 57, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x): if
nothing has drifted, anything is found with a probability of at most `false_alarm_rate`; of the
columns that are found, that share at most is expected to be wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitoring.service.sample_size import rows_needed, rows_needed_on_both_sides
from monitoring.service.two_sample_tests import (
    Outcome,
    compare_categories,
    compare_numbers,
    compare_shares,
)

Kind = Literal["number", "boolean", "text", "datetime", "unknown"]
Verdict = Literal["drift", "no_drift", "too_few_rows"]

MOST_NEW_CATEGORIES = 20
"""New categories that are named; how many rows hold one is counted over all."""


@dataclass(frozen=True)
class DriftRule:
    """The limits of a check, 0 to 1."""

    false_alarm_rate: float = 0.05
    """Highest probability that data like the reference is found to have drifted."""
    distance: float = 0.1
    """Distance of a column's two distributions from which on it can count as drifted."""
    missing_difference: float = 0.02
    """Difference of a column's shares of missing values from which on it can count."""
    share: float = 0.0
    """Share of the columns that must have drifted; 0 means that any one is enough."""


@dataclass(frozen=True)
class ColumnPair:
    """One column of the reference and of the current rows.

    Numbers: float64, NaN where missing; dates and times as well, as days since 1970. Texts and
    booleans: texts, None where missing. `unknown` is a column without any value on either side.
    """

    name: str
    kind: Kind
    reference: NDArray[Any]
    current: NDArray[Any]


@dataclass(frozen=True)
class MissingDrift:
    """A column's missing values; without any there is no test, and the p-values are None."""

    reference_share: float
    share: float
    difference: float
    difference_threshold: float
    test: str | None
    p_value: float | None
    adjusted_p_value: float | None
    threshold: float
    drift: bool


@dataclass(frozen=True)
class ColumnDrift:
    """What was found about one column.

    `threshold` is the limit of the adjusted p-value, `distance_threshold` that of the distance;
    values have drifted when both are passed. `rows` and `reference_rows` have a value. Where there
    was nothing to test, `test` and the figures are None and `note` says why.
    """

    name: str
    kind: Kind
    verdict: Verdict
    drift: bool
    test: str | None
    statistic: float | None
    distance: float | None
    distance_threshold: float
    p_value: float | None
    adjusted_p_value: float | None
    threshold: float
    rows: int
    reference_rows: int
    rows_needed: int | None
    new_categories: tuple[str, ...]
    new_category_share: float
    missing: MissingDrift
    note: str | None


@dataclass(frozen=True)
class DriftResult:
    """The outcome of a check.

    `rows_needed` is the number of current rows from which on a large change would be found with
    the reference there is; None if the reference is too small for any number, and then
    `rows_needed_on_both_sides` says how many both would have to have.
    """

    verdict: Verdict
    share_drifted: float
    columns: tuple[ColumnDrift, ...]
    tests: int
    rows: int
    reference_rows: int
    rows_needed: int | None
    rows_needed_on_both_sides: int

    @property
    def drift(self) -> bool:
        """Whether drift was found."""
        return self.verdict == "drift"

    @property
    def drifted(self) -> list[str]:
        """The names of the columns that have drifted."""
        return [column.name for column in self.columns if column.drift]


@dataclass(frozen=True)
class _Compared:
    """A column with the outcomes of its tests, before they are corrected for being many."""

    pair: ColumnPair
    reference: NDArray[Any]
    current: NDArray[Any]
    values: Outcome | None
    missing: Outcome | None
    note: str | None


def check_drift(pairs: Sequence[ColumnPair], rule: DriftRule) -> DriftResult:
    """Compare each column of the current rows with the reference.

    Both sides have at least one row, and the columns of one side are equally long.
    """
    compared = [_compare(pair) for pair in pairs]
    outcomes = [outcome for item in compared for outcome in (item.values, item.missing) if outcome]
    adjusted = dict(zip(map(id, outcomes), _adjust(outcomes), strict=True))
    columns = tuple(_judge(item, adjusted, len(outcomes), rule) for item in compared)
    rows, reference_rows = len(pairs[0].current), len(pairs[0].reference)
    share = sum(column.drift for column in columns) / len(columns)
    kinds = {item.values.cells for item in compared if item.values} or {0}
    alpha = rule.false_alarm_rate
    needs = [rows_needed(reference_rows, len(outcomes), alpha, cells) for cells in kinds]
    needed = None if None in needs else max(need for need in needs if need is not None)
    verdict: Verdict = "no_drift"
    if 0 < share >= rule.share - 1e-12:
        verdict = "drift"
    elif needed is None or rows < needed:
        verdict = "too_few_rows"
    return DriftResult(
        verdict=verdict,
        share_drifted=share,
        columns=columns,
        tests=len(outcomes),
        rows=rows,
        reference_rows=reference_rows,
        rows_needed=needed,
        rows_needed_on_both_sides=max(
            rows_needed_on_both_sides(len(outcomes), alpha, cells) for cells in kinds
        ),
    )


def _compare(pair: ColumnPair) -> _Compared:
    reference = pair.reference[_present(pair.reference)]
    current = pair.current[_present(pair.current)]
    values, note = None, None
    if not len(reference) or not len(current):
        side = "reference" if not len(reference) else "data"
        note = f"The {side} has no value in this column."
        if not len(reference) and not len(current):
            note = "Neither side has a value in this column."
    elif _is_constant(reference, current):
        note = "Both sides have one and the same value in every row."
    elif pair.kind in ("number", "datetime"):
        values = compare_numbers(reference, current)
    else:
        values = compare_categories(reference, current)
    lost_before, lost = len(pair.reference) - len(reference), len(pair.current) - len(current)
    missing = None
    # Whether any value is missing says nothing of which side it is missing on, so leaving the
    # test out where none is does not bend the others.
    if 0 < lost_before + lost < len(pair.reference) + len(pair.current):
        missing = compare_shares(lost_before, len(pair.reference), lost, len(pair.current))
    return _Compared(pair, reference, current, values, missing, note)


def _judge(item: _Compared, adjusted: dict[int, float], tests: int, rule: DriftRule) -> ColumnDrift:
    alpha, values = rule.false_alarm_rate, item.values
    missing = _judge_missing(item, adjusted, rule)
    moved = (
        values is not None
        and adjusted[id(values)] <= alpha
        and _at_least(values.distance, rule.distance)
    )
    needed = rows_needed(len(item.reference), tests, alpha, values.cells) if values else None
    drift = moved or missing.drift
    verdict: Verdict = "drift" if drift else "no_drift"
    if not drift and values is not None and (needed is None or len(item.current) < needed):
        verdict = "too_few_rows"
    new: set[str] = set()
    if item.pair.kind in ("text", "boolean"):
        new = set(item.current) - set(item.reference)
    return ColumnDrift(
        name=item.pair.name,
        kind=item.pair.kind,
        verdict=verdict,
        drift=drift,
        test=values.test if values else None,
        statistic=values.statistic if values else None,
        distance=values.distance if values else None,
        distance_threshold=rule.distance,
        p_value=values.p_value if values else None,
        adjusted_p_value=adjusted[id(values)] if values else None,
        threshold=alpha,
        rows=len(item.current),
        reference_rows=len(item.reference),
        rows_needed=needed,
        new_categories=tuple(sorted(new)[:MOST_NEW_CATEGORIES]),
        new_category_share=(
            sum(value in new for value in item.current) / len(item.current) if new else 0.0
        ),
        missing=missing,
        note=item.note,
    )


def _judge_missing(item: _Compared, adjusted: dict[int, float], rule: DriftRule) -> MissingDrift:
    outcome = item.missing
    before = _share_missing(item.pair.reference, item.reference)
    now = _share_missing(item.pair.current, item.current)
    p_value = adjusted[id(outcome)] if outcome else None
    return MissingDrift(
        reference_share=before,
        share=now,
        difference=now - before,
        difference_threshold=rule.missing_difference,
        test=outcome.test if outcome else None,
        p_value=outcome.p_value if outcome else None,
        adjusted_p_value=p_value,
        threshold=rule.false_alarm_rate,
        drift=(
            p_value is not None
            and p_value <= rule.false_alarm_rate
            and _at_least(abs(now - before), rule.missing_difference)
        ),
    )


def _adjust(outcomes: Sequence[Outcome]) -> list[float]:
    """Return the p-values adjusted for the false discovery rate, in the order given."""
    if not outcomes:
        return []
    return [
        float(value)
        for value in stats.false_discovery_control([outcome.p_value for outcome in outcomes])
    ]


def _share_missing(values: NDArray[Any], present: NDArray[Any]) -> float:
    return (len(values) - len(present)) / len(values)


def _present(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype == object:
        return np.array([value is not None for value in values], dtype=bool)
    return np.asarray(~np.isnan(values), dtype=bool)


def _is_constant(reference: NDArray[Any], current: NDArray[Any]) -> bool:
    first = reference[0]
    return bool((reference == first).all() and (current == first).all())


def _at_least(value: float, limit: float) -> bool:
    """Compare shares so that 0.95 - 0.90 reaches 0.05."""
    return value >= limit - 1e-12
