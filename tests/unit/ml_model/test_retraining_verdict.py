"""Whether a challenger goes to `next`."""

import pytest

from ml_model.ledger_entries import NamedVersion
from ml_model.service.retrain_job import _judged

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
    found, verdict = _judged(champion, champion_score, challenger_score)
    assert found is promoted
    assert named in verdict
