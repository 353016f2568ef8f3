"""The fixed tables of the dataset database.

Knows columns, keys and constraints; knows nothing of HTTP, MLflow or scikit-learn. The wide sample
tables, one per dataset version, are made at run time by `schema.samples` in the Postgres schema
`samples`. Whoever changes a table here adds a migration: a test compares the two.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SAMPLES_SCHEMA = "samples"

JOBS_SCHEMA = "jobs_queue"
"""Procrastinate's own tables; the ML service's program `jobs` makes and owns them."""

SEARCHES_SCHEMA = "searches_queue"
"""The same of tracking: neither can see or hold up the other's queue."""

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

SET_NAMES = "set_name IN ('training', 'testing', 'production')"
SPLITS = "split IN ('stratified', 'random', 'time', 'group', 'column')"


class Base(DeclarativeBase):
    """The declarative base; every constraint gets a predictable name."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {
        datetime: DateTime(timezone=True),
        str: Text,
        float: Double,
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
    }


class DatasetRow(Base):
    """One version of one dataset; the same content is never stored as two versions.

    `columns` stand in the order they came in. Target, `id_column`, `group_column`, `split_column`
    and, unless `time_is_feature`, `time_column` are among them and no features. `row_count` is NULL
    until all rows are stored, `profile` until someone asked for it.
    """

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("name", "version"), UniqueConstraint("name", "content_hash"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    version: Mapped[int]
    content_hash: Mapped[str]
    task: Mapped[str]
    target: Mapped[str]
    columns: Mapped[list[Any]]
    classes: Mapped[list[Any]]
    class_names: Mapped[list[Any] | None]
    origin: Mapped[str]
    id_column: Mapped[str | None]
    time_column: Mapped[str | None]
    time_is_feature: Mapped[bool] = mapped_column(server_default="false")
    group_column: Mapped[str | None]
    split_column: Mapped[str | None]
    row_count: Mapped[int | None] = mapped_column(BigInteger)
    profile: Mapped[list[Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SetLoadRow(Base):
    """What is loaded now as the training, testing or production set of a dataset version."""

    __tablename__ = "set_loads"
    __table_args__ = (
        UniqueConstraint("dataset_id", "set_name"),
        CheckConstraint(SET_NAMES, name="set_name"),
        CheckConstraint(SPLITS, name="split"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    set_name: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    scenario: Mapped[str]
    split: Mapped[str] = mapped_column(server_default="stratified")
    content_hash: Mapped[str]
    row_count: Mapped[int] = mapped_column(BigInteger)
    loaded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ModelVersionRow(Base):
    """A fitted pipeline that MLflow keeps; what it was fitted on and from which run.

    A model that came from elsewhere, by its URI, has no dataset, content hash and fingerprint; one
    that is not registered has its URI as name and version 0. A version that someone deleted in
    MLflow, and whose number MLflow has given anew, has a number below 0.
    """

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("registered_name", "version"),
        UniqueConstraint("fingerprint"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    registered_name: Mapped[str]
    version: Mapped[int]
    model_name: Mapped[str]
    hyperparameters: Mapped[dict[str, Any]]
    source_run_id: Mapped[str | None]
    training_run_id: Mapped[str]
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id"))
    training_content_hash: Mapped[str | None]
    fingerprint: Mapped[str | None]
    model_uri: Mapped[str]
    drift_sample_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DeploymentRow(Base):
    """One entry of the append-only ledger; the newest entry carries the whole serving state.

    `slot` says what the entry changed. Entries of `current` also carry what is set for training;
    with the action `set` nothing is trained yet, and what serves stays as it was.
    """

    __tablename__ = "deployments"
    __table_args__ = (
        CheckConstraint("slot IN ('current', 'next', 'split')", name="slot"),
        CheckConstraint("canary_probability BETWEEN 0 AND 1", name="canary_probability"),
        Index(None, "slot", "id"),
        Index(None, "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    slot: Mapped[str]
    action: Mapped[str]
    model_name: Mapped[str | None]
    hyperparameters: Mapped[dict[str, Any] | None]
    source_run_id: Mapped[str | None]
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    current_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    next_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    canary_probability: Mapped[float] = mapped_column(server_default="1")
    shadow: Mapped[bool] = mapped_column(server_default="false")
    actor: Mapped[str]
    reason: Mapped[str]
    request_id: Mapped[str]
    # The time of the entry, not of its transaction, which may have waited for the lock: times then
    # follow the order of the ids.
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ServingModelRow(Base):
    """A model version in the form it is served in: every worker loads it from here.

    `content` is an ONNX model, or skops bytes where ONNX did not equal scikit-learn; `parity` is
    the comparison of the two.
    """

    __tablename__ = "serving_models"
    __table_args__ = (CheckConstraint("runtime IN ('onnx', 'sklearn')", name="runtime"),)

    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    runtime: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    input_schema: Mapped[list[Any]]
    task: Mapped[str]
    classes: Mapped[list[Any]]
    class_names: Mapped[list[Any]]
    parity: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PredictionLogRow(Base):
    """One answered row of an online prediction, its shadow, or a prediction that failed.

    `inputs` is in the order of `serving_models.input_schema`. An answered row stands here once per
    request id and row number. `model_version_id` is an id of `model_versions` without a foreign
    key: its check would lock that one row for every prediction, and nobody may delete a version.
    """

    __tablename__ = "prediction_log"
    __table_args__ = (
        CheckConstraint("slot IN ('current', 'next', 'shadow', 'inference')", name="slot"),
        CheckConstraint(
            "num_nonnulls(predicted_class, predicted_value, error) = 1", name="one_outcome"
        ),
        Index(
            "uq_prediction_log_answered",
            "request_id",
            "row_number",
            unique=True,
            postgresql_where="slot <> 'shadow' AND error IS NULL",
        ),
        Index(None, "created_at", postgresql_using="brin"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    request_id: Mapped[str]
    row_number: Mapped[int]
    slot: Mapped[str]
    model_version_id: Mapped[int] = mapped_column(BigInteger)
    inputs: Mapped[list[Any]]
    predicted_class: Mapped[str | None]
    predicted_value: Mapped[float | None]
    probabilities: Mapped[list[float] | None] = mapped_column(ARRAY(Double))
    latency_us: Mapped[int]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LabelRow(Base):
    """The truth about one predicted row; may come before or long after the prediction."""

    __tablename__ = "labels"
    __table_args__ = (CheckConstraint("num_nonnulls(label, value) >= 1", name="one_label"),)

    request_id: Mapped[str] = mapped_column(primary_key=True)
    row_number: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str | None]
    value: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TrainingRowRow(Base):
    """One labelled row that came in online; `job_id` is the retraining that used it first."""

    __tablename__ = "training_rows"
    __table_args__ = (UniqueConstraint("request_id"), Index(None, "dataset_name", "job_id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    dataset_name: Mapped[str]
    features: Mapped[list[Any]]
    target: Mapped[Any] = mapped_column(JSONB)
    request_id: Mapped[str | None]
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class JobRow(Base):
    """Work that runs in the background: what was asked, how far it is, what came of it."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"
        ),
        CheckConstraint("progress BETWEEN 0 AND 1", name="progress"),
        Index(
            "uq_jobs_one_retraining",
            "dataset_name",
            unique=True,
            postgresql_where="kind = 'retrain' AND state IN ('queued', 'running')",
        ),
        Index(None, "created_at"),
        CheckConstraint("untidy IN ('FAILED', 'KILLED')", name="untidy"),
        Index("ix_jobs_untidy", "id", postgresql_where="untidy IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="queued")
    dataset_name: Mapped[str | None]
    request: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    progress: Mapped[float] = mapped_column(server_default="0")
    message: Mapped[str] = mapped_column(server_default="")
    reason: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default="false")
    attempts: Mapped[int] = mapped_column(server_default="0")
    request_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    untidy: Mapped[str | None]


