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
    """Models a worker keeps in memory, pipelines to score with and forms to serve with each; the
    least recently used goes first."""

    allow_pickled_models: bool = False
    """Whether models stored as pickles are served. Loading a pickle runs whatever code its file
    holds, in this service: switch it on only where everybody who can write to MLflow is trusted."""

    training_processes: int = Field(default=2, ge=1, le=64)
    """Jobs (trainings) that run at the same time, each in a process of its own."""

    train_wait_s: float = Field(default=600.0, ge=0, le=86_400)
    """Seconds that `POST /train`, and `POST /root/ml` of a long set, waits for its job; then it
    answers 202 with the job."""

    fit_max_rows: int = Field(default=250_000, ge=2)
    """Labelled rows that a model is fitted to at most; of a set with more a sample is drawn, the
    same every time and every class in its share. Fewer of a table with more than 28 columns."""

    retrain_threshold_rows: int = Field(default=10, ge=1, le=1_000_000)
    """New labelled rows of a dataset from which on a retraining starts by itself."""

    predict_without_log: bool = False
    """Whether predictions are answered, with `"logged": false`, while PostgreSQL is away; else
    they are answered 503, and every answer is in the prediction log."""

    prediction_retention_days: int = Field(default=90, ge=0, le=36_500)
    """Days a prediction stays in the log, with its label; 0 keeps all for ever."""

    dashboard_port: int = Field(default=5003, ge=1, le=65535)
    """Port at which a browser reaches monitoring, whose live page `GET /dashboard` leads to."""
