"""Which of MLflow's calls delete what may be in use, and what they name."""

import json
from typing import Any

import pytest
from mlflow.protos import databricks_pb2
from mlflow.protos.model_registry_pb2 import ModelRegistryService
from mlflow.protos.service_pb2 import MlflowService

from tracking.domain import Deletion
from tracking.mlflow_deletions import MOST_BODY_BYTES, deletes, deletion_of

GUARDED = {
    "deleteRun",
    "deleteExperiment",
    "deleteRegisteredModel",
    "deleteModelVersion",
    "deleteLoggedModel",
}


def routes() -> list[tuple[str, str, str]]:
    """Return name, method and path of every call of the installed MLflow."""
    return [
        (call.name, endpoint.method, f"{start}/{endpoint.since.major}.0{endpoint.path}")
        for service in (MlflowService, ModelRegistryService)
        for call in service.DESCRIPTOR.methods
        for endpoint in call.GetOptions().Extensions[databricks_pb2.rpc].endpoints
        for start in ("/api", "/ajax-api")
    ]


def test_every_such_call_of_the_installed_mlflow_is_seen_and_no_other() -> None:
    seen = [(name, path) for name, method, path in routes() if deletes(method, path)]
    assert {name for name, _ in seen} == GUARDED
    assert len(seen) == len([name for name, _, _ in routes() if name in GUARDED])


@pytest.mark.parametrize(
    "body",
    [
        {"run_id": "abc"},
        {"runId": "abc"},
        {"run_id": "abc", "more": [1]},
        json.dumps({"run_id": "abc"}),
    ],
)
def test_a_run_is_named_in_every_way_that_mlflow_reads(body: Any) -> None:
    path = "/api/2.0/mlflow/runs/delete"
    assert deletion_of("POST", path, json.dumps(body).encode()) == Deletion("run", "abc")


def test_the_other_kinds_are_named_by_their_keys() -> None:
    start = "/ajax-api/2.0/mlflow/"
    body = json.dumps({"name": "wine", "version": "3", "experimentId": "7"}).encode()
    assert deletion_of("POST", f"{start}experiments/delete", body) == Deletion(
        "experiment", "7", "3"
    )
    assert deletion_of("DELETE", f"{start}model-versions/delete", body) == Deletion(
        "model version", "wine", "3"
    )
    assert deletion_of("DELETE", f"{start}logged-models/m-1", b"") == Deletion(
        "logged model", "m-1"
    )


def test_what_names_nothing_is_left_to_mlflow() -> None:
    assert deletion_of("POST", "/api/2.0/mlflow/runs/delete", b"{}") is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"run_id": "' + b"x" * MOST_BODY_BYTES + b'"}', b"\xff"]
)
def test_what_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is nobody's
        deletion_of("POST", "/api/2.0/mlflow/runs/delete", body)
