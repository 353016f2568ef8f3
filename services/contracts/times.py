"""Times in requests."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator


def _only_iso(value: Any) -> Any:
    # Pydantic would take a bare number for seconds since 1970.
    if isinstance(value, str) and value[4:5] != "-":
        raise ValueError("must be ISO 8601 with a zone, e.g. 2026-11-21T10:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    # PostgreSQL knows no zone beyond 16 hours, Python any below 24.
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie in the years 1 to 9999") from None


IsoTime = Annotated[AwareDatetime, BeforeValidator(_only_iso), AfterValidator(_in_utc)]
"""ISO 8601 with a zone, read as UTC."""
