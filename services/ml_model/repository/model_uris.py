"""Models anywhere in MLflow, by the URIs that MLflow takes. Plain HTTP, no MLflow library."""

import re
from dataclasses import dataclass

from ml_model.errors import ModelRefused, ModelUriUnknown
from ml_model.mlmodel_file import DESCRIPTION_FILE, Description, parse_description
from mlflowrest.client import Mlflow
from mlflowrest.errors import MlflowNotFound, MlflowRefused
from mlflowrest.registry import RegisteredVersion

NOT_REGISTERED = 0
"""The version number of a model that no registered model holds."""

PARITY_TAG = "cellar.onnx_parity"

_LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})")
_ALIAS = re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[^/@]+)")
_NUMBER = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>[0-9]{1,9}|latest)")
_RUN = re.compile(r"runs:/(?P<run_id>[0-9a-f]{32})/(?P<path>[^/].*)")

LONGEST_CHAIN = 5
"""A version may be a copy of another version, which may be a copy again."""


@dataclass(frozen=True)
class ModelSource:
    """Where a URI leads.

    `registered_name` and `version` are the registered model's; of a model that is not registered
    the URI and 0. `model_uri` names this very model for good, where `uri` may be an alias. `folder`
    is below the artifact root. `dataset_name` and `dataset_version` are known of models of ours.
    """

    uri: str
    registered_name: str
    version: int
    model_uri: str
    run_id: str
    folder: str
    dataset_name: str | None = None
    dataset_version: int | None = None


class ModelUris:
    """Resolves URIs and reads what lies there."""

    def __init__(self, mlflow: Mlflow) -> None:
        self._mlflow = mlflow

    def resolve(self, uri: str) -> ModelSource:
        """Return where a URI leads.

        Raises
        ------
        ModelUriUnknown
            It is no model URI, or MLflow does not know it.
        MlflowUnavailable
            MLflow does not answer.
        """
        try:
            return self._resolve(uri)
        except (MlflowNotFound, MlflowRefused) as error:
            raise ModelUriUnknown(f"MLflow has no model {uri!r}.") from error

    def describe(self, source: ModelSource) -> Description:
        """Return what the model's `MLmodel` says.

        Raises
        ------
        ModelUriUnknown
            There are no files, or the server does not hand them out.
        ModelRefused
            It is not a model that can be served.
        """
        return parse_description(self.read(source, DESCRIPTION_FILE))

    def read(self, source: ModelSource, name: str) -> bytes:
        """Return a file of the model; raises `ModelUriUnknown` when it is not there."""
        try:
            return self._mlflow.artifacts.get(f"{source.folder}/{name}")
        except (MlflowNotFound, MlflowRefused) as error:
            raise ModelUriUnknown(
                f"The file {name} of {source.uri} is not among MLflow's artifacts."
            ) from error

    def tag(self, source: ModelSource, key: str, value: str) -> None:
        """Set a tag of a registered version; a model that is not registered has none."""
        if source.version != NOT_REGISTERED:
            self._mlflow.registry.set_tag(source.registered_name, source.version, key, value)

    def _resolve(self, uri: str) -> ModelSource:
        if found := _LOGGED.fullmatch(uri):
            model = self._mlflow.registry.get_logged_model(found[1])
            return ModelSource(
                uri, uri, NOT_REGISTERED, uri, model.run_id or "", model.artifact_path
            )
        if found := _ALIAS.fullmatch(uri):
            version = self._mlflow.registry.get_by_alias(found["name"], found["alias"])
            return self._registered(uri, version)
        if found := _NUMBER.fullmatch(uri):
            if found["version"] == "latest":
                return self._registered(uri, self._mlflow.registry.get_latest(found["name"]))
            version = self._mlflow.registry.get(found["name"], int(found["version"]))
            return self._registered(uri, version)
        if found := _RUN.fullmatch(uri):
            return self._of_run(uri, found["run_id"], found["path"].rstrip("/"))
        raise ModelUriUnknown()

    def _registered(self, uri: str, version: RegisteredVersion) -> ModelSource:
        if version.status != "READY":
            raise ModelUriUnknown(f"MLflow has not finished registering {uri!r}.")
        tags = version.tags
        number = tags.get("dataset_version", "")
        return ModelSource(
            uri=uri,
            registered_name=version.name,
            version=version.version,
            model_uri=f"models:/{version.name}/{version.version}",
            run_id=version.run_id or "",
            folder=self._folder_of(version),
            dataset_name=tags.get("dataset_name") or None,
            dataset_version=int(number) if number.isdecimal() else None,
        )

    def _folder_of(self, version: RegisteredVersion) -> str:
        for _ in range(LONGEST_CHAIN):
            if found := _LOGGED.fullmatch(version.source):
                return self._mlflow.registry.get_logged_model(found[1]).artifact_path
            copied = _NUMBER.fullmatch(version.source)
            if copied is None or copied["version"] == "latest":
                return self._mlflow.registry.artifact_path(version.name, version.version)
            version = self._mlflow.registry.get(copied["name"], int(copied["version"]))
        raise ModelRefused("It is a copy of a copy of a copy …")

    def _of_run(self, uri: str, run_id: str, path: str) -> ModelSource:
        run = self._mlflow.runs.get(run_id)
        if run.lifecycle_stage != "active":
            raise ModelUriUnknown(f"The run of {uri!r} is deleted.")
        for model in self._mlflow.registry.search_logged_models(run.experiment_id, run_id):
            if model.name == path:
                of_model = f"models:/{model.id}"
                return ModelSource(uri, uri, NOT_REGISTERED, of_model, run_id, model.artifact_path)
        # Before MLflow 3 a run's models lay among its artifacts.
        return ModelSource(uri, uri, NOT_REGISTERED, uri, run_id, f"{run.artifact_path}/{path}")
