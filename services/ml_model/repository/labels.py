"""Labels, and how right the predictions were that they belong to."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session, scoped_session

from ml_model.repository.label_matching import CLASS_NAMES, IS_RIGHT

# Every label is sent as one element of three parallel arrays: one statement for any number. In the
# order of their keys, so that two requests with the same keys wait and do not lock each other out.
_STORE = text(
    """
    INSERT INTO labels (request_id, row_number, label, value)
    SELECT * FROM unnest(CAST(:request_ids AS text[]), CAST(:rows AS int[]),
                         CAST(:labels AS text[]), CAST(:values AS float8[]))
    ORDER BY 1, 2
    ON CONFLICT (request_id, row_number) DO UPDATE
        SET label = excluded.label, value = excluded.value, created_at = now()
        WHERE (labels.label, labels.value) IS DISTINCT FROM (excluded.label, excluded.value)
    RETURNING xmax = 0 AS is_new
    """
)

_MATCHED = text(
    """
    SELECT count(*) FROM prediction_log AS p
    JOIN unnest(CAST(:request_ids AS text[]), CAST(:rows AS int[])) AS sent(request_id, row_number)
        USING (request_id, row_number)
    WHERE p.slot <> 'shadow' AND p.error IS NULL
    """
)

_FIGURES = """
    count(*) AS predictions,
    count(*) FILTER (WHERE is_labelled) AS labelled,
    avg(CASE WHEN is_right THEN 1.0 ELSE 0.0 END)
        FILTER (WHERE is_labelled AND predicted_class IS NOT NULL) AS accuracy,
    avg(abs(predicted_value - truth)) FILTER (WHERE is_labelled) AS mean_absolute_error,
    sum((predicted_value - truth) ^ 2) FILTER (WHERE is_labelled) AS squared_errors,
    var_pop(truth) FILTER (WHERE is_labelled AND predicted_value IS NOT NULL)
        * count(*) FILTER (WHERE is_labelled AND predicted_value IS NOT NULL) AS squared_deviations
"""

_QUALITY = f"""
    WITH names AS ({CLASS_NAMES}),
    judged AS (
        SELECT p.model_version_id, p.slot = 'shadow' AS shadow, p.predicted_class,
               p.predicted_value, l.value AS truth, {IS_RIGHT} AS is_right,
               (l.request_id IS NOT NULL
                AND (p.predicted_class IS NOT NULL OR l.value IS NOT NULL)) AS is_labelled,
               date_bin(make_interval(secs => :window_s), p.created_at, :end) AS start
        FROM prediction_log AS p
        LEFT JOIN labels AS l USING (request_id, row_number)
        LEFT JOIN names USING (model_version_id, predicted_class)
        WHERE p.created_at >= :since AND p.error IS NULL
          AND (CAST(:version_ids AS bigint[]) IS NULL
               OR p.model_version_id = ANY(CAST(:version_ids AS bigint[])))
    )
    SELECT model_version_id, shadow, start, {_FIGURES}
    FROM judged
    GROUP BY GROUPING SETS ((model_version_id, shadow), (model_version_id, shadow, start))
    ORDER BY model_version_id DESC, shadow, start DESC NULLS FIRST
"""  # noqa: S608 - our own constants

# Only what is labelled: the few labels lead to their predictions by the key.
_ACCURACY = text(
    f"""
    WITH names AS ({CLASS_NAMES})
    SELECT v.registered_name, v.version,
           avg(CASE WHEN {IS_RIGHT} THEN 1.0 ELSE 0.0 END) AS accuracy
    FROM labels AS l
    JOIN prediction_log AS p USING (request_id, row_number)
    JOIN model_versions AS v ON v.id = p.model_version_id
    LEFT JOIN names USING (model_version_id, predicted_class)
    WHERE p.created_at >= now() - make_interval(secs => :window_s)
      AND p.slot <> 'shadow' AND p.predicted_class IS NOT NULL
    GROUP BY v.registered_name, v.version
    """  # noqa: S608 - our own constants
)


@dataclass(frozen=True)
class Label:
    """The truth about a row: as text, and as a number where it is one."""

    request_id: str
    row: int
    text: str
    number: float | None


@dataclass(frozen=True)
class Stored:
    """How many labels were new, and how many replaced another one."""

    new: int
    changed: int


@dataclass(frozen=True)
class Quality:
    """How right the predictions of a version were in a window (start None: in all of them).

    Figures are None where no label can say.
    """

    version_id: int
    shadow: bool
    start: datetime | None
    predictions: int
    labelled: int
    accuracy: float | None
    mean_absolute_error: float | None
    r2: float | None


class SqlLabels:
    """Stores and reads labels. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def store(self, labels: Collection[Label]) -> Stored:
        """Insert labels of different rows; one that says something else replaces the earlier."""
        values = _keys(labels) | {
            "labels": [label.text for label in labels],
            "values": [label.number for label in labels],
        }
        found = [row.is_new for row in self._session.execute(_STORE, values)]
        return Stored(found.count(True), found.count(False))

    def count_matched(self, labels: Collection[Label]) -> int:
        """Return how many of the labels belong to an answered prediction in the log."""
        return int(self._session.execute(_MATCHED, _keys(labels)).scalar_one())

    def quality(
        self, *, since: datetime, end: datetime, window_s: float, version_ids: list[int] | None
    ) -> list[Quality]:
        """Return figures per version, shadow apart: over all since then, and per window.

        Windows of `window_s` seconds end at `end`. The versions come newest first, each with its
        sum before its windows.
        """
        values = {
            "since": since,
            "end": end,
            "window_s": window_s,
            "version_ids": version_ids,
        }
        return [_quality(row) for row in self._session.execute(text(_QUALITY), values)]

    def accuracy_by_version(self, window_s: float) -> Mapping[tuple[str, int], float]:
        """Return by name and number the accuracy of the answers of the last seconds."""
        rows = self._session.execute(_ACCURACY, {"window_s": window_s})
        return {(row.registered_name, row.version): float(row.accuracy) for row in rows}


def _keys(labels: Collection[Label]) -> dict[str, Sequence[Any]]:
    return {
        "request_ids": [label.request_id for label in labels],
        "rows": [label.row for label in labels],
    }


def _quality(row: Any) -> Quality:
    r2 = None
    if row.squared_errors is not None and row.squared_deviations:
        r2 = 1 - row.squared_errors / row.squared_deviations
    return Quality(
        version_id=row.model_version_id,
        shadow=row.shadow,
        start=row.start,
        predictions=row.predictions,
        labelled=row.labelled,
        accuracy=None if row.accuracy is None else float(row.accuracy),
        mean_absolute_error=row.mean_absolute_error,
        r2=r2,
    )
