"""Requests to the running services, for what walks through the lifecycle."""

from typing import Any

import requests

from launcher.errors import LaunchError
from launcher.readiness import session
from launcher.suite import Suite

TIMEOUT_S = 300


class Client:
    """Requests that have to succeed."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite

    def ask(self, method: str, service: str, path: str, body: object = None) -> Any:
        """Return the JSON of an answer; see `send` for errors."""
        return self.send(method, service, path, body).json()

    def send(
        self, method: str, service: str, path: str, body: object = None, **request: Any
    ) -> requests.Response:
        """Send a request; `request` are further arguments of `requests`, such as `files`.

        Raises
        ------
        LaunchError
            No answer, or one that is no success: names the call and shows the answer.
        """
        url = self._suite.settings.url(service) + path
        sent = f"{method} {url}" + (f" {body}" if body is not None else "")
        try:
            answer = session.request(method, url, json=body, timeout=TIMEOUT_S, **request)
        except requests.RequestException as error:
            raise LaunchError(
                f"{service} does not answer: {sent}",
                "Look at ./launch.sh status and ./launch.sh logs.",
                str(error),
            ) from None
        if not answer.ok:
            raise LaunchError(
                f"{service} answered {answer.status_code} to {sent}",
                f"Look at ./launch.sh logs {service}.",
                answer.text,
            )
        return answer
