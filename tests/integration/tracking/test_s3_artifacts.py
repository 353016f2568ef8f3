"""Models in a bucket: written, read again and scored through MLflow; a bucket that is away is said.

The S3 server is rclone's: the protocol with its signatures, on real sockets, objects on disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pytest
from sklearn.datasets import load_wine

import simulator.app
import simulator.settings
from mlflowrest.client import Mlflow
from mlflowrest.errors import MlflowNotFound
from tests.integration.tracking.conftest import Lab, MlServiceStandIn, laboratory, new_name
from tests.support.databases import DatabaseServer, TestDatabase
from tests.support.mlflow_fixture import MlflowServer, running_mlflow
from tests.support.s3_server import BUCKET, PREFIX, S3Server, in_bucket
from tracking.make_bucket import make_bucket
from tracking.settings import Settings


@dataclass
class Storage:
    """The S3 server, and tracking whose artifacts are there."""

    server: S3Server
    lab: Lab


def bucket_settings(database: TestDatabase, server: S3Server, **over: str) -> Settings:
    values = {
        name.removeprefix("CELLAR_").lower(): value for name, value in in_bucket(server).items()
    }
    return database.settings(Settings, **{**values, **over})


@pytest.fixture(scope="module")
def mlflow_on_s3(
    database_server: DatabaseServer, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("mlflow_on_s3")
    with running_mlflow(database_server, folder, in_bucket(s3_server)) as server:
        yield server


@pytest.fixture(scope="module")
def storage(
    module_database: TestDatabase,
    s3_server: S3Server,
    mlflow_on_s3: MlflowServer,
    ml_stand_in: MlServiceStandIn,
) -> Iterator[Storage]:
    """The bucket is made and the training set loaded."""
    make_bucket(bucket_settings(module_database, s3_server))
    loader = simulator.app.create_app(module_database.settings(simulator.settings.Settings))
    answer = loader.test_client().post("/root/simulator", json={"set_name": "training"})
    assert answer.status_code == 200, answer.get_json()
    with laboratory(module_database, mlflow_on_s3, ml_stand_in) as lab:
        yield Storage(s3_server, lab)


def test_a_searched_model_is_in_the_bucket_and_scores_as_before(
    storage: Storage, tmp_path: Path
) -> None:
    lab = storage.lab
    data = lab.optimize(new_name("in a bucket"))
    run_id = data["run_ids"]["DecisionTree"]

    objects = storage.server.objects(BUCKET, PREFIX)
    names = {Path(key).name for key in objects}
    assert {"MLmodel", "model.skops", "candidates.csv"} <= names
    assert all(objects.values())

    run = lab.client.get_run(run_id)
    (output,) = run.outputs.model_outputs
    logged = lab.client.get_logged_model(output.model_id)
    assert logged.artifact_location.startswith("mlflow-artifacts:/")
    # Nothing but MLflow's address is known here: no key, no bucket.
    mlflow.set_tracking_uri(lab.mlflow.url)
    local = mlflow.artifacts.download_artifacts(
        f"models:/{output.model_id}", dst_path=str(tmp_path), tracking_uri=lab.mlflow.url
    )
    pipeline = mlflow.sklearn.load_model(local)
    rows, labels = load_wine(return_X_y=True, as_frame=True)
    accuracy = float(np.mean(pipeline.predict(rows) == labels))
    assert accuracy > 0.85


def test_a_bucket_that_is_there_is_left_alone(storage: Storage) -> None:
    before = storage.server.objects(BUCKET)

    assert make_bucket(bucket_settings(storage.lab.database, storage.server)) is False
    assert storage.server.objects(BUCKET) == before


def test_a_server_that_is_away_is_503_and_passes_by_itself(storage: Storage) -> None:
    lab = storage.lab
    before = storage.server.objects(BUCKET)
    storage.server.program.stop()
    try:
        status, answer = lab.send(
            "POST", "/model_management", lab.optimization(new_name("no bucket"))
        )
        assert (status, answer["error"]) == (503, "Artifact store unavailable")
        assert "CELLAR_S3_" in answer["message"]
    finally:
        storage.server.start()
    assert storage.server.objects(BUCKET) == before

    lab.optimize(new_name("bucket again"))
    assert len(storage.server.objects(BUCKET)) > len(before)


def test_wrong_keys_are_503_and_leave_nothing(
    storage: Storage, database_server: DatabaseServer, tmp_path: Path
) -> None:
    wrong = in_bucket(storage.server, CELLAR_S3_SECRET_ACCESS_KEY="guessed")
    before = storage.server.objects(BUCKET)
    with (
        running_mlflow(database_server, tmp_path, wrong) as server,
        laboratory(storage.lab.database, server, storage.lab.ml) as lab,
    ):
        name = new_name("wrong keys")
        status, answer = lab.send("POST", "/model_management", lab.optimization(name))
        assert (status, answer["error"]) == (503, "Artifact store unavailable")
        assert "CELLAR_S3_" in answer["message"]
        assert "guessed" not in f"{answer}{server.program.log()}"
        # The run says why, and no version was registered.
        (experiment,) = lab.client.search_experiments(filter_string=f"name = '{name}'")
        (run,) = lab.client.search_runs([experiment.experiment_id])
        assert run.info.status == "FAILED"
        assert not lab.client.search_model_versions("name = 'DecisionTree'")
    assert storage.server.objects(BUCKET) == before


@pytest.mark.parametrize(
    "over, reason",
    [
        ({"mlflow_artifacts": "/a/folder"}, "is no s3:// address"),
        ({"s3_secret_access_key": "guessed"}, "refuses: SignatureDoesNotMatch"),
        ({"s3_endpoint_url": "http://127.0.0.1:9"}, "no S3 server answers"),
    ],
)
def test_why_no_bucket_is_made_is_said(storage: Storage, over: dict[str, str], reason: str) -> None:
    settings = bucket_settings(storage.lab.database, storage.server, **over)

    with pytest.raises(SystemExit, match=reason):
        make_bucket(settings, patience_s=0)


def test_a_file_of_ours_comes_back_and_a_missing_one_is_not_found(
    storage: Storage, mlflow_on_s3: MlflowServer
) -> None:
    artifacts = Mlflow(mlflow_on_s3.url).artifacts
    path = f"cellar/drift_samples/{new_name()}.json"
    artifacts.put_json(path, {"rows": [[1.5, None]]})
    assert artifacts.get_json(path) == {"rows": [[1.5, None]]}
    assert path in {entry.path for entry in artifacts.list("cellar/drift_samples")}
    artifacts.delete(path)
    artifacts.delete(path)
    # MLflow's proxy answers 500 for an object that a bucket does not have.
    for missing in (path, "no/such/folder.json"):
        with pytest.raises(MlflowNotFound):
            artifacts.get(missing)
