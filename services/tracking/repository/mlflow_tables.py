"""Experiments and runs, read from the MLflow server's own tables.

Every question is a constant number of queries whatever the number of runs; MLflow's API would ask
once per page and per run. Reading only: whatever changes something goes through MLflow's API
(`mlflow_store`). Deleted runs do not exist here, NaN metrics neither.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Double,
    Engine,
    FromClause,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    and_,
    create_engine,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from servicekit.database import is_outage
from tracking.domain import (
    CANDIDATE_TAG,
    DATASET_NAME_TAG,
    DATASET_VERSION_TAG,
    FINISHED,
    KIND_TAG,
    MODEL_TAG,
    OPEN_STATES,
    PARENT_TAG,
    SEARCH_TAG,
    CandidateRun,
    Experiment,
    NamedDataset,
    Run,
    RunMetrics,
)
from tracking.errors import MlflowUnavailable
from tracking.settings import Settings

ACTIVE = "active"
DEFAULT_EXPERIMENT_ID = 0
LARGEST_ID = 2**31 - 1
UNDEFINED_TABLE = "42P01"

_metadata = MetaData()
experiments = Table(
    "experiments",
    _metadata,
    Column("experiment_id", Integer, primary_key=True),
    Column("name", String),
    Column("artifact_location", String),
    Column("lifecycle_stage", String),
    Column("creation_time", BigInteger),
    Column("last_update_time", BigInteger),
)
experiment_tags = Table(
    "experiment_tags",
    _metadata,
    Column("key", String, primary_key=True),
    Column("value", String),
    Column("experiment_id", Integer, primary_key=True),
)
runs = Table(
    "runs",
    _metadata,
    Column("run_uuid", String, primary_key=True),
    Column("name", String),
    Column("status", String),
    Column("start_time", BigInteger),
    Column("end_time", BigInteger),
    Column("lifecycle_stage", String),
    Column("experiment_id", Integer),
)
tags = Table(
    "tags",
    _metadata,
    Column("key", String, primary_key=True),
    Column("value", String),
    Column("run_uuid", String, primary_key=True),
)
params = Table(
    "params",
    _metadata,
    Column("key", String, primary_key=True),
    Column("value", String),
    Column("run_uuid", String, primary_key=True),
)
latest_metrics = Table(
    "latest_metrics",
    _metadata,
    Column("key", String, primary_key=True),
    Column("value", Double),
    Column("is_nan", Boolean),
    Column("run_uuid", String, primary_key=True),
)


def parse_experiment_id(text: str) -> int | None:
    """Return the number MLflow uses, None for a text that no experiment can have as its id."""
    if not text.isascii() or not text.isdigit() or len(text) > 10 or text != str(int(text)):
        return None
    number = int(text)
    return number if number <= LARGEST_ID else None


class MlflowTables:
    """MLflow's tables, on an engine of their own."""

    def __init__(self, settings: Settings) -> None:
        self._engine: Engine = create_engine(
            settings.database_url(settings.mlflow_database_name),
            pool_pre_ping=True,
            pool_size=settings.database_pool_size,
            max_overflow=settings.database_pool_size,
            pool_timeout=10,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "connect_timeout": max(1, round(settings.connect_timeout_s)),
                "application_name": "cellar-tracking-mlflow",
                "keepalives_idle": 30,
            },
        )

    def forget_connections(self) -> None:
        """Let go of connections inherited by a fork, without closing them."""
        self._engine.dispose(close=False)

    def check(self) -> None:
        """Raise `MlflowUnavailable` unless MLflow's tables can be read."""
        with self._connect() as connection:
            connection.execute(select(experiments.c.experiment_id).limit(1))

    def list_experiments(self) -> list[tuple[Experiment, int, NamedDataset | None]]:
        """Return active experiments, the oldest first, with run count and newest search's dataset.

        The one MLflow makes by itself ("Default") is left out while it holds no runs.
        """
        count = func.count(runs.c.run_uuid)
        newest = _newest_datasets().subquery()
        query = (
            select(experiments, count, newest.c.name, newest.c.version)
            .select_from(experiments)
            .outerjoin(newest, newest.c.experiment_id == experiments.c.experiment_id)
            .outerjoin(
                runs,
                and_(
                    runs.c.experiment_id == experiments.c.experiment_id,
                    runs.c.lifecycle_stage == ACTIVE,
                    _is_no_candidate(),
                ),
            )
            .where(experiments.c.lifecycle_stage == ACTIVE)
            .group_by(experiments.c.experiment_id, newest.c.name, newest.c.version)
            .having(or_(experiments.c.experiment_id != DEFAULT_EXPERIMENT_ID, count > 0))
            .order_by(experiments.c.experiment_id)
        )
        with self._connect() as connection:
            return [
                (Experiment(*row[:6]), row[6], _named_dataset(*row[7:]))
                for row in connection.execute(query)
            ]

    def find_experiment(self, experiment_id: str) -> Experiment | None:
        """Return an active experiment, or None."""
        number = parse_experiment_id(experiment_id)
        if number is None:
            return None
        query = select(experiments).where(
            experiments.c.experiment_id == number, experiments.c.lifecycle_stage == ACTIVE
        )
        with self._connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else Experiment(*row)

    def read_experiment_tags(self, experiment: Experiment) -> dict[str, str]:
        """Return an experiment's tags without MLflow's own."""
        query = select(experiment_tags.c.key, experiment_tags.c.value).where(
            experiment_tags.c.experiment_id == experiment.id,
            experiment_tags.c.key.not_like("mlflow.%"),
        )
        with self._connect() as connection:
            return {row.key: row.value for row in connection.execute(query)}

    def list_runs(self, experiment: Experiment) -> list[Run]:
        """Return an experiment's runs, the newest first."""
        query = _runs_query().where(runs.c.experiment_id == experiment.id, _is_no_candidate())
        with self._connect() as connection:
            return [_run(row) for row in connection.execute(query)]

    def list_open_runs(self, search_id: int) -> list[Run]:
        """Return the runs of a search that have not ended."""
        query = _runs_query().where(
            runs.c.status.in_(["RUNNING", "SCHEDULED"]),
            runs.c.run_uuid.in_(_tagged(SEARCH_TAG, str(search_id))),
        )
        with self._connect() as connection:
            return [_run(row) for row in connection.execute(query)]

    def list_search_runs(self, search_id: int) -> list[Run]:
        """Return the runs of a search, one for each model, the newest first."""
        query = _runs_query().where(
            runs.c.run_uuid.in_(_tagged(SEARCH_TAG, str(search_id))), _is_no_candidate()
        )
        with self._connect() as connection:
            return [_run(row) for row in connection.execute(query)]

    def list_candidate_runs(self, parent_run_id: str) -> list[CandidateRun]:
        """Return the runs of the candidates of a model's run."""
        query = (
            select(runs.c.run_uuid, tags.c.value, runs.c.status.in_(OPEN_STATES))
            .join(tags, and_(tags.c.run_uuid == runs.c.run_uuid, tags.c.key == CANDIDATE_TAG))
            .where(
                runs.c.lifecycle_stage == ACTIVE,
                runs.c.run_uuid.in_(_tagged(PARENT_TAG, parent_run_id)),
            )
        )
        with self._connect() as connection:
            return [CandidateRun(*row) for row in connection.execute(query)]

    def find_run(self, run_id: str) -> Run | None:
        """Return a run that is not deleted, nor its experiment, or None."""
        query = (
            _runs_query()
            .join(experiments, experiments.c.experiment_id == runs.c.experiment_id)
            .where(runs.c.run_uuid == run_id, experiments.c.lifecycle_stage == ACTIVE)
        )
        with self._connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else _run(row)

    def read_tags(self, run: Run) -> dict[str, str]:
        """Return all tags of a run."""
        with self._connect() as connection:
            query = select(tags.c.key, tags.c.value).where(tags.c.run_uuid == run.id)
            return {row.key: row.value for row in connection.execute(query)}

    def read_params(self, run: Run, prefix: str) -> dict[str, str]:
        """Return the params with that prefix, without it, by name."""
        query = (
            select(params.c.key, params.c.value)
            .where(params.c.run_uuid == run.id, _starts_with(params.c.key, prefix))
            .order_by(params.c.key)
        )
        with self._connect() as connection:
            return {key[len(prefix) :]: value for key, value in connection.execute(query)}

    def read_metrics(self, run: Run, prefix: str) -> dict[str, float]:
        """Return the metrics with that prefix, without it, by name; NaN is left out."""
        query = (
            select(latest_metrics.c.key, latest_metrics.c.value)
            .where(
                latest_metrics.c.run_uuid == run.id,
                _starts_with(latest_metrics.c.key, prefix),
                ~latest_metrics.c.is_nan,
            )
            .order_by(latest_metrics.c.key)
        )
        with self._connect() as connection:
            return {key[len(prefix) :]: value for key, value in connection.execute(query)}

    def list_finished_runs(
        self, experiment: Experiment, metrics: Sequence[str]
    ) -> list[RunMetrics]:
        """Return an experiment's finished runs with those of `metrics` that they have."""
        values = [
            func.max(latest_metrics.c.value).filter(latest_metrics.c.key == metric)
            for metric in metrics
        ]
        wide = (
            select(latest_metrics.c.run_uuid, *(v.label(f"m{i}") for i, v in enumerate(values)))
            .join(runs, runs.c.run_uuid == latest_metrics.c.run_uuid)
            .where(
                runs.c.experiment_id == experiment.id,
                latest_metrics.c.key.in_(metrics),
                ~latest_metrics.c.is_nan,
            )
            .group_by(latest_metrics.c.run_uuid)
            .subquery()
        )
        model, name, version = (tags.alias(alias) for alias in ("model", "dataset", "version"))
        query = (
            select(
                runs.c.run_uuid,
                runs.c.name,
                model.c.value,
                runs.c.start_time,
                runs.c.end_time,
                name.c.value,
                version.c.value,
                *(wide.c[f"m{i}"] for i in range(len(metrics))),
            )
            .outerjoin(wide, wide.c.run_uuid == runs.c.run_uuid)
            .outerjoin(model, _is_tag(model, MODEL_TAG))
            .outerjoin(name, _is_tag(name, DATASET_NAME_TAG))
            .outerjoin(version, _is_tag(version, DATASET_VERSION_TAG))
            .where(
                runs.c.experiment_id == experiment.id,
                runs.c.lifecycle_stage == ACTIVE,
                runs.c.status == FINISHED,
                _is_no_candidate(),
            )
        )
        with self._connect() as connection:
            return [
                RunMetrics(
                    id=row[0],
                    name=row[1] or "",
                    model=row[2],
                    started_ms=row[3] or 0,
                    duration_s=_seconds(row[3], row[4]),
                    metrics={
                        metric: value
                        for metric, value in zip(metrics, row[7:], strict=True)
                        if value is not None
                    },
                    dataset=_named_dataset(row[5], row[6]),
                )
                for row in connection.execute(query)
            ]

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        """Hand out a connection; a server that is away or not set up is `MlflowUnavailable`."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except PoolTimeout as error:
            raise MlflowUnavailable() from error
        except DBAPIError as error:
            if is_outage(error) or getattr(error.orig, "pgcode", None) == UNDEFINED_TABLE:
                raise MlflowUnavailable() from error
            raise


def _runs_query() -> Select[Any]:
    wanted = (MODEL_TAG, KIND_TAG, SEARCH_TAG, DATASET_NAME_TAG, DATASET_VERSION_TAG)
    found = [tags.alias(f"tag_{number}") for number in range(len(wanted))]
    query = (
        select(
            runs.c.run_uuid,
            runs.c.experiment_id,
            func.coalesce(runs.c.name, ""),
            runs.c.status,
            runs.c.start_time,
            runs.c.end_time,
            *(tag.c.value for tag in found),
        )
        .select_from(runs)
        .where(runs.c.lifecycle_stage == ACTIVE)
        .order_by(runs.c.start_time.desc(), runs.c.run_uuid)
    )
    for tag, key in zip(found, wanted, strict=True):
        query = query.outerjoin(tag, _is_tag(tag, key))
    return query


def _run(row: Sequence[Any]) -> Run:
    *values, name, version = row
    return Run(*[*values, _named_dataset(name, version)])


def _newest_datasets() -> Select[Any]:
    """Return what the newest run that names a dataset names, by experiment, in one pass."""
    name, version = tags.alias("name"), tags.alias("version")
    return (
        select(runs.c.experiment_id, name.c.value.label("name"), version.c.value.label("version"))
        .join(name, _is_tag(name, DATASET_NAME_TAG))
        .join(version, _is_tag(version, DATASET_VERSION_TAG))
        # A tag can be changed by hand.
        .where(runs.c.lifecycle_stage == ACTIVE, version.c.value.regexp_match("^[0-9]+$"))
        .ext(distinct_on(runs.c.experiment_id))
        .order_by(runs.c.experiment_id, runs.c.start_time.desc(), runs.c.run_uuid)
    )


def _named_dataset(name: str | None, version: str | None) -> NamedDataset | None:
    """Return what two tags name; None where one is missing or was changed by hand to no number."""
    if not name or version is None or not (version.isascii() and version.isdigit()):
        return None
    return NamedDataset(name, int(version))


def _is_tag(tag: FromClause, key: str) -> ColumnElement[bool]:
    return and_(tag.c.run_uuid == runs.c.run_uuid, tag.c.key == key)


def _tagged(key: str, value: str) -> Select[Any]:
    return select(tags.c.run_uuid).where(tags.c.key == key, tags.c.value == value)


def _is_no_candidate() -> ColumnElement[bool]:
    """Leave out the runs below a search's runs: one for each of its candidates."""
    candidate = tags.alias("candidate")
    below = exists().where(
        candidate.c.run_uuid == runs.c.run_uuid, candidate.c.key == CANDIDATE_TAG
    )
    return ~below.correlate(runs)


def _starts_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    return column.startswith(prefix, autoescape=True)


def _seconds(started_ms: int | None, ended_ms: int | None) -> float | None:
    if started_ms is None or ended_ms is None:
        return None
    return (ended_ms - started_ms) / 1000
