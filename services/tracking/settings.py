"""The settings of the tracking service and of the MLflow server beside it."""

from pydantic import Field

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of tracking; the shared ones are in `ServiceSettings`."""

    mlflow_database_name: str = "mlflow"
    """Database of the MLflow server, on the same PostgreSQL and with the same role."""

    mlflow_artifacts: str = "/var/lib/cellar/artifacts"
    """Where the MLflow server keeps models and files: a folder, or e.g. `s3://bucket/path`."""

    mlflow_port: int = Field(default=5005, ge=1, le=65535)
    """Port the MLflow server listens on (UI, REST API, artifact proxy)."""

    mlflow_workers: int = Field(default=1, ge=1, le=16)
    """Processes of the MLflow server; each takes about 300 MiB."""

    mlflow_allowed_hosts: str = ""
    """Further host names by which MLflow is reached, separated by commas (`mlflow.example.org`).
    localhost, plain addresses and the host of `CELLAR_MLFLOW_URL` are always allowed."""

    search_max_candidates: int = Field(default=500, ge=1, le=100_000)
    """Most candidates (combinations of hyperparameters) that one model's grid may have."""

    search_jobs: int = Field(default=1, ge=0, le=256)
    """Fits that one search runs at the same time; 0 means one for each processor."""
