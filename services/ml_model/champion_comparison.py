"""Which of two versions is better on the same rows, and what is said of it. Pure."""

import operator
from collections.abc import Callable
from dataclasses import dataclass

from ml_model.ledger_entries import NamedVersion


@dataclass(frozen=True)
class Measure:
    """What two versions are compared by.

    `is_not_worse` tells whether the first score is as good as the second; `shown` is how a score is
    written.
    """

    name: str
    is_not_worse: Callable[[float, float], bool]
    shown: str

    def text(self, score: float) -> str:
        """Return a score as text."""
        return f"{score:{self.shown}}"


MEASURES = {
    "classification": Measure("accuracy", operator.ge, ".4f"),
    "regression": Measure("rmse", operator.le, ".6g"),
}
"""By task: the accuracy (0 to 1), and the root mean squared error in the unit of the target, which
is what models of a regression are fitted to make small unless they are told otherwise."""


@dataclass(frozen=True)
class Comparison:
    """What came of comparing; a score is None where a version cannot be scored."""

    promoted: bool
    verdict: str
    champion: NamedVersion | None
    champion_score: float | None
    challenger_score: float | None
    measure: Measure

    def scores(self) -> dict[str, float | None]:
        """Return both scores by the name of their measure; accuracies are named in any case."""
        return {
            "challenger_accuracy": None,
            "champion_accuracy": None,
            f"challenger_{self.measure.name}": self.challenger_score,
            f"champion_{self.measure.name}": self.champion_score,
        }


def judged(
    champion: NamedVersion | None,
    champion_score: float | None,
    challenger_score: float | None,
    measure: Measure,
) -> tuple[bool, str]:
    """Return whether the challenger goes to `next`, and why."""
    if challenger_score is None:
        return False, "the challenger cannot be scored"
    own = f"{measure.name} {measure.text(challenger_score)}"
    if champion is None:
        return True, f"nothing serves yet, the challenger has {own}"
    if champion_score is None:
        return False, (
            f"{champion.model_uri} has other columns or classes: the two cannot be compared"
        )
    comparison = f"{own} against {measure.text(champion_score)} of what serves"
    if measure.is_not_worse(challenger_score, champion_score):
        return True, f"not worse: {comparison}"
    return False, f"worse: {comparison}"
