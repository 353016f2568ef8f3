"""The windows of a set as a picture: what drifted, what is missing, how good the model was."""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from monitoring.service.retraining_signals import RetrainingRule
from monitoring.service.windowed_rule import WindowVerdict

WIDTH, PANEL_HEIGHT, GAP = 820, 110, 46
LEFT, RIGHT, TOP = 60, 16, 44

STYLE = (
    "svg{background:#fff;color:#1f2733;--alarm:#b3261e;--fine:#5b7fa6;--grid:#c9d1da}"
    "@media (prefers-color-scheme:dark){svg{background:#14181d;color:#e4e8ed;--alarm:#ff8a80;"
    "--fine:#8fb4dd;--grid:#39424d}}"
    "text{fill:currentColor;font:12px sans-serif}.title{font-weight:600}.end{text-anchor:end}"
    ".middle{text-anchor:middle}rect{fill:var(--fine)}.alarm{fill:var(--alarm)}"
    "line{stroke:var(--grid)}.limit{stroke:var(--alarm);stroke-dasharray:5 4}"
)


class _Panel(NamedTuple):
    title: str
    values: Sequence[float | None]
    limit: float | None
    write: Callable[[float], str]


def windows_svg(title: str, windows: Sequence[WindowVerdict], rule: RetrainingRule) -> str:
    """Return bars by window in three panels: drifted features, missing values, and the model.

    Windows that ask for retraining have another colour; the rule's limit on drift is a line. A
    window without the value has no bar. Light or dark as the reader's system is.
    """
    drifted = [w.drifted_share for w in windows]
    panels = [
        _Panel("Share of features that drifted", drifted, rule.drift_share, _percent),
        _Panel("Missing values", [w.missing_share for w in windows], None, _percent),
    ]
    errors = [w.mean_absolute_error for w in windows]
    if any(error is not None for error in errors):
        panels.append(_Panel("Mean absolute error", errors, None, lambda value: f"{value:.4g}"))
    else:
        panels.append(_Panel("Accuracy", [w.accuracy for w in windows], None, _percent))
    if not windows:
        title, panels = f"{title}: no row has a time", []
    height = TOP + len(panels) * (PANEL_HEIGHT + GAP)
    parts = [f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>']
    for place, panel in enumerate(panels):
        parts += _drawn(panel, windows, TOP + place * (PANEL_HEIGHT + GAP))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
        f"{''.join(parts)}</svg>\n"
    )


def _drawn(panel: _Panel, windows: Sequence[WindowVerdict], top: float) -> list[str]:
    known = [value for value in panel.values if value is not None]
    highest = max([*known, panel.limit or 0.0]) or 1.0
    bottom = top + PANEL_HEIGHT
    step = (WIDTH - LEFT - RIGHT) / len(windows)
    parts = [
        f'<text class="title" x="{LEFT}" y="{top - 6:.1f}">{panel.title}</text>',
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>',
        f'<text class="end" x="{LEFT - 6}" y="{top + 10}">{panel.write(highest)}</text>',
        f'<text class="end" x="{LEFT - 6}" y="{bottom}">{panel.write(0.0)}</text>',
    ]
    for place, (window, value) in enumerate(zip(windows, panel.values, strict=True)):
        if value is None:
            continue
        left, tall = LEFT + place * step + step * 0.1, PANEL_HEIGHT * value / highest
        of_alarm = ' class="alarm"' if window.retraining_needed else ""
        told = escape(_told(window, panel.write(value)))
        parts.append(
            f'<rect{of_alarm} x="{left:.1f}" y="{bottom - tall:.1f}" width="{step * 0.8:.1f}"'
            f' height="{tall:.1f}"><title>{told}</title></rect>'
        )
    if panel.limit is not None:
        at = bottom - PANEL_HEIGHT * panel.limit / highest
        parts.append(
            f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
    ends = ((windows[0], "", LEFT), (windows[-1], "end", WIDTH - RIGHT))
    for window, side, at in ends[: len(windows)]:
        when = (window.last if side else window.first) or f"window {window.number}"
        parts.append(f'<text class="{side}" x="{at}" y="{bottom + 15:.1f}">{escape(when)}</text>')
    return parts


def _told(window: WindowVerdict, value: str) -> str:
    when = f", {window.first} to {window.last}" if window.first else ""
    told = f"Window {window.number}, {window.rows} rows{when}: {value}."
    return " ".join([told, *window.reasons])


def _percent(share: float) -> str:
    return f"{share:.1%}"
