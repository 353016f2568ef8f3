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
    MetaData,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SAMPLES_SCHEMA = "samples"

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

SET_NAMES = "set_name IN ('training', 'testing', 'production')"


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
    """One version of one dataset; the same content is never stored as two versions."""

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
    origin: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SetLoadRow(Base):
    """What is loaded now as the training, testing or production set of a dataset version."""

    __tablename__ = "set_loads"
    __table_args__ = (
        UniqueConstraint("dataset_id", "set_name"),
        CheckConstraint(SET_NAMES, name="set_name"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    set_name: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    scenario: Mapped[str]
    content_hash: Mapped[str]
    row_count: Mapped[int] = mapped_column(BigInteger)
    loaded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ModelVersionRow(Base):
    """A fitted pipeline that is registered in MLflow; what it was fitted on and from which run."""

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
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    training_content_hash: Mapped[str]
    fingerprint: Mapped[str]
    model_uri: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DeploymentRow(Base):
    """One entry of the append-only ledger; the newest entry of a slot is that slot's state."""

    __tablename__ = "deployments"
    __table_args__ = (
        CheckConstraint("slot IN ('current', 'next')", name="slot"),
        Index(None, "slot", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    slot: Mapped[str]
    action: Mapped[str]
    model_name: Mapped[str]
    hyperparameters: Mapped[dict[str, Any]]
    source_run_id: Mapped[str | None]
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    actor: Mapped[str]
    reason: Mapped[str]
    request_id: Mapped[str]
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


class PredictionRow(Base):
    """One prediction per stored sample and model version; scoring again replaces it.

    A classifier fills `predicted_class` (the class as text) and `probabilities` (in the order of
    `datasets.classes`, NULL where the model has none); a regressor fills `predicted_value`.
    """

    __tablename__ = "predictions"
    __table_args__ = (
        CheckConstraint(
            "num_nonnulls(predicted_class, predicted_value) = 1", name="one_prediction"
        ),
        CheckConstraint(SET_NAMES, name="set_name"),
        Index(None, "dataset_id", "set_name"),
    )

    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    sample_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    set_name: Mapped[str]
    predicted_class: Mapped[str | None]
    predicted_value: Mapped[float | None]
    probabilities: Mapped[list[float] | None] = mapped_column(ARRAY(Double))


class SearchRow(Base):
    """One optimization request; a running one holds the advisory lock of its id."""

    __tablename__ = "searches"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'finished', 'failed')", name="state"),
        Index(None, "experiment_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    experiment_id: Mapped[str]
    request: Mapped[dict[str, Any]]
    state: Mapped[str]
    reason: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


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
