"""Times on the wire."""

import pytest

from tracking.domain import utc_text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (1_730_321_056_000, "2024-10-30 20:44:16"),
        (1_730_321_056_999, "2024-10-30 20:44:16"),
        (0, "1970-01-01 00:00:00"),
        (None, None),
        (2**62, None),
    ],
)
def test_times_are_utc_to_the_second(milliseconds: int | None, text: str | None) -> None:
    assert utc_text(milliseconds) == text
