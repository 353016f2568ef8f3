"""When it began: the production set in consecutive windows, each judged against the reference.

Pure: counts in, verdicts out.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from monitoring.service.counted_rule import answers_of, judge_counted
from monitoring.service.retraining_signals import RetrainingRule, Verdict
from monitoring.service.set_statistics import ClassCounts, CountedSet, CountedSets, WindowedSet

FEWEST_ROWS = 30
"""A window of fewer rows is not judged: hardly any difference would be real."""


@dataclass(frozen=True)
class WindowVerdict:
    """One window: which rows, and what the rule says of them.

    `number` counts from 1. `first` and `last` are the times of its first and last row, None where
    the dataset has no time column. `retraining_needed` is None for a window that is too short.
    `accuracy` or `mean_absolute_error` is None where no row has a label, and for the other task.
    """

    number: int
    rows: int
    first: str | None
    last: str | None
    retraining_needed: bool | None
    reasons: Sequence[str]
    drifted_share: float | None
    drifted_features: Sequence[str]
    missing_share: float | None
    accuracy: float | None
    mean_absolute_error: float | None
    signals: Sequence[dict[str, Any]]


def judge_windows(windowed: WindowedSet, rule: RetrainingRule) -> Sequence[WindowVerdict]:
    """Return what the rule says of each window, in order.

    The rule's false-alarm rate is that of all windows together: each works at an equal part of it
    (Bonferroni: Dunn, J. Am. Stat. Assoc. 56, 1961, doi:10.1080/01621459.1961.10482090).
    """
    share_of_each = replace(
        rule, false_alarm_rate=rule.false_alarm_rate / max(len(windowed.windows), 1)
    )
    found = []
    for number, (span, window) in enumerate(
        zip(windowed.spans, windowed.windows, strict=True), start=1
    ):
        verdict = None
        if span.rows >= FEWEST_ROWS:
            sets = CountedSets(windowed.reference, window, windowed.classes)
            verdict = judge_counted(sets, share_of_each)
        accuracy, error = _quality(window)
        found.append(
            WindowVerdict(
                number=number,
                rows=span.rows,
                first=span.first,
                last=span.last,
                retraining_needed=None if verdict is None else verdict.retraining_needed,
                reasons=_reasons(verdict, span.rows),
                drifted_share=_drift(verdict).get("value"),
                drifted_features=_drift(verdict).get("columns", ()),
                missing_share=_missing_share(window),
                accuracy=accuracy,
                mean_absolute_error=error,
                signals=[] if verdict is None else [asdict(item) for item in verdict.signals],
            )
        )
    return found


def first_alarm(windows: Sequence[WindowVerdict]) -> int | None:
    """Return the number of the first window that asks for retraining, or None."""
    return next((window.number for window in windows if window.retraining_needed), None)


def _reasons(verdict: Verdict | None, rows: int) -> Sequence[str]:
    if verdict is None:
        return [f"Not judged: {rows} rows, and at least {FEWEST_ROWS} are needed."]
    return verdict.reasons


def _drift(verdict: Verdict | None) -> dict[str, Any]:
    signals = () if verdict is None else verdict.signals
    return next((asdict(item) for item in signals if item.name == "data_drift"), {})


def _missing_share(window: CountedSet) -> float | None:
    cells = window.features.rows * len(window.features.columns)
    if not cells:
        return None
    return sum(column.missing for column in window.features.columns) / cells


def _quality(window: CountedSet) -> tuple[float | None, float | None]:
    """Return accuracy and mean absolute error, of which one task has only one."""
    if isinstance(window.predictions, ClassCounts):
        answers = answers_of(window.predictions)
        return (answers.accuracy if answers.rows else None), None
    return None, window.predictions.mean_error