class RolloutRow(Base):
    """A guarded roll-out of `next`: at most one runs."""

    __tablename__ = "rollouts"
    __table_args__ = (
        CheckConstraint(
            "state IN ('running', 'completed', 'rolled_back', 'superseded', 'cancelled')",
            name="state",
        ),
        Index(
            "uq_rollouts_one_running", "state", unique=True, postgresql_where="state = 'running'"
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    state: Mapped[str] = mapped_column(server_default="running")
    plan: Mapped[dict[str, Any]]
    step: Mapped[int] = mapped_column(server_default="0")
    current_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    next_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    reason: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    step_started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class RolloutDecisionRow(Base):
    """What a roll-out decided, and the numbers it decided on."""

    __tablename__ = "rollout_decisions"
    __table_args__ = (Index(None, "rollout_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollouts.id"))
    decision: Mapped[str]
    step: Mapped[int]
    next_share: Mapped[float]
    numbers: Mapped[dict[str, Any]]
    reason: Mapped[str]
    deployment_id: Mapped[int | None] = mapped_column(ForeignKey("deployments.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ScoringRow(Base):
    """A set was scored by a model version; valid while `content_hash` is that of the loaded set."""

    __tablename__ = "scorings"
    __table_args__ = (
        UniqueConstraint("model_version_id", "dataset_id", "set_name"),
        CheckConstraint(SET_NAMES, name="set_name"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    set_name: Mapped[str]
    content_hash: Mapped[str]
    score: Mapped[float]
    row_count: Mapped[int] = mapped_column(BigInteger)
    scored_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ScoringPartRow(Base):
    """A part of a set that is scored while the scoring goes on; gone when that is complete.

    The part's rows have ids from `first_sample_id` to before `end_sample_id`. `tally` is what its
    predictions add to the score.
    """

    __tablename__ = "scoring_parts"
    __table_args__ = (CheckConstraint(SET_NAMES, name="set_name"),)

    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    set_name: Mapped[str] = mapped_column(primary_key=True)
    first_sample_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    end_sample_id: Mapped[int] = mapped_column(BigInteger)
    content_hash: Mapped[str]
    row_count: Mapped[int] = mapped_column(BigInteger)
    tally: Mapped[dict[str, Any]]
    stored_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PredictionRow(Base):
    """One prediction per stored sample and model version; scoring again replaces it.

    A classifier fills `predicted_class` (the class as text) and `probabilities` (in the order of
    `datasets.classes`, NULL where the model has none); a regressor fills `predicted_value`. Read
    them only where a row of `scorings` says that they are all there. `model_version_id` and
    `dataset_id` are no foreign keys: checking both took three quarters of the time that a million
    rows took. Whoever writes holds the loaded set, and writes a `scorings` or `scoring_parts` row
    with the same ids, which are checked there.
    """

    __tablename__ = "predictions"
    __table_args__ = (
        CheckConstraint(
            "num_nonnulls(predicted_class, predicted_value) = 1", name="one_prediction"
        ),
        CheckConstraint(SET_NAMES, name="set_name"),
        Index(None, "dataset_id", "set_name"),
    )

    model_version_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    sample_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    set_name: Mapped[str]
    predicted_class: Mapped[str | None]
    predicted_value: Mapped[float | None]
    probabilities: Mapped[list[float] | None] = mapped_column(ARRAY(Double))


class SearchRow(Base):
    """One optimization request.

    A running one holds the advisory lock of its id, unless it is the search of a job: then the job
    says whether it lives.
    """

    __tablename__ = "searches"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'finished', 'failed', 'cancelled')", name="state"),
        Index(None, "experiment_id"),
        UniqueConstraint("job_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    experiment_id: Mapped[str]
    request: Mapped[dict[str, Any]]
    state: Mapped[str]
    reason: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))


class SearchCandidateRow(Base):
    """A candidate that an unfinished job's search has tried: the next attempt goes on from there.

    `key` is a digest of what `SearchWatcher` is given; `scores` is what it is to give back.
    """

    __tablename__ = "search_candidates"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    model_name: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    candidate: Mapped[dict[str, Any]]
    scores: Mapped[dict[str, Any]]
    finished_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class MonitoringResultRow(Base):
    """One answered monitoring question with its verdict; asked again, it is read."""

    __tablename__ = "monitoring_results"
    __table_args__ = (UniqueConstraint("fingerprint"), Index(None, "created_at"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    fingerprint: Mapped[str]
    metric: Mapped[str]
    question: Mapped[dict[str, Any]]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    verdict: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    html: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SetStatisticsRow(Base):
    """What was counted of a long set, in the cells that its reference fixes.

    Of its features (`model_version_id` is NULL), or of what a model version predicted for it; of
    the set as a whole (`window_count` is NULL), or of each of so many windows.
    """

    __tablename__ = "set_statistics"
    __table_args__ = (
        UniqueConstraint("fingerprint"),
        CheckConstraint(SET_NAMES, name="set_name"),
        Index(None, "dataset_id", "set_name"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    fingerprint: Mapped[str]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    set_name: Mapped[str]
    content_hash: Mapped[str]
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    window_count: Mapped[int | None]
    row_count: Mapped[int] = mapped_column(BigInteger)
    statistics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DriftCheckRow(Base):
    """One drift check with its verdict: together they are the drift time line."""

    __tablename__ = "drift_checks"
    __table_args__ = (
        CheckConstraint("verdict IN ('drift', 'no_drift', 'too_few_rows')", name="verdict"),
        Index(None, "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    registered_name: Mapped[str | None]
    version: Mapped[int | None]
    reference: Mapped[str]
    row_count: Mapped[int] = mapped_column(BigInteger)
    share_drifted: Mapped[float | None]
    verdict: Mapped[str]
    result: Mapped[dict[str, Any]]
    run_id: Mapped[str | None]
    request_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
