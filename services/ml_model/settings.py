"""The ML service's settings."""

from pydantic import Field

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the ML service, from `CELLAR_...` variables."""

    port: int = Field(default=5001, ge=1, le=65535)
    """Port the service listens on."""

    database_user: str = "cellar_ml_model"
    """Role this service connects as."""

    cached_models: int = Field(default=4, ge=1, le=100)
    """Fitted pipelines a worker keeps in memory; the least recently used goes first."""
