"""What serves cannot be deleted past tracking either: by MLflow's own API and pages."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from schema.locks import SLOT_LOCK
from tests.integration.tracking.conftest import MlServiceStandIn, laboratory, new_name
from tests.support.databases import DatabaseServer, TestDatabase
from tests.support.mlflow_fixture import MlflowServer, running_mlflow


@dataclass
class Kept:
    """A registered version with its run, experiment and logged model."""

    server: MlflowServer
    client: MlflowClient
    name: str
    experiment_id: str
    run_id: str
    model_id: str

    def record(self, version: int = 1, model_uri: str = "", run_id: str | None = None) -> int:
        """Write the version as the ML service records it, and return the record's id."""
        self.server.datasets.execute(
            "INSERT INTO model_versions (registered_name, version, model_name, hyperparameters,"
            " training_run_id, model_uri) VALUES (%s, %s, 'SVC', '{}', %s, %s)",
            (
                self.name if version else model_uri,
                version,
                self.run_id if run_id is None else run_id,
                model_uri or f"models:/{self.name}/{version}",
            ),
        )
        return int(self.server.datasets.rows("SELECT max(id) FROM model_versions")[0][0])

    def serve(self, record: int | None, slot: str = "next") -> None:
        """Append a ledger entry that has a record in a slot, or nothing in both."""
        self.server.datasets.execute(
            "INSERT INTO deployments (slot, action, actor, reason, request_id,"  # noqa: S608
            f" {slot}_version_id) VALUES ('next', 'loaded', 'test', 'test', 'test', %s)",
            (record,),
        )

    def delete(self, what: str, start: str = "/api/2.0/mlflow") -> requests.Response:
        """Delete over plain HTTP, as MLflow's pages do."""
        method, path, body = {
            "run": ("POST", "runs/delete", {"run_id": self.run_id}),
            "experiment": ("POST", "experiments/delete", {"experiment_id": self.experiment_id}),
            "registered model": ("DELETE", "registered-models/delete", {"name": self.name}),
            "version": ("DELETE", "model-versions/delete", {"name": self.name, "version": "1"}),
            "model": ("DELETE", f"logged-models/{self.model_id}", None),
        }[what]
        url = f"{self.server.url}{start}/{path}"
        return requests.request(method, url, json=body, timeout=60)


KINDS = ["run", "experiment", "registered model", "version", "model"]


@pytest.fixture
def kept(mlflow_server: MlflowServer) -> Iterator[Kept]:
    """Something in MLflow that no slot holds yet; the ledger is left with empty slots."""
    client = MlflowClient(tracking_uri=mlflow_server.url, registry_uri=mlflow_server.url)
    name = new_name("kept")
    experiment_id = client.create_experiment(name)
    run_id = client.create_run(experiment_id).info.run_id
    model = client.create_logged_model(experiment_id, "model", source_run_id=run_id)
    client.create_registered_model(name)
    client.create_model_version(
        name, f"models:/{model.model_id}", run_id, model_id=model.model_id, await_creation_for=0
    )
    found = Kept(mlflow_server, client, name, experiment_id, run_id, model.model_id)
    yield found
    mlflow_server.datasets.execute("UPDATE rollouts SET state = 'completed'")
    found.serve(None)


