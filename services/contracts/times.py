"""Times in requests."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator


def _only_iso(value: Any) -> Any:
    # Pydantic would take a bare number for seconds since 1970.
    if isinstance(value, str) and value[4:5] != "-":
        raise ValueError("must be ISO 8601 with a zone, e.g. 2026-11-21T10:00:00Z")
    return value


IsoTime = Annotated[AwareDatetime, BeforeValidator(_only_iso)]
"""ISO 8601 with a zone."""
