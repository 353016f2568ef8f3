"""The monitoring service's settings."""

from pydantic import Field

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """The retraining rule's limits, and how much Evidently is given to chew."""

    port: int = Field(default=5003, ge=1, le=65535)
    """Port the service listens on."""

    database_user: str = "cellar_monitoring"
    """Role this service connects as."""

    evidently_max_rows: int = Field(default=20_000, ge=100)
    """Rows per set that Evidently is given at most; larger sets are sampled evenly."""

    retraining_false_alarm_rate: float = Field(default=0.05, gt=0, lt=1)
    """Highest probability that production like the testing set asks for retraining (0 to 1)."""

    retraining_drift_share: float = Field(default=0.25, gt=0, le=1)
    """Share of the features that must have drifted (0 to 1)."""

    retraining_drift_distance: float = Field(default=0.1, ge=0, le=1)
    """Distance of a feature's two distributions from which on it counts as drifted (0 to 1)."""

    retraining_missing_growth: float = Field(default=0.02, ge=0, le=1)
    """Growth of the share of missing values, in one feature or over all (0 to 1)."""

    retraining_accuracy_drop: float = Field(default=0.05, ge=0, le=1)
    """Fall of the accuracy from testing to production (0 to 1)."""

    retraining_prediction_distance: float = Field(default=0.1, ge=0, le=1)
    """Distance of the two mixes of predicted classes (0 to 1)."""
