"""The prediction log for people: its history and its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from ml_model.pacing import Paced
from ml_model.repository.labels import SqlLabels
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.prediction_history import (
    InputNames,
    LoggedPrediction,
    Minute,
    SqlPredictionHistory,
)
from ml_model.repository.versions import SqlVersions
from ml_model.service.labels import ACCURACY_WINDOW_S
from ml_model.version_total import VersionTotal
from servicekit.database import Database

SETTLES_S = 60.0
"""Rows get their time when their transaction begins: by then each is committed or never will be."""


@dataclass(frozen=True)
class HistoryEntry:
    """A logged prediction in the model's own words; None where it says nothing."""

    logged: LoggedPrediction
    inputs: Mapping[str, Any]
    prediction: Any
    prediction_name: str | None
    confidence: float | None
    probabilities: Mapping[str, float] | None
    label: Any


@dataclass(frozen=True)
class VersionUse:
    """A version and its sums over the whole log."""

    registered_name: str
    version: int
    total: VersionTotal


@dataclass(frozen=True)
class PredictionFigures:
    """Sums per version, minutes, classes of the last 24 hours, accuracies by name and number."""

    versions: list[VersionUse]
    minutes: list[Minute]
    classes: Mapping[str, int]
    accuracies: Mapping[tuple[str, int], float]
    retrainings: int


class PredictionHistoryService:
    """Reads the prediction log."""

    def __init__(
        self,
        database: Database,
        history: SqlPredictionHistory,
        labels: SqlLabels,
        versions: SqlVersions,
        ledger: SqlLedger,
    ) -> None:
        self._database = database
        self._history = history
        self._labels = labels
        self._versions = versions
        self._ledger = ledger
        self._settled: _Settled | None = None
        self._of_the_day: Paced[tuple[Mapping[str, int], Mapping[tuple[str, int], float]]] = Paced()

    def page(
        self,
        *,
        limit: int,
        before_id: int | None,
        registered_name: str | None,
        version: int | None,
        since: datetime | None,
        until: datetime | None,
        request_id: str | None,
        shadow: bool,
    ) -> list[HistoryEntry]:
        """Return up to `limit` predicted rows, the newest first, those below `before_id` only."""
        with self._database.transaction():
            logged = self._history.page(
                limit=limit,
                before_id=before_id,
                version_ids=self._versions.find_ids(registered_name, version),
                since=since,
                until=until,
                request_id=request_id,
                shadow=shadow,
            )
            names = self._history.names_of({item.version_id for item in logged})
        return [in_words(item, names.get(item.version_id)) for item in logged]

    def figures(self, minutes: int) -> PredictionFigures:
        """Return the figures of everything that is logged."""
        with self._database.transaction():
            totals = self._totals()
            names = self._ledger.names_of(totals)
            found = self._history.minutes(minutes)
            retrainings = self._history.count_retrainings()
            classes, accuracies = self._of_the_day.get(
                lambda: (
                    self._history.classes(),
                    self._labels.accuracy_by_version(ACCURACY_WINDOW_S),
                )
            )
        return PredictionFigures(
            versions=[
                VersionUse(names[version_id].registered_name, names[version_id].version, total)
                for version_id, total in sorted(totals.items())
                if version_id in names
            ],
            minutes=found,
            classes=classes,
            accuracies=accuracies,
            retrainings=retrainings,
        )

    def _totals(self) -> Mapping[int, VersionTotal]:
        """Return the sums of the whole log by version, counting only what is new since last time.

        What is older than `SETTLES_S` does not change until the oldest rows are deleted.
        """
        oldest_id, now = self._history.extent()
        until = now - timedelta(seconds=SETTLES_S)
        settled = self._settled
        if settled is None or settled.oldest_id != oldest_id or settled.until > until:
            settled = _Settled(oldest_id, until, self._history.totals(None, until))
        else:
            newly = self._history.totals(settled.until, until)
            settled = _Settled(oldest_id, until, _sum(settled.totals, newly))
        self._settled = settled
        return _sum(settled.totals, self._history.totals(until, None))


@dataclass(frozen=True)
class _Settled:
    """Sums of everything logged before `until`."""

    oldest_id: int | None
    until: datetime
    totals: Mapping[int, VersionTotal]


def _sum(
    one: Mapping[int, VersionTotal], other: Mapping[int, VersionTotal]
) -> dict[int, VersionTotal]:
    return {
        version_id: one.get(version_id, VersionTotal()) + other.get(version_id, VersionTotal())
        for version_id in one.keys() | other.keys()
    }


def in_words(logged: LoggedPrediction, names: InputNames | None) -> HistoryEntry:
    """Put a logged row into the words of its version; by number where its form is gone."""
    if names is None:
        columns: list[str] = [str(number) for number in range(len(logged.inputs))]
        classes: dict[str, tuple[Any, str]] = {}
    else:
        columns = list(names.columns)
        classes = {
            str(value): (value, name)
            for value, name in zip(names.classes, names.class_names, strict=True)
        }
    prediction: Any = logged.predicted_value
    prediction_name = None
    if logged.predicted_class is not None:
        prediction, prediction_name = classes.get(
            logged.predicted_class, (logged.predicted_class, logged.predicted_class)
        )
    probabilities = None
    # A NULL stands where a model of an earlier version gave NaN.
    stored = cast(Sequence[float | None], logged.probabilities or ())
    known = [share for share in stored if share is not None]
    if logged.probabilities is not None and len(logged.probabilities) == len(classes):
        words = [name for _, name in classes.values()]
        probabilities = dict(zip(words, logged.probabilities, strict=True))
    label: Any = logged.label
    if logged.predicted_value is not None and logged.label_number is not None:
        label = logged.label_number
    elif logged.label is not None:
        label = classes.get(logged.label, (logged.label, ""))[0]
    return HistoryEntry(
        logged=logged,
        inputs=dict(zip(columns, logged.inputs, strict=False)),
        prediction=prediction,
        prediction_name=prediction_name,
        confidence=max(known, default=None),
        probabilities=probabilities,
        label=label,
    )
