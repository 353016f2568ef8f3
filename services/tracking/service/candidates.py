"""What a person looks at after a search: the candidates as a table and as a picture."""

import csv
import io
import json
from collections.abc import Sequence
from html import escape

from tracking.domain import Candidate, SearchOutcome

MOST_BARS = 40
BAR_HEIGHT = 22
LABEL_WIDTH = 420
CHART_WIDTH = 820


def candidates_csv(outcome: SearchOutcome) -> str:
    """Return one line per candidate, the best first; a score is empty where a fold failed.

    Where some were tried on a part of the rows only, `training_rows` says on how many.
    """
    names = list(outcome.plan.grid)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["rank", *names, f"mean_{outcome.plan.scoring}", f"std_{outcome.plan.scoring}", "fit_s"]
    in_parts = any(item.training_rows is not None for item in outcome.candidates)
    writer.writerow([*head, "training_rows"] if in_parts else head)
    for item in _ranked(outcome.candidates):
        writer.writerow(
            [
                item.rank,
                *(json.dumps(item.values[name]) for name in names),
                "" if item.mean_score is None else item.mean_score,
                "" if item.std_score is None else item.std_score,
                round(item.fit_s, 6),
                *(["all" if item.training_rows is None else item.training_rows] * in_parts),
            ]
        )
    return text.getvalue()


def candidates_svg(outcome: SearchOutcome) -> str:
    """Return bars of the mean score with one standard deviation to each side, the best first.

    Shows the best 40. The axis goes from the lowest to the highest score shown, since candidates
    of a good model differ in the last digits.
    """
    shown = _ranked(outcome.candidates)[:MOST_BARS]
    ends = [
        edge
        for item in shown
        if item.mean_score is not None
        for edge in (
            item.mean_score - (item.std_score or 0),
            item.mean_score + (item.std_score or 0),
        )
    ]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    span = high - low or 1.0

    def across(score: float) -> float:
        return LABEL_WIDTH + (CHART_WIDTH - LABEL_WIDTH - 80) * (score - low) / span

    title = (
        f"{outcome.plan.model_name}: mean {outcome.plan.scoring} over {outcome.plan.folds} folds, "
        f"with one standard deviation to each side ({low:.3f} to {high:.3f})"
    )
    lines = [f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>']
    for place, item in enumerate(shown):
        middle = 44 + place * BAR_HEIGHT
        label = ", ".join(f"{name}={json.dumps(value)}" for name, value in item.values.items())
        label = label if len(label) <= 60 else f"{label[:59]}…"
        lines.append(f'<text x="8" y="{middle + 4}">{escape(label or "defaults")}</text>')
        if item.mean_score is None:
            lines.append(f'<text x="{LABEL_WIDTH}" y="{middle + 4}">failed</text>')
            continue
        spread = item.std_score or 0.0
        left, right = across(item.mean_score - spread), across(item.mean_score + spread)
        lines.append(
            f'<line x1="{left:.1f}" x2="{right:.1f}"'
            f' y1="{middle}" y2="{middle}" stroke="#9aa7b8" stroke-width="6"/>'
            f'<circle cx="{across(item.mean_score):.1f}" cy="{middle}" r="5" fill="#7b1e3b"/>'
            f'<text x="{CHART_WIDTH - 70}" y="{middle + 4}">{item.mean_score:.4f}</text>'
        )
    height = 60 + len(shown) * BAR_HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{CHART_WIDTH}" height="{height}"'
        f' font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(lines)}</svg>\n'
    )


def _ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda item: (item.mean_score is None, item.rank))
