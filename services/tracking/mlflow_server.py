"""Run the MLflow server (UI, REST API, artifact proxy): `python -m tracking.mlflow_server`.

Waits until its database answers, then becomes the server that `mlflow server` would start. Imports
no MLflow itself, so that nothing heavy stays behind.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg2

from servicekit.settings import SettingsError
from servicekit.telemetry import configure_logging
from tracking.settings import Settings

DATABASE_PATIENCE_S = 120.0

BACKEND_STORE = "_MLFLOW_SERVER_FILE_STORE"
ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
ARTIFACTS_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
SERVE_ARTIFACTS = "_MLFLOW_SERVER_SERVE_ARTIFACTS"
SERVER_KIND = "_MLFLOW_SGI_NAME"
LEDGER_STORE = "_TRACKING_LEDGER_STORE"
"""Names the database that says what is in use, to `tracking.mlflow_deletions`."""

log = logging.getLogger("tracking.mlflow_server")


def allowed_hosts(settings: Settings) -> list[str]:
    """Return the Host headers MLflow takes, as patterns.

    A name that another site can point at this server (DNS rebinding) must not pass; addresses
    cannot be used for that. MLflow compares with the port, hence `:*`.
    """
    # No public name ends in digits alone. fnmatch reads "[" as the start of a set, hence "[[]".
    digits = "[0-9]"
    addresses = [f"{digits}*.{digits}*.{digits}*.{digits * length}" for length in (1, 2, 3)]
    return [
        pattern
        for name in (*settings.own_host_names(), *addresses, "[[]*]")
        for pattern in (name, f"{name}:*")
    ]


def allowed_origins(settings: Settings) -> list[str]:
    """Return the browser origins that may change something through MLflow's API.

    MLflow takes localhost by itself; every further name serves its own UI only.
    """
    return [
        f"{scheme}://{name}{port}"
        for name in settings.further_host_names()
        for scheme in ("http", "https")
        for port in ("", ":*")
    ]


def command(settings: Settings) -> list[str]:
    """Return the command line; the database's address has a password and is not on it.

    It is what `mlflow server` itself starts as a child, with our guard around it. Started directly,
    MLflow is imported once instead of twice: seconds less at the start and 250 MiB less for as long
    as it runs.
    """
    return [
        sys.executable,
        "-m",
        "uvicorn",
        f"--host={settings.bind_host}",
        f"--port={settings.mlflow_port}",
        f"--workers={settings.mlflow_workers}",
        f"--log-level={settings.log_level.lower()}",
        # Requests are logged by the services that make them.
        "--no-access-log",
        "--factory",
        "tracking.mlflow_deletions:guarded_server",
    ]


def environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the server's environment: ours without our settings, plus MLflow's own.

    The names with an underscore are those through which `mlflow server` hands its options to the
    server it starts; a test holds them against the installed MLflow.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("CELLAR_")}
    url = settings.database_url(settings.mlflow_database_name)
    return {
        **kept,
        **s3_environment(settings),
        BACKEND_STORE: url.render_as_string(hide_password=False),
        LEDGER_STORE: settings.database_url().render_as_string(hide_password=False),
        ARTIFACT_ROOT: "mlflow-artifacts:/",
        ARTIFACTS_DESTINATION: settings.mlflow_artifacts,
        SERVE_ARTIFACTS: "true",
        SERVER_KIND: "uvicorn",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(allowed_hosts(settings)),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(allowed_origins(settings)),
        "MLFLOW_ENABLE_WORKSPACES": "false",
        # No jobs run here: nobody starts MLflow's job runner.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def s3_environment(settings: Settings) -> dict[str, str]:
    """Return what boto3 and MLflow read about a bucket; nothing when artifacts are in a folder."""
    if not settings.mlflow_artifacts.startswith("s3://"):
        return {}
    found = {
        "AWS_DEFAULT_REGION": settings.s3_region,
        # Whoever waits for a model has to be told when the bucket is away.
        "AWS_RETRY_MODE": "standard",
        "AWS_MAX_ATTEMPTS": "2",
    }
    if settings.s3_access_key_id:
        found["AWS_ACCESS_KEY_ID"] = settings.s3_access_key_id
        found["AWS_SECRET_ACCESS_KEY"] = settings.s3_secret_access_key.get_secret_value()
    if settings.s3_endpoint_url:
        found |= {
            "MLFLOW_S3_ENDPOINT_URL": settings.s3_endpoint_url,
            # `bucket.host` is a name that only Amazon's servers have.
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
            # Not every server knows the checksums that boto3 sends unasked.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }
    return found


def wait_for_database(settings: Settings, patience_s: float = DATABASE_PATIENCE_S) -> None:
    """Return when MLflow's database takes a connection; SystemExit when patience is over."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            psycopg2.connect(
                host=settings.database_host,
                port=settings.database_port,
                dbname=settings.mlflow_database_name,
                user=settings.database_user,
                password=settings.database_password.get_secret_value(),
                connect_timeout=3,
            ).close()
            return
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"mlflow: its database does not answer: {error}") from None
            log.info("Waiting for the database of MLflow")
            time.sleep(1)


def main() -> None:
    """Become the MLflow server; a wrong setting ends with one line that names it."""
    try:
        settings = Settings.load()
    except SettingsError as error:
        raise SystemExit(f"mlflow: {error}") from None
    configure_logging(settings.log_level, settings.log_format)
    if "://" not in settings.mlflow_artifacts:
        Path(settings.mlflow_artifacts).mkdir(parents=True, exist_ok=True)
    wait_for_database(settings)
    os.execve(sys.executable, command(settings), environment(settings, os.environ))


if __name__ == "__main__":
    main()
