"""Figures of the prediction log: per slot, per pair of answers, per roll-out, per minute.

A request is counted at its first row (`row_number` 0); its latency stands at every row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session, scoped_session

from ml_model.ledger_entries import ServingRecord
from ml_model.repository.label_matching import CLASS_NAMES, IS_RIGHT

NEWEST_ROWS = 50_000
"""The window of a slot's figures holds at most so many logged rows, so that they cost little."""

REGRESSION_TOLERANCE = 0.05
"""Two numbers agree that differ by at most this share of the larger one."""

_RECENT = f"""
    recent AS MATERIALIZED (
        SELECT request_id, row_number, slot, model_version_id, predicted_class, predicted_value,
               latency_us, error
        FROM prediction_log
        WHERE id > (SELECT max(id) FROM prediction_log) - {NEWEST_ROWS}
          AND created_at >= now() - make_interval(secs => :window_s)
    )
"""  # noqa: S608 - our own constants

_SLOT_FIGURES = text(
    f"""
    WITH {_RECENT}
    SELECT slot,
           count(*) AS requests,
           count(error) AS errors,
           avg(latency_us) FILTER (WHERE error IS NULL) / 1000.0 AS mean_ms,
           percentile_cont(ARRAY[0.5, 0.95, 0.99])
               WITHIN GROUP (ORDER BY latency_us) FILTER (WHERE error IS NULL) AS percentiles_us
    FROM recent
    WHERE row_number = 0
      AND ((slot = 'current' AND model_version_id = :current_id)
        OR (slot = 'next' AND model_version_id = :next_id))
    GROUP BY slot
    """  # noqa: S608 - our own constants
)

# A shadow that failed where the other version answered does not agree.
_DISAGREES = f"""
    CASE WHEN unseen.error IS NOT NULL THEN true
         WHEN seen.predicted_class IS NOT NULL
             THEN seen.predicted_class IS DISTINCT FROM unseen.predicted_class
         ELSE abs(seen.predicted_value - unseen.predicted_value) > {REGRESSION_TOLERANCE}
              * greatest(abs(seen.predicted_value), abs(unseen.predicted_value))
    END
"""

_AGREEMENT = text(
    f"""
    WITH {_RECENT}
    SELECT count(*) AS compared, count(*) FILTER (WHERE {_DISAGREES}) AS disagreements
    FROM recent AS unseen
    JOIN recent AS seen USING (request_id, row_number)
    WHERE unseen.slot = 'shadow' AND seen.slot IN ('current', 'next') AND seen.error IS NULL
      AND (seen.model_version_id, unseen.model_version_id)
          IN ((:current_id, :next_id), (:next_id, :current_id))
    """  # noqa: S608 - our own constants
)

_ROLLOUT_CURRENT = text(
    """
    SELECT count(*) AS answers,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_us) / 1000.0 AS p95_ms
    FROM prediction_log
    WHERE created_at >= :since AND slot = 'current' AND model_version_id = :current_id
      AND row_number = 0 AND error IS NULL
    """
)

_ROLLOUT_NEXT = text(
    """
    SELECT count(*) AS requests,
           count(error) AS errors,
           count(*) FILTER (WHERE error IS NULL) AS answers,
           count(*) FILTER (WHERE error IS NULL AND latency_us / 1000.0 > :slow_ms) AS slow_answers,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_us)
               FILTER (WHERE error IS NULL) / 1000.0 AS p95_ms
    FROM prediction_log
    WHERE created_at >= :since AND slot = 'next' AND model_version_id = :next_id
      AND row_number = 0
    """
)

_ROLLOUT_PAIRS = text(
    f"""
    SELECT count(*) AS compared, count(*) FILTER (WHERE {_DISAGREES}) AS disagreements
    FROM prediction_log AS unseen
    JOIN prediction_log AS seen USING (request_id, row_number)
    WHERE unseen.created_at >= :since AND seen.created_at >= :since
      AND unseen.slot = 'shadow' AND seen.slot IN ('current', 'next') AND seen.error IS NULL
      AND (seen.model_version_id, unseen.model_version_id)
          IN ((:current_id, :next_id), (:next_id, :current_id))
    """  # noqa: S608 - our own constants
)

