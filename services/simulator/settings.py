"""The simulator's settings: those of every service."""

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Nothing of its own yet."""

    port: int = 5004
    """Port the service listens on."""

    database_user: str = "cellar_simulator"
    """Role this service connects as; it owns the dataset database."""
