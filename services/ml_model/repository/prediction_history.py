"""The prediction log as history: pages of it, its sums, and what is too old."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, scoped_session

from ml_model.version_total import VersionTotal
from schema.tables import JobRow, LabelRow, ModelVersionRow, PredictionLogRow, ServingModelRow

# A request that `next` failed and `current` then answered is one request, and well answered.
_NOT_RESCUED = """
    failed.row_number = 0 AND failed.slot <> 'shadow' AND failed.error IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM prediction_log AS rescue
        WHERE rescue.request_id = failed.request_id AND rescue.row_number = 0
          AND rescue.slot <> 'shadow' AND rescue.error IS NULL)
"""

_IN_TIME = """
    (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR created_at < :until)
"""

_TOTALS = text(
    f"""
    WITH sums AS (
        SELECT model_version_id,
               count(*) FILTER (WHERE slot <> 'shadow' AND row_number = 0) AS requests,
               count(*) FILTER (WHERE slot <> 'shadow' AND error IS NULL) AS predictions,
               count(error) FILTER (WHERE slot <> 'shadow' AND row_number = 0) AS errors,
               count(*) FILTER (WHERE slot = 'shadow' AND error IS NULL) AS shadow_predictions,
               coalesce(sum(latency_us) FILTER (WHERE slot <> 'shadow' AND row_number = 0
                                                AND error IS NULL), 0) / 1000.0 AS latency_ms
        FROM prediction_log
        WHERE {_IN_TIME}
        GROUP BY model_version_id
    ), failures AS (
        SELECT model_version_id, count(*) AS failures
        FROM prediction_log AS failed
        WHERE {_IN_TIME} AND {_NOT_RESCUED}
        GROUP BY model_version_id
    )
    SELECT sums.*, coalesce(failures.failures, 0) AS failures
    FROM sums LEFT JOIN failures USING (model_version_id)
    """  # noqa: S608 - our own constants
)

_MINUTES = text(
    f"""
    WITH outcomes AS (
        SELECT created_at, latency_us, error FROM prediction_log
        WHERE created_at >= date_trunc('minute', now()) - make_interval(mins => :minutes - 1)
          AND slot <> 'shadow' AND row_number = 0 AND error IS NULL
        UNION ALL
        SELECT created_at, latency_us, error FROM prediction_log AS failed
        WHERE created_at >= date_trunc('minute', now()) - make_interval(mins => :minutes - 1)
          AND {_NOT_RESCUED}
    )
    SELECT date_trunc('minute', created_at) AS minute,
           count(*) AS requests,
           count(error) AS errors,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY latency_us)
               FILTER (WHERE error IS NULL) AS percentiles_us
    FROM outcomes
    GROUP BY 1 ORDER BY 1
    """  # noqa: S608 - our own constants
)

_CLASSES = text(
    """
    SELECT predicted_class, count(*) AS predictions
    FROM prediction_log
    WHERE created_at >= now() - interval '24 hours' AND slot <> 'shadow'
      AND predicted_class IS NOT NULL
    GROUP BY predicted_class ORDER BY predicted_class
    """
)

# The oldest rows have the smallest ids: the walk along the key ends at the first that stays.
_DELETE = text(
    """
    DELETE FROM prediction_log WHERE id IN (
        SELECT id FROM (
            SELECT id, created_at FROM prediction_log ORDER BY id LIMIT :chunk
        ) AS oldest
        WHERE created_at < now() - make_interval(days => :days)
    )
    """
)

_DELETE_LABELS = text(
    """
    DELETE FROM labels WHERE ctid IN (
        SELECT l.ctid FROM labels AS l
        WHERE l.created_at < now() - make_interval(days => :days)
          AND NOT EXISTS (SELECT FROM prediction_log AS p
                          WHERE p.request_id = l.request_id AND p.row_number = l.row_number
                            AND p.slot <> 'shadow' AND p.error IS NULL)
        LIMIT :chunk
    )
    """
)


@dataclass(frozen=True)
class LoggedPrediction:
    """One row of the log with its version's names and its label.

    `columns` names `inputs`; `classes` and `class_names` name `probabilities`; each is None where
    the version's form is gone.
    """

    id: int
    request_id: str
    row: int
    slot: str
    inputs: Sequence[Any]
    predicted_class: str | None
    predicted_value: float | None
    probabilities: Sequence[float] | None
    latency_us: int
    error: str | None
    created_at: datetime
    version_id: int
    registered_name: str
    version: int
    label: str | None
    label_number: float | None


@dataclass(frozen=True)
class InputNames:
    """What names the inputs and classes of a version."""

    columns: Sequence[str]
    classes: Sequence[Any]
    class_names: Sequence[str]


@dataclass(frozen=True)
class Minute:
    """The requests of one minute; percentiles in ms, None without an answer."""

    minute: datetime
    requests: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None


class SqlPredictionHistory:
    """Reads the log and deletes what is too old. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def page(
        self,
        *,
        limit: int,
        before_id: int | None,
        version_ids: list[int] | None,
        since: datetime | None,
        until: datetime | None,
        request_id: str | None,
        shadow: bool,
    ) -> list[LoggedPrediction]:
        """Return up to `limit` rows, the newest first; None and False filter nothing in."""
        log = PredictionLogRow
        query = (
            select(
                log.id,
                log.request_id,
                log.row_number,
                log.slot,
                log.inputs,
                log.predicted_class,
                log.predicted_value,
                log.probabilities,
                log.latency_us,
                log.error,
                log.created_at,
                log.model_version_id,
                ModelVersionRow.registered_name,
                ModelVersionRow.version,
                LabelRow.label,
                LabelRow.value,
            )
            .join(ModelVersionRow, ModelVersionRow.id == log.model_version_id)
            .outerjoin(
                LabelRow,
                (LabelRow.request_id == log.request_id) & (LabelRow.row_number == log.row_number),
            )
            .order_by(log.id.desc())
            .limit(limit)
        )
        if not shadow:
            query = query.where(log.slot != "shadow")
        if before_id is not None:
            query = query.where(log.id < before_id)
        if version_ids is not None:
            query = query.where(log.model_version_id.in_(version_ids))
        if since is not None:
            query = query.where(log.created_at >= since)
        if until is not None:
            query = query.where(log.created_at < until)
        if request_id is not None:
            query = query.where(log.request_id == request_id)
        return [LoggedPrediction(*row) for row in self._session.execute(query)]

    def names_of(self, version_ids: set[int]) -> dict[int, InputNames]:
        """Return the names by version, for those that are prepared for serving."""
        form = ServingModelRow
        rows = self._session.execute(
            select(form.model_version_id, form.input_schema, form.classes, form.class_names).where(
                form.model_version_id.in_(version_ids)
            )
        )
        return {
            row.model_version_id: InputNames(
                [column["name"] for column in row.input_schema], row.classes, row.class_names
            )
            for row in rows
        }

    def totals(self, since: datetime | None, until: datetime | None) -> dict[int, VersionTotal]:
        """Return sums by version of what was logged from `since` on, before `until`."""
        return {
            row.model_version_id: VersionTotal(
                row.requests,
                row.failures,
                row.predictions,
                row.errors,
                row.shadow_predictions,
                float(row.latency_ms),
            )
            for row in self._session.execute(_TOTALS, {"since": since, "until": until})
        }

    def extent(self) -> tuple[int | None, datetime]:
        """Return the smallest id in the log (None of an empty one) and the database's time."""
        row = self._session.execute(select(func.min(PredictionLogRow.id), func.now())).one()
        return row[0], row[1]

    def minutes(self, minutes: int) -> list[Minute]:
        """Return the last minutes that saw a request, the oldest first."""
        found = []
        for row in self._session.execute(_MINUTES, {"minutes": minutes}):
            percentiles = [value / 1000 for value in row.percentiles_us or ()] or [None, None]
            found.append(Minute(row.minute, row.requests, row.errors, *percentiles))
        return found

    def classes(self) -> dict[str, int]:
        """Return how often each class was predicted in the last 24 hours."""
        return {row.predicted_class: row.predictions for row in self._session.execute(_CLASSES)}

    def count_retrainings(self) -> int:
        """Return how many retrainings were ever begun."""
        query = select(func.count()).select_from(JobRow).where(JobRow.kind == "retrain")
        return int(self._session.execute(query).scalar_one())

    def delete_oldest(self, *, days: int, chunk: int) -> int:
        """Delete up to `chunk` predictions older than `days` days; return how many went."""
        return self._delete(_DELETE, days, chunk)

    def delete_old_labels(self, *, days: int, chunk: int) -> int:
        """Delete up to `chunk` labels that old whose prediction is gone or never came."""
        return self._delete(_DELETE_LABELS, days, chunk)

    def _delete(self, statement: Any, days: int, chunk: int) -> int:
        result: Any = self._session.execute(statement, {"days": days, "chunk": chunk})
        return int(result.rowcount)
