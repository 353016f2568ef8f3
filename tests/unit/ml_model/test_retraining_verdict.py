"""Whether a challenger goes to `next`."""

import pytest

from ml_model.champion_comparison import MEASURES, Comparison, judged
from ml_model.ledger_entries import NamedVersion

SERVING = NamedVersion(1, "wine", 3, "models:/wine/3")


@pytest.mark.parametrize(
    ("champion", "champion_score", "challenger_score", "promoted", "named"),
    [
        (None, None, 0.4, True, "nothing serves"),
        (SERVING, 0.9, 0.9, True, "not worse"),
        (SERVING, 0.9, 0.95, True, "0.9500 against 0.9000"),
        (SERVING, 0.9, 0.8999, False, "worse"),
        (SERVING, None, 1.0, False, "models:/wine/3 has other columns"),
        (SERVING, 0.1, None, False, "cannot be scored"),
    ],
)
def test_only_what_is_not_worse(
    champion: NamedVersion | None,
    champion_score: float | None,
    challenger_score: float | None,
    promoted: bool,
    named: str,
) -> None:
    found, verdict = judged(champion, champion_score, challenger_score, MEASURES["classification"])
    assert found is promoted
    assert named in verdict


@pytest.mark.parametrize(
    ("champion_score", "challenger_score", "promoted", "named"),
    [
        (None, 54.2, False, "other columns"),
        (54.2, 54.2, True, "not worse: rmse 54.2 against 54.2"),
        (54.2, 53.0, True, "not worse"),
        (54.2, 55.0, False, "worse: rmse 55 against 54.2 of what serves"),
        (2e-9, 1e-9, True, "rmse 1e-09 against 2e-09"),
        (54.2, None, False, "cannot be scored"),
    ],
)
def test_of_a_regression_the_smaller_error_is_better(
    champion_score: float | None, challenger_score: float | None, promoted: bool, named: str
) -> None:
    found, verdict = judged(SERVING, champion_score, challenger_score, MEASURES["regression"])
    assert found is promoted
    assert named in verdict


def test_scores_are_named_by_their_measure() -> None:
    of_classes = Comparison(True, "", None, None, 0.9, MEASURES["classification"])
    assert of_classes.scores() == {"challenger_accuracy": 0.9, "champion_accuracy": None}
    of_numbers = Comparison(True, "", SERVING, 3.0, 2.0, MEASURES["regression"])
    assert of_numbers.scores() == {
        "challenger_accuracy": None,
        "champion_accuracy": None,
        "challenger_rmse": 2.0,
        "champion_rmse": 3.0,
    }
