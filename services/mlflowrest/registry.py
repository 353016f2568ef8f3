"""Registered model versions and logged models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mlflowrest.artifacts import path_of
from mlflowrest.errors import MlflowNotFound, MlflowRefused
from mlflowrest.transport import API, Transport


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model. `source` is where it came from, e.g. `models:/m-...`."""

    name: str
    version: int
    source: str
    run_id: str | None
    status: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class LoggedModel:
    """A model that a run logged. `artifact_path` is its folder below the artifact root."""

    id: str
    name: str
    run_id: str | None
    experiment_id: str
    artifact_path: str
    status: str


class Registry:
    """Model versions by name and number or alias; logged models by id or run."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, name: str, version: int) -> RegisteredVersion:
        """Return a version; `MlflowNotFound` when there is none."""
        answer = self._transport.get("model-versions/get", name=name, version=str(version))
        return _version(answer["model_version"])

    def get_by_alias(self, name: str, alias: str) -> RegisteredVersion:
        """Return the version that an alias names; `MlflowNotFound` when it names none."""
        try:
            answer = self._transport.get("registered-models/alias", name=name, alias=alias)
        except MlflowRefused as error:
            # An unknown alias is no valid parameter to MLflow.
            raise MlflowNotFound(error.message) from error
        return _version(answer["model_version"])

    def get_latest(self, name: str) -> RegisteredVersion:
        """Return the version with the highest number; `MlflowNotFound` when there is none."""
        answer = self._transport.get("registered-models/get", name=name)
        # The newest version of each stage: the highest of them is the newest of all.
        found = answer["registered_model"].get("latest_versions", [])
        if not found:
            raise MlflowNotFound(f"The registered model {name!r} has no version.")
        return max(map(_version, found), key=lambda item: item.version)

    def artifact_path(self, name: str, version: int) -> str:
        """Return the folder of a version's files below the artifact root."""
        answer = self._transport.get(
            "model-versions/get-download-uri", name=name, version=str(version)
        )
        return path_of(answer["artifact_uri"])

    def set_tag(self, name: str, version: int, key: str, value: str) -> None:
        """Set a tag of a version, replacing its value."""
        self._transport.post(
            "model-versions/set-tag",
            {"name": name, "version": str(version), "key": key, "value": value},
        )

    def of_run(self, run_id: str) -> list[RegisteredVersion]:
        """Return the versions that were registered from a run, in no order."""
        answer = self._transport.get("model-versions/search", filter=f"run_id = '{run_id}'")
        return [_version(item) for item in answer.get("model_versions", [])]

    def delete(self, name: str, version: int) -> None:
        """Delete a version; none there is no error."""
        body = {"name": name, "version": str(version)}
        try:
            self._transport.send("DELETE", f"{API}/model-versions/delete", json=body)
        except MlflowNotFound:
            return

    def get_logged_model(self, model_id: str) -> LoggedModel:
        """Return a logged model by its id (`m-...`); `MlflowNotFound` when there is none."""
        return _logged_model(
            self._transport.get(f"logged-models/{quote(model_id, safe='')}")["model"]
        )

    def search_logged_models(self, experiment_id: str, run_id: str) -> list[LoggedModel]:
        """Return the models that a run logged, newest first."""
        answer = self._transport.post(
            "logged-models/search",
            {"experiment_ids": [experiment_id], "filter": f"source_run_id = '{run_id}'"},
        )
        return [_logged_model(item) for item in answer.get("models", [])]


def _version(item: Mapping[str, Any]) -> RegisteredVersion:
    return RegisteredVersion(
        name=item["name"],
        version=int(item["version"]),
        source=item.get("source", ""),
        run_id=item.get("run_id") or None,
        status=item.get("status", ""),
        tags={tag["key"]: tag.get("value", "") for tag in item.get("tags", [])},
        aliases=tuple(item.get("aliases", [])),
    )


def _logged_model(item: Mapping[str, Any]) -> LoggedModel:
    info = item["info"]
    return LoggedModel(
        id=info["model_id"],
        name=info.get("name", ""),
        run_id=info.get("source_run_id") or None,
        experiment_id=str(info["experiment_id"]),
        artifact_path=path_of(info["artifact_uri"]),
        status=info.get("status", ""),
    )
