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
    """Rows per set that Evidently is given at most; of longer sets a sample."""

    retraining_read_max_rows: int = Field(default=50_000, ge=0)
    """Rows of a set up to which the retraining rule reads it whole; longer sets are counted in the
    database, and Evidently is given a random sample of them."""

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
    """Distance of the two mixes of predicted classes, or distributions of numbers (0 to 1)."""

    retraining_error_growth: float = Field(default=0.1, ge=0, le=100)
    """Growth of a regression's mean absolute error from testing to production (0.1: a tenth)."""

    drift_false_alarm_rate: float = Field(default=0.05, gt=0, lt=1)
    """Highest probability that a drift check of rows like the reference finds drift (0 to 1)."""

    drift_distance: float = Field(default=0.1, ge=0, le=1)
    """Distance of a column's two distributions from which on a drift check counts it (0 to 1)."""

    drift_missing_difference: float = Field(default=0.02, ge=0, le=1)
    """Difference of a column's shares of missing values from which on it counts (0 to 1)."""

    drift_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the columns that must have drifted (0 to 1); 0: any one column is enough."""

    dashboard_streams: int = Field(default=3, ge=0, le=255)
    """Live pages that a worker serves by a stream each; a stream holds a thread, and one thread is
    always left. Further pages ask every two seconds instead."""

    dashboard_stream_s: float = Field(default=300.0, ge=1)
    """Seconds after which a stream ends; the page opens another."""

    ml_model_public_port: int | None = Field(default=None, ge=1, le=65535)
    """Port at which a browser reaches the ML service, for the commands that the page offers; empty:
    the port of `CELLAR_ML_MODEL_URL`."""

    tracking_public_port: int | None = Field(default=None, ge=1, le=65535)
    """The same of tracking; empty: the port of `CELLAR_TRACKING_URL`."""

    mlflow_public_port: int | None = Field(default=None, ge=1, le=65535)
    """Port at which a browser reaches MLflow's pages, to which the live page leads; empty: the port
    of `CELLAR_MLFLOW_URL`."""
