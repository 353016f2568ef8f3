"""One HTTP request to the MLflow server, its time limits and its errors."""

from collections.abc import Mapping
from typing import Any

import requests

from mlflowrest.errors import MlflowNotFound, MlflowRefused, MlflowUnavailable

API = "/api/2.0/mlflow"

GONE = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND"})


class Transport:
    """Sends requests to one MLflow server.

    Each request opens its own connection: a shared session is not safe between threads. Addresses
    and credentials never stand in an error.
    """

    def __init__(self, base_url: str, *, connect_timeout_s: float, read_timeout_s: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_s = (connect_timeout_s, read_timeout_s)

    def get(self, call: str, **query: Any) -> dict[str, Any]:
        """GET a call of MLflow's API, e.g. `runs/get`, and return its JSON."""
        return _json(self.send("GET", f"{API}/{call}", params=query))

    def post(self, call: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST JSON to a call of MLflow's API and return its JSON."""
        return _json(self.send("POST", f"{API}/{call}", json=body))

    def send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Return an answer with status 200.

        Raises
        ------
        MlflowUnavailable
            No answer in time, or a status of 500 or more.
        MlflowNotFound
            MLflow says that it has no such thing.
        MlflowRefused
            Any other status; the text is MLflow's.
        """
        try:
            answer = requests.request(
                method, f"{self._base_url}{path}", timeout=self._timeout_s, **arguments
            )
        except requests.RequestException as error:
            raise MlflowUnavailable() from error
        if answer.status_code == 200:
            return answer
        if answer.status_code >= 500:
            raise MlflowUnavailable(f"MLflow answered {answer.status_code}; try again in a moment.")
        code, message = _reason(answer)
        if answer.status_code == 404 or code in GONE:
            raise MlflowNotFound()
        raise MlflowRefused(code, message)


def _reason(answer: requests.Response) -> tuple[str, str]:
    try:
        body = answer.json()
        return str(body["error_code"]), str(body["message"])
    except (ValueError, KeyError, TypeError):
        return "", f"MLflow answered {answer.status_code}."


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError as error:
        raise MlflowUnavailable("What answers for MLflow does not speak JSON.") from error
    if not isinstance(body, dict):
        raise MlflowUnavailable("What answers for MLflow is not MLflow.")
    return body
