"""The MLflow server's command line, environment and who may reach it."""

import importlib.util
import runpy
from fnmatch import fnmatch
from pathlib import Path

import pytest
from mlflow import environment_variables
from pydantic import ValidationError

from tracking import mlflow_server
from tracking.mlflow_server import allowed_hosts, allowed_origins, command, environment
from tracking.settings import Settings


def settings(**over: object) -> Settings:
    given = {
        "database_host": "postgres",
        "database_user": "cellar_tracking",
        "database_password": "p%40ss:/word",
        "port": 5002,
        "mlflow_url": "http://tracking:5005",
    }
    return Settings.model_validate(given | over)


def passes(host: str, **over: object) -> bool:
    """MLflow's own comparison: patterns with a star match, others must be equal."""
    return any(
        fnmatch(host, pattern) if "*" in pattern else host == pattern
        for pattern in allowed_hosts(settings(**over))
    )


@pytest.mark.parametrize(
    "host",
    [
        "localhost:5005",
        "localhost",
        "127.0.0.1:5005",
        "10.0.0.12:5005",
        "tracking:5005",
        "[::1]:80",
    ],
)
def test_containers_browsers_and_addresses_pass(host: str) -> None:
    assert passes(host)


@pytest.mark.parametrize(
    "host", ["evil.com", "10.evil.com", "localhost.evil.com", "127.0.0.1.nip.io"]
)
def test_names_that_another_site_can_point_here_do_not(host: str) -> None:
    assert not passes(host)


def test_a_further_name_passes_and_may_use_its_own_ui() -> None:
    over = {"allowed_hosts": "mlflow.example.org, other"}
    assert passes("mlflow.example.org:443", **over)
    assert "https://mlflow.example.org" in allowed_origins(settings(**over))
    assert allowed_origins(settings()) == []


def test_the_password_is_not_on_the_command_line() -> None:
    assert not any("ss:" in part or "postgresql" in part for part in command(settings()))
    found = environment(settings(), {"CELLAR_DATABASE_PASSWORD": "p", "PATH": "/bin"})
    assert found[mlflow_server.BACKEND_STORE].startswith("postgresql+psycopg2://cellar_tracking:")
    assert "CELLAR_DATABASE_PASSWORD" not in found and found["PATH"] == "/bin"


def test_the_names_are_those_by_which_mlflow_hands_on_its_options() -> None:
    # Run as a file: importing `mlflow.server` builds the whole server.
    package = importlib.util.find_spec("mlflow")
    assert package is not None
    assert package.origin is not None
    constants = runpy.run_path(str(Path(package.origin).with_name("server") / "constants.py"))
    assert constants["BACKEND_STORE_URI_ENV_VAR"] == mlflow_server.BACKEND_STORE
    assert constants["ARTIFACT_ROOT_ENV_VAR"] == mlflow_server.ARTIFACT_ROOT
    assert constants["ARTIFACTS_DESTINATION_ENV_VAR"] == mlflow_server.ARTIFACTS_DESTINATION
    assert constants["SERVE_ARTIFACTS_ENV_VAR"] == mlflow_server.SERVE_ARTIFACTS
    assert environment_variables._MLFLOW_SGI_NAME.name == mlflow_server.SERVER_KIND


BUCKET = {
    "mlflow_artifacts": "s3://models/cellar",
    "s3_endpoint_url": "http://s3:8333",
    "s3_access_key_id": "key",
    "s3_secret_access_key": "secret",
}


def test_a_bucket_is_reached_as_the_settings_say() -> None:
    found = environment(settings(**BUCKET), {"AWS_ACCESS_KEY_ID": "somebody's own"})

    assert found[mlflow_server.ARTIFACTS_DESTINATION] == "s3://models/cellar"
    assert found["MLFLOW_S3_ENDPOINT_URL"] == "http://s3:8333"
    assert found["MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"] == "path"
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("key", "secret")
    assert not any("secret" in part for part in command(settings(**BUCKET)))


def test_amazon_and_a_role_need_no_endpoint_and_no_keys() -> None:
    found = environment(settings(mlflow_artifacts="s3://models", s3_region="eu-central-1"), {})

    assert found["AWS_DEFAULT_REGION"] == "eu-central-1"
    assert not {"AWS_ACCESS_KEY_ID", "MLFLOW_S3_ENDPOINT_URL"} & set(found)


def test_a_folder_needs_nothing_of_s3() -> None:
    found = environment(settings(**{**BUCKET, "mlflow_artifacts": "/a/folder"}), {})

    assert not [name for name in found if name.startswith("AWS_") or "S3" in name]


def test_half_a_pair_of_keys_is_refused_without_being_shown() -> None:
    with pytest.raises(ValidationError, match="give both or none"):
        settings(**{**BUCKET, "s3_secret_access_key": ""})


def test_the_names_are_those_that_mlflow_reads_about_s3() -> None:
    assert environment_variables.MLFLOW_S3_ENDPOINT_URL.name == "MLFLOW_S3_ENDPOINT_URL"
    assert (
        environment_variables.MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE.name
        == "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"
    )
