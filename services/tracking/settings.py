"""The settings of the tracking service and of the MLflow server beside it."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of tracking; the shared ones are in `ServiceSettings`."""

    mlflow_database_name: str = "mlflow"
    """Database of the MLflow server, on the same PostgreSQL and with the same role."""

    mlflow_artifacts: str = "/var/lib/cellar/artifacts"
    """Where the MLflow server keeps models and files: a folder, or a bucket as `s3://bucket/path`."""

    s3_endpoint_url: str = ""
    """URL of the S3 server with that bucket; empty: Amazon's own."""

    s3_region: str = "us-east-1"
    """Region of the bucket; most servers but Amazon's take any."""

    s3_access_key_id: str = ""
    """Key with which the bucket is read and written; empty: as boto3 finds one (role, profile)."""

    s3_secret_access_key: SecretStr = SecretStr("")
    """The secret that belongs to the key."""

    mlflow_port: int = Field(default=5005, ge=1, le=65535)
    """Port the MLflow server listens on (UI, REST API, artifact proxy)."""

    mlflow_workers: int = Field(default=1, ge=1, le=16)
    """Processes of the MLflow server; each takes about 300 MiB."""

    fit_max_rows: int = Field(default=250_000, ge=2)
    """Labelled rows that a model is fitted to at most; of a set with more a sample is drawn, the
    same every time and every class in its share. Fewer of a table with more than 28 columns."""

    search_max_candidates: int = Field(default=500, ge=1, le=100_000)
    """Most candidates (combinations of hyperparameters) that one model's grid may have."""

    search_jobs: int = Field(default=0, ge=0, le=256)
    """Candidates that one search fits at a time; 0: one per processor, where the search is long."""

    search_processes: int = Field(default=1, ge=1, le=64)
    """Searches handed in with `"wait": false` that run at the same time, each in a process of its
    own; the others wait for their turn."""

    dask_address: str = Field(default="", pattern=r"^$|^(tcp|tls|ws|wss)://\S+$")
    """The Dask scheduler on whose workers searches run, `tcp://host:8786`; empty: none, here."""

    @field_validator("s3_secret_access_key")
    @classmethod
    def _key_and_secret_together(cls, secret: SecretStr, found: ValidationInfo) -> SecretStr:
        if bool(secret.get_secret_value()) != bool(found.data.get("s3_access_key_id")):
            raise ValueError("goes together with CELLAR_S3_ACCESS_KEY_ID: give both or none")
        return secret
