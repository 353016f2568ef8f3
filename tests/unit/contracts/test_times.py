"""Times in requests: ISO 8601 with a zone, and nothing else."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.times import IsoTime

ADAPTER = TypeAdapter(IsoTime)


@pytest.mark.parametrize(
    "text", ["2026-11-21T10:00:00Z", "2026-11-21T11:00:00+01:00", "2026-11-22T03:16:00+17:16"]
)
def test_any_zone_is_read_as_utc(text: str) -> None:
    found = ADAPTER.validate_python(text)
    assert found == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["0", "1767225600", "yesterday", "", "2026-11-21", "2026-11-21T10:00:00",
     "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(text)
