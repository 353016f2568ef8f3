"""The drift check, asked of monitoring."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from servicekit.clients import ServiceClient, ServiceUnavailable

PATH = "/data-drift"


@dataclass(frozen=True)
class DriftReply:
    """Monitoring's answer: `check` is its JSON where it checked, `message` says why it did not."""

    status: str
    message: str
    check: Mapping[str, Any] | None


class DriftForwarding:
    """Passes on to monitoring, whose statistics they are."""

    def __init__(self, monitoring: ServiceClient) -> None:
        self._monitoring = monitoring

    def forward(self, body: Mapping[str, Any]) -> tuple[int, bytes]:
        """Return status and body of monitoring's answer; raises `ServiceUnavailable`."""
        answer = self._monitoring.post(PATH, dict(body))
        return answer.status_code, answer.content

    def check(self, body: Mapping[str, Any]) -> DriftReply:
        """Return what monitoring said; its being away is an outcome too, no error."""
        try:
            status, content = self.forward(body)
        except ServiceUnavailable as error:
            return DriftReply("unavailable", error.message, None)
        try:
            found = json.loads(content)
            if status == 200:
                return DriftReply(found["verdict"], found["message"], found)
            kind = "unavailable" if status >= 500 else "not_checked"
            return DriftReply(kind, str(found["message"]), None)
        except (ValueError, KeyError, TypeError):
            message = f"The monitoring service answered {status} with what cannot be read."
            return DriftReply("unavailable", message, None)