@pytest.mark.parametrize("start", ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow"])
@pytest.mark.parametrize("what", KINDS)
def test_what_a_slot_holds_is_kept_until_it_is_free(kept: Kept, what: str, start: str) -> None:
    kept.serve(kept.record())

    refused = kept.delete(what, start)

    assert refused.status_code == 409, refused.text
    assert set(refused.json()) == {"error_code", "message"}
    assert refused.json()["error_code"] == "RESOURCE_CONFLICT"
    assert "by the slot next" in refused.json()["message"]
    assert kept.client.get_run(kept.run_id).info.lifecycle_stage == "active"
    assert kept.client.get_model_version(kept.name, "1").run_id == kept.run_id
    kept.serve(None)
    assert kept.delete(what, start).status_code == 200


@pytest.mark.parametrize("what", KINDS)
def test_what_a_running_rollout_compares_is_kept(kept: Kept, what: str) -> None:
    record = kept.record()
    kept.serve(None)
    kept.server.datasets.execute(
        "INSERT INTO rollouts (plan, current_version_id, next_version_id, deployment_id)"
        " SELECT '{}', %s, %s, max(id) FROM deployments",
        (record, record),
    )
    assert "the running roll-out" in kept.delete(what).json()["message"]


@pytest.mark.parametrize("what", ["experiment", "model"])
def test_a_model_that_is_not_registered_is_kept(kept: Kept, what: str) -> None:
    kept.serve(kept.record(0, f"models:/{kept.model_id}", run_id=""), "current")
    assert f"model {kept.model_id} by the slot current" in kept.delete(what).json()["message"]
    assert kept.delete("run").status_code == 200


def test_mlflows_client_is_told_why_and_another_version_goes(kept: Kept) -> None:
    kept.serve(kept.record())
    other = kept.client.create_model_version(
        kept.name,
        f"models:/{kept.model_id}",
        kept.run_id,
        model_id=kept.model_id,
        await_creation_for=0,
    )
    with pytest.raises(MlflowException, match=f"run {kept.run_id} by the slot next"):
        kept.client.delete_run(kept.run_id)
    kept.client.set_registered_model_alias(kept.name, "best", "1")
    kept.client.delete_registered_model_alias(kept.name, "best")
    kept.client.delete_model_version(kept.name, other.version)


def test_tracking_says_so_when_the_server_keeps_it(
    kept: Kept, module_database: TestDatabase, ml_stand_in: MlServiceStandIn
) -> None:
    """As when a slot takes the model between tracking's own look and the deletion."""
    kept.serve(kept.record())
    kept.client.set_terminated(kept.run_id)
    with laboratory(module_database, kept.server, ml_stand_in) as lab:
        path = f"/runs?experiment_id={kept.experiment_id}&run_id={kept.run_id}"
        for refused in (path, f"/experiments?experiment_id={kept.experiment_id}"):
            answer = lab.ask("DELETE", refused, status=409)
            assert answer["error"] == "Model deployed"
            assert answer["message"].startswith(f"In use: run {kept.run_id} by the slot next")


def test_a_change_of_a_slot_is_waited_for(kept: Kept) -> None:
    """The deletion arrives while a change holds the lock; the slot's new model is kept."""
    record = kept.record()
    answers: list[requests.Response] = []
    with kept.server.datasets.connection() as change, change.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (SLOT_LOCK,))
        deleting = threading.Thread(target=lambda: answers.append(kept.delete("version")))
        deleting.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not kept.server.datasets.rows(waiting)[0][0]:
            assert deleting.is_alive()
        cursor.execute(
            "INSERT INTO deployments (slot, action, actor, reason, request_id, next_version_id)"
            " VALUES ('next', 'loaded', 'test', 'test', 'test', %s)",
            (record,),
        )
        change.commit()
        deleting.join()
    assert answers[0].status_code == 409, answers[0].text


@pytest.mark.parametrize("body", ["", "[]", "{", '"{"'])
def test_a_body_that_cannot_be_read_is_refused(mlflow_server: MlflowServer, body: str) -> None:
    answer = requests.post(
        f"{mlflow_server.url}/api/2.0/mlflow/runs/delete",
        data=body,
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_without_the_dataset_database_nothing_of_it_is_deleted(
    database_server: DatabaseServer,
    module_database: TestDatabase,
    ml_stand_in: MlServiceStandIn,
    tmp_path: Path,
) -> None:
    away = {"CELLAR_DATABASE_NAME": "no_such_database"}
    with (
        running_mlflow(database_server, tmp_path, away) as server,
        laboratory(module_database, server, ml_stand_in) as lab,
    ):
        run_id = lab.run_by_hand(lab.client.create_experiment("kept"))
        answer = requests.post(
            f"{server.url}/api/2.0/mlflow/runs/delete", json={"run_id": run_id}, timeout=60
        )
        assert answer.status_code == 503
        assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert "password" not in answer.text
        assert lab.client.get_run(run_id).info.lifecycle_stage == "active"
        # Its other calls do not need that database.
        lab.client.set_tag(run_id, "a", "b")
