"""Dates and times as ISO 8601 texts, the one way they are written in files, requests and logs.

Knows text and numbers only. A date is its midnight; a time without a zone is UTC. Read, but never
written, are also dates like 2026/11/28, which can mean nothing else.
"""

import math
import re
from datetime import UTC, datetime, timedelta

DATE_PATTERN = r"(?:\d{4}-\d{2}-\d{2}|\d{4}/\d{2}/\d{2})"
TIME_PATTERN = (
    r"[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?"
)
"""What may follow a date: hours and minutes, seconds to the microsecond, and a zone."""

_TEXT = re.compile(f"{DATE_PATTERN}(?:{TIME_PATTERN})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def parse_time(text: str) -> datetime | None:
    """Return a date or time in UTC; None where the text is neither.

    Years are 1 to 9999, also in UTC.
    """
    if _TEXT.fullmatch(text) is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace("/", "-"))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def time_text(time: datetime) -> str:
    """Return a time as in `2012-01-01T10:00:00Z`."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def days_of(time: datetime) -> float:
    """Return the days since 1970."""
    return (time - _EPOCH) / _DAY


def text_of_days(days: float) -> str:
    """Return the text of days since 1970, to the microsecond: a date alone at midnight.

    The exact way back from `days_of` until the year 2149; then a microsecond can be lost.
    """
    whole = math.floor(days)
    time = _EPOCH + timedelta(days=whole, microseconds=round((days - whole) * 86_400_000_000))
    return time_text(time) if time.time() != _EPOCH.time() else time.date().isoformat()
