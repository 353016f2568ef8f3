"""REST calls to another service: time limits, the request id, and one error when it is away."""

from typing import Any

import requests

from servicekit.errors import Unavailable
from servicekit.telemetry import REQUEST_ID_HEADER, request_id


class ServiceUnavailable(Unavailable):
    """Another service does not answer."""


class ServiceClient:
    """A peer of this service, by its base URL.

    Each call opens its own connection: a shared session is not safe between threads, and a peer
    may be replaced at any moment.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        connect_timeout_s: float = 3.0,
        read_timeout_s: float = 60.0,
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._timeout_s = (connect_timeout_s, read_timeout_s)

    def get(self, path: str) -> requests.Response:
        """GET `path`; any status is returned, no answer raises `ServiceUnavailable`."""
        return self._send("GET", path)

    def post(self, path: str, json: dict[str, Any]) -> requests.Response:
        """POST `json` to `path`; any status is returned, no answer raises `ServiceUnavailable`."""
        return self._send("POST", path, json=json)

    def check(self) -> None:
        """Raise `ServiceUnavailable` unless the peer's `/health` answers 200."""
        if self.get("/health").status_code != 200:
            raise ServiceUnavailable(f"The {self.name} service is not healthy.")

    def _send(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        try:
            return requests.request(
                method,
                f"{self._base_url}{path}",
                headers={REQUEST_ID_HEADER: request_id()},
                timeout=self._timeout_s,
                **kwargs,
            )
        except requests.RequestException as error:
            raise ServiceUnavailable(
                f"The {self.name} service does not answer; try again in a moment.",
                error=f"{self.name} unavailable",
            ) from error
