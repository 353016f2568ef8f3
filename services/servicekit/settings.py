"""The settings that every service has, read once from environment variables named `CELLAR_...`."""

import os
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as MalformedSource
from sqlalchemy import URL

PREFIX = "CELLAR_"


class SettingsError(ValueError):
    """A variable is missing, malformed or unknown; the text names each and carries no value."""


class ServiceSettings(BaseSettings):
    """Settings shared by the services; a service adds its own in a subclass."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    checked_prefix: ClassVar[str] = PREFIX
    """A variable whose name begins so and that is no setting of this class stops the start."""

    database_host: str
    """Host of the PostgreSQL server."""

    database_port: int = Field(default=5432, ge=1, le=65535)
    """Port of the PostgreSQL server."""

    database_name: str = "cellar"
    """Database that holds datasets, deployments, predictions and monitoring results."""

    database_user: str
    """Role this service connects as."""

    database_password: SecretStr
    """Password of that role."""

    database_pool_size: int = Field(default=8, ge=1, le=100)
    """Connections a worker process keeps open at most; as many again may be opened under load."""

    simulator_url: str = "http://127.0.0.1:5004"
    """Base URL of the simulator."""

    ml_model_url: str = "http://127.0.0.1:5001"
    """Base URL of the ML service."""

    tracking_url: str = "http://127.0.0.1:5002"
    """Base URL of the tracking service."""

    monitoring_url: str = "http://127.0.0.1:5003"
    """Base URL of the monitoring service."""

    mlflow_url: str = "http://127.0.0.1:5005"
    """Base URL of the MLflow server: REST API, artifact proxy and UI."""

    bind_host: str = "127.0.0.1"
    """Address the service listens on."""

    port: int = Field(ge=1, le=65535)
    """Port the service listens on."""

    allowed_hosts: str = ""
    """Further host names by which the suite is reached, separated by commas (`cellar.example.org`);
    their pages may call it too. localhost, plain addresses and the hosts of the URLs above are
    always allowed; by any other name nothing can be changed."""

    workers: int = Field(default=2, ge=1, le=64)
    """Worker processes."""

    threads: int = Field(default=8, ge=1, le=256)
    """Threads per worker process, hence requests it answers at the same time."""

    connect_timeout_s: float = Field(default=3.0, gt=0)
    """Seconds to wait for a connection to another service."""

    read_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds to wait for another service's answer."""

    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Largest request body accepted, in bytes; more is answered 413."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity that is logged."""

    log_format: Literal["text", "json"] = "text"
    """Log lines for a person (`text`) or for a collector (`json`)."""

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Read the environment; `values` win over it.

        Raises
        ------
        SettingsError
            A variable is missing or malformed, or one with our prefix is unknown (a misspelt
            setting must not be ignored). The text names variables, never values.
        """
        known = {f"{PREFIX}{name}".upper() for name in cls.model_fields}
        unknown = sorted(
            name
            for name in os.environ
            if name.upper().startswith(cls.checked_prefix) and name.upper() not in known
        )
        if unknown:
            raise SettingsError(f"Unknown setting(s) {', '.join(unknown)} in the environment.")
        try:
            return cls(**values)
        except ValidationError as error:
            problems = (
                f"{PREFIX}{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}"
                for item in error.errors(include_input=False, include_url=False)
            )
            raise SettingsError("; ".join(problems)) from None
        except MalformedSource as error:
            # A list or mapping is read as JSON; the source's text names the field, not the value.
            raise SettingsError(
                f"{PREFIX}{str(error).split(chr(34))[1].upper()}: is not JSON"
            ) from None

    def further_host_names(self) -> tuple[str, ...]:
        """Return the names of `allowed_hosts`, in lower case."""
        names = (name.strip().lower() for name in self.allowed_hosts.split(","))
        return tuple(name for name in names if name)

    def own_host_names(self) -> tuple[str, ...]:
        """Return every name by which the suite is reached; addresses need none."""
        urls = (
            self.simulator_url,
            self.ml_model_url,
            self.tracking_url,
            self.monitoring_url,
            self.mlflow_url,
        )
        hosts = (urlsplit(url).hostname or "localhost" for url in urls)
        return tuple(dict.fromkeys(("localhost", *hosts, *self.further_host_names())))

    def database_url(self, database_name: str | None = None) -> URL:
        """Return the URL of `database_name` (default: the dataset database) for SQLAlchemy."""
        return URL.create(
            "postgresql+psycopg2",
            username=self.database_user,
            password=self.database_password.get_secret_value(),
            host=self.database_host,
            port=self.database_port,
            database=database_name or self.database_name,
        )