_ROLLOUT_LABELS = text(
    f"""
    WITH names AS ({CLASS_NAMES})
    SELECT p.model_version_id,
           count(*) AS labels,
           count(*) FILTER (WHERE {IS_RIGHT}) AS right_ones
    FROM prediction_log AS p
    JOIN labels AS l USING (request_id, row_number)
    LEFT JOIN names USING (model_version_id, predicted_class)
    WHERE p.created_at >= :since AND p.slot <> 'inference'
      AND p.predicted_class IS NOT NULL
      AND p.model_version_id IN (:current_id, :next_id)
    GROUP BY p.model_version_id
    """  # noqa: S608 - our own constants
)


@dataclass(frozen=True)
class SlotFigures:
    """How the version of a slot did: requests, failed ones, latency of the others in ms."""

    requests: int = 0
    errors: int = 0
    mean_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None

    @property
    def error_rate(self) -> float | None:
        """The share of failed requests."""
        return self.errors / self.requests if self.requests else None


@dataclass(frozen=True)
class Agreement:
    """Rows that both versions answered, and those in which they differ."""

    compared: int
    disagreements: int

    @property
    def share(self) -> float | None:
        """The share of compared rows in which both agree."""
        return 1 - self.disagreements / self.compared if self.compared else None


@dataclass(frozen=True)
class NextFigures:
    """Requests of `next`: answered or failed, those above the slow limit, 95th percentile."""

    requests: int
    errors: int
    answers: int
    slow_answers: int
    p95_ms: float | None


@dataclass(frozen=True)
class LabelCount:
    """Labelled predictions of a version, and the right ones."""

    labels: int = 0
    right: int = 0


class SqlServingStatistics:
    """Reads figures. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def slot_figures(self, serving: ServingRecord, window_s: float) -> Mapping[str, SlotFigures]:
        """Return by slot how the version that it holds now did there in the last seconds."""
        found = {"current": SlotFigures(), "next": SlotFigures()}
        for row in self._session.execute(_SLOT_FIGURES, _ids(serving) | {"window_s": window_s}):
            percentiles = [value / 1000 for value in row.percentiles_us or ()] or [None] * 3
            mean_ms = None if row.mean_ms is None else float(row.mean_ms)
            found[row.slot] = SlotFigures(row.requests, row.errors, mean_ms, *percentiles)
        return found

    def agreement(self, serving: ServingRecord, window_s: float) -> Agreement:
        """Compare the answers of the two versions that serve, where a shadow was on."""
        row = self._session.execute(_AGREEMENT, _ids(serving) | {"window_s": window_s}).one()
        return Agreement(row.compared, row.disagreements)

    def current_latency(self, version_id: int, since: datetime) -> tuple[int, float | None]:
        """Return how many requests `current` answered and the 95th percentile in ms."""
        row = self._session.execute(
            _ROLLOUT_CURRENT, {"current_id": version_id, "since": since}
        ).one()
        return row.answers, row.p95_ms

    def next_figures(self, version_id: int, since: datetime, slow_ms: float) -> NextFigures:
        """Return how `next` did; an answer above `slow_ms` is slow."""
        values = {"next_id": version_id, "since": since, "slow_ms": slow_ms}
        row = self._session.execute(_ROLLOUT_NEXT, values).one()
        return NextFigures(row.requests, row.errors, row.answers, row.slow_answers, row.p95_ms)

    def agreement_since(self, serving: ServingRecord, since: datetime) -> Agreement:
        """Compare the answers of the two versions from a time on."""
        row = self._session.execute(_ROLLOUT_PAIRS, _ids(serving) | {"since": since}).one()
        return Agreement(row.compared, row.disagreements)

    def label_counts_since(
        self, serving: ServingRecord, since: datetime
    ) -> Mapping[int, LabelCount]:
        """Return by version the labels of its predictions made from a time on, shadow included."""
        rows = self._session.execute(_ROLLOUT_LABELS, _ids(serving) | {"since": since})
        return {row.model_version_id: LabelCount(row.labels, row.right_ones) for row in rows}


def _ids(serving: ServingRecord) -> dict[str, Any]:
    return {"current_id": serving.current_version_id, "next_id": serving.next_version_id}
