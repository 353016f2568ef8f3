"""Labels, and how right the predictions were that they belong to."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session, scoped_session

from ml_model.quality import Quality
from ml_model.repository.label_matching import CLASS_NAMES, IS_RIGHT
from schema.number_limits import LARGEST_SQUARED

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

_WINDOW = "date_bin(make_interval(secs => :window_s), p.created_at, :end)"

_OF_VERSIONS = """
    p.created_at >= :since AND p.error IS NULL
    AND (CAST(:version_ids AS bigint[]) IS NULL
         OR p.model_version_id = ANY(CAST(:version_ids AS bigint[])))
"""

_PREDICTIONS = text(
    f"""
    SELECT model_version_id, slot = 'shadow' AS shadow, {_WINDOW} AS start, count(*) AS predictions
    FROM prediction_log AS p
    WHERE {_OF_VERSIONS}
    GROUP BY 1, 2, 3
    """  # noqa: S608 - our own constants
)


def _judged(number: str) -> str:
    """Return SQL for a number, or the limit where it is beyond."""
    # NULL stays NULL, which the two functions pass over.
    return (
        f"CASE WHEN {number} IS NOT NULL THEN"
        f" least(greatest({number}, -{LARGEST_SQUARED}), {LARGEST_SQUARED}) END"
    )


# Sums that can be added up over windows. The labels are few: only they are judged.
_JUDGED = text(
    f"""
    WITH names AS ({CLASS_NAMES}),
    judged AS (
        SELECT p.model_version_id, p.slot = 'shadow' AS shadow, {_WINDOW} AS start,
               p.predicted_class IS NOT NULL AS is_class, {IS_RIGHT} AS is_right,
               {_judged("p.predicted_value")} AS predicted_value, {_judged("l.value")} AS truth
        FROM labels AS l
        JOIN prediction_log AS p USING (request_id, row_number)
        LEFT JOIN names USING (model_version_id, predicted_class)
        WHERE {_OF_VERSIONS} AND (p.predicted_class IS NOT NULL OR l.value IS NOT NULL)
    )
    SELECT model_version_id, shadow, start,
           count(*) FILTER (WHERE is_class) AS classes,
           count(*) FILTER (WHERE is_class AND is_right) AS right_ones,
           count(*) FILTER (WHERE NOT is_class) AS numbers,
           coalesce(sum(abs(predicted_value - truth)), 0) AS errors,
           coalesce(sum((predicted_value - truth) ^ 2), 0) AS squared_errors,
           coalesce(avg(truth) FILTER (WHERE NOT is_class), 0) AS mean_truth,
           coalesce(var_pop(truth) FILTER (WHERE NOT is_class), 0) AS variance
    FROM judged GROUP BY 1, 2, 3
    """  # noqa: S608 - our own constants
)

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
      AND p.slot <> 'shadow' AND p.error IS NULL AND p.predicted_class IS NOT NULL
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
class WindowQuality:
    """The predictions of a version, its answers or its shadow's, in the window from `start` on."""

    version_id: int
    shadow: bool
    start: datetime
    quality: Quality


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
    ) -> list[WindowQuality]:
        """Return the windows of `window_s` seconds up to `end` that hold a prediction.

        The versions come newest first, each with its newest window first.
        """
        values = {"since": since, "end": end, "window_s": window_s, "version_ids": version_ids}
        judged = {
            (row.model_version_id, row.shadow, row.start): row
            for row in self._session.execute(_JUDGED, values)
        }
        found = []
        for row in self._session.execute(_PREDICTIONS, values):
            window = (row.model_version_id, row.shadow, row.start)
            quality = Quality(row.predictions)
            if window in judged:
                _, _, _, *sums = judged[window]
                quality = Quality(row.predictions, *sums)
            found.append(WindowQuality(*window, quality))
        # Stable: first by time, then by version.
        found.sort(key=lambda item: item.start, reverse=True)
        return sorted(found, key=lambda item: (-item.version_id, item.shadow))

    def accuracy_by_version(self, window_s: float) -> Mapping[tuple[str, int], float]:
        """Return by name and number the accuracy of the answers of the last seconds."""
        rows = self._session.execute(_ACCURACY, {"window_s": window_s})
        return {(row.registered_name, row.version): float(row.accuracy) for row in rows}


def _keys(labels: Collection[Label]) -> dict[str, Sequence[Any]]:
    return {
        "request_ids": [label.request_id for label in labels],
        "rows": [label.row for label in labels],
    }
