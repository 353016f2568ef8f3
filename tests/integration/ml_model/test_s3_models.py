"""The ML service over MLflow with a bucket: it knows of none, and says so when it is away."""

from collections.abc import Iterator

import pytest

from tests.integration.ml_model.conftest import Lab
from tests.support.databases import DatabaseServer
from tests.support.mlflow_fixture import MlflowServer, running_mlflow
from tests.support.s3_server import BUCKET, PREFIX, S3Server, in_bucket
from tracking.make_bucket import make_bucket
from tracking.settings import Settings


@pytest.fixture(scope="module")
def mlflow_server(
    database_server: DatabaseServer, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """In the place of the server with a folder."""
    names = in_bucket(s3_server)
    values = {name.removeprefix("CELLAR_").lower(): value for name, value in names.items()}
    needed = {"database_host": "", "database_user": "", "database_password": "", "port": 5002}
    make_bucket(Settings.model_validate({**needed, **values}))
    folder = tmp_path_factory.mktemp("mlflow_on_s3")
    with running_mlflow(database_server, folder, names) as server:
        yield server


def test_a_model_goes_into_the_bucket_is_scored_and_serves(wine: Lab, s3_server: S3Server) -> None:
    before = set(s3_server.objects(BUCKET))
    wine.ml.set_model("LogisticRegression", C=0.5, solver="liblinear")
    trained = wine.ml.score("training")
    stored = set(s3_server.objects(BUCKET, PREFIX)) - before
    assert {"MLmodel", "model.skops"} <= {key.rpartition("/")[2] for key in stored}

    # A process that has never seen the model reads it from the bucket, through MLflow.
    other = wine.another_ml()
    assert other.score("testing")["score"] > 0.9
    assert trained["score"] > 0.9

    other.ask("POST", "/update-model", {"model_uri": "models:/LogisticRegression/1"})
    other.ask("POST", "/accept-next-model")
    row = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]
    assert other.ask("POST", "/predict", {"data": [row]})["predictions"] == [0]


def test_a_bucket_that_is_away_is_503_to_trainings_and_nothing_to_serving(
    wine: Lab, s3_server: S3Server
) -> None:
    wine.ml.set_model("DecisionTree", max_depth=3)
    wine.ml.score("training")
    versions = wine.count("model_versions")
    s3_server.program.stop()
    try:
        # Another model has to be stored: not possible.
        wine.ml.set_model("DecisionTree", max_depth=2)
        status, answer = wine.ml.send("POST", "/root/ml", {"dataset": "training"})
        assert status == 503, answer
        assert wine.count("model_versions") == versions
        # What serving needs of a trained version is in PostgreSQL.
        other = wine.another_ml()
        other.ask("POST", "/update-model", {"model_uri": "models:/DecisionTree/1"})
    finally:
        s3_server.start()
    assert wine.ml.score("training")["score"] > 0.7
