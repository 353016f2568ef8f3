"""Files below the artifact root, through the server's artifact proxy.

Whoever uses this needs neither a shared disk nor the credentials of an object store.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from mlflowrest.errors import MlflowNotFound, MlflowUnavailable
from mlflowrest.transport import Transport

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass(frozen=True)
class Entry:
    """A file or folder. `path` is below the artifact root; a folder has no size."""

    path: str
    is_folder: bool
    bytes: int | None


class Artifacts:
    """Reads and writes files by their path below the artifact root, e.g. `cellar/drift/a.json`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def put(self, path: str, content: bytes) -> None:
        """Store a file, replacing one that is there."""
        self._transport.send("PUT", _url(path), data=content)

    def put_json(self, path: str, value: Any) -> None:
        """Store a value as JSON; NaN has to be null already (`ValueError`)."""
        self.put(path, json.dumps(value, ensure_ascii=False, allow_nan=False).encode())

    def get(self, path: str) -> bytes:
        """Return a file; `MlflowNotFound` when there is none."""
        try:
            return self._transport.send("GET", _url(path)).content
        except MlflowUnavailable:
            # The proxy answers 500, not 404, for a file that a folder or bucket does not have.
            if self._is_missing(path):
                raise MlflowNotFound() from None
            raise

    def get_json(self, path: str) -> Any:
        """Return a JSON file as a value; `MlflowNotFound` when there is none."""
        return json.loads(self.get(path))

    def list(self, folder: str = "") -> list[Entry]:
        """Return what lies directly in a folder, by path; empty when there is no such folder."""
        folder = folder.strip("/")
        answer = self._transport.send("GET", ARTIFACTS, params={"path": folder} if folder else {})
        entries = [
            Entry(
                path=f"{folder}/{item['path']}" if folder else item["path"],
                is_folder=bool(item.get("is_dir", False)),
                bytes=None if item.get("is_dir") else int(item.get("file_size", 0)),
            )
            for item in answer.json().get("files", [])
        ]
        return sorted(entries, key=lambda entry: entry.path)

    def delete(self, path: str) -> None:
        """Delete a file or a folder with all it holds; none there is no error."""
        try:
            self._transport.send("DELETE", _url(path))
        except MlflowNotFound:
            return

    def _is_missing(self, path: str) -> bool:
        folder = path.strip("/").rpartition("/")[0]
        return all(entry.path != path.strip("/") for entry in self.list(folder))


def path_of(artifact_uri: str) -> str:
    """Return the path below the artifact root of a `mlflow-artifacts:` address.

    An address of another kind (an experiment made without the proxy) is returned as it is; asking
    for it gives `MlflowNotFound`.
    """
    parts = urlsplit(artifact_uri)
    return parts.path.strip("/") if parts.scheme == "mlflow-artifacts" else artifact_uri


def _url(path: str) -> str:
    return f"{ARTIFACTS}/{quote(path.strip('/'))}"
