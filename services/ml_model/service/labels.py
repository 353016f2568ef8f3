"""Labels: the truth about predictions, in any order, and what it says of the versions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from ml_model.errors import ContradictoryLabels
from ml_model.ledger_entries import NamedVersion
from ml_model.quality import Quality
from ml_model.repository.labels import Label, SqlLabels, WindowQuality
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.versions import SqlVersions
from servicekit.database import Database
from servicekit.errors import Detail

ACCURACY_WINDOW_S = 86_400
"""How far back the gauge `model_accuracy` looks."""


@dataclass(frozen=True)
class LabelsOutcome:
    """What became of the labels of a request."""

    stored: int
    changed: int
    unchanged: int
    matched: int


@dataclass(frozen=True)
class Window:
    """Figures of the predictions made from `start` on, before `end`."""

    start: datetime
    end: datetime
    quality: Quality


@dataclass(frozen=True)
class VersionQuality:
    """A version, its answers or its shadow's: the sum, and each window that holds a prediction."""

    version: NamedVersion
    shadow: bool
    total: Quality
    windows: Sequence[Window]


class LabelService:
    """Stores labels and judges versions by them."""

    def __init__(
        self, database: Database, labels: SqlLabels, versions: SqlVersions, ledger: SqlLedger
    ) -> None:
        self._database = database
        self._labels = labels
        self._versions = versions
        self._ledger = ledger

    def store(self, given: Sequence[tuple[str, int, Any]]) -> LabelsOutcome:
        """Store labels (request id, row number, label); the same again changes nothing.

        The prediction need not be there yet. Another label for a row replaces the earlier one.

        Raises
        ------
        ContradictoryLabels
            One request gives two labels for a row; nothing is stored.
        """
        labels = distinct(given)
        with self._database.transaction():
            stored = self._labels.store(labels)
            matched = self._labels.count_matched(labels)
        unchanged = len(labels) - stored.new - stored.changed
        return LabelsOutcome(stored.new, stored.changed, unchanged, matched)

    def quality(
        self,
        *,
        now: datetime,
        window_s: int,
        windows: int,
        registered_name: str | None,
        version: int | None,
    ) -> tuple[datetime, list[VersionQuality]]:
        """Return since when, and the figures of every version that has predicted since then.

        There are `windows` windows of `window_s` seconds, the last of them ending `now`. No version
        of that name and number gives none.
        """
        since = now - timedelta(seconds=window_s * windows)
        with self._database.transaction():
            found = self._labels.quality(
                since=since,
                end=now,
                window_s=window_s,
                version_ids=self._versions.find_ids(registered_name, version),
            )
            names = self._ledger.names_of({item.version_id for item in found})
        return since, list(_by_version(found, names, timedelta(seconds=window_s)))

    def accuracy_by_version(self) -> Mapping[tuple[str, int], float]:
        """Return by name and number how right the answers of the last 24 hours were (0 to 1)."""
        with self._database.transaction():
            return self._labels.accuracy_by_version(ACCURACY_WINDOW_S)


def distinct(given: Iterable[tuple[str, int, Any]]) -> list[Label]:
    """Return the labels, one per row; raises `ContradictoryLabels`."""
    labels: dict[tuple[str, int], Label] = {}
    for number, (request_id, row, value) in enumerate(given):
        label = as_label(request_id, row, value)
        if labels.setdefault((request_id, row), label) != label:
            raise ContradictoryLabels(
                f"Row {row} of request {request_id} has two labels.",
                details=[Detail(f"labels.{number}", "is another label for the same row")],
            )
    return list(labels.values())


def as_label(request_id: str, row: int, value: Any) -> Label:
    """Return a JSON label as text, written as Python writes it, and as a number if it is one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Label(request_id, row, str(value), float(value) if is_number else None)


def _by_version(
    found: Sequence[WindowQuality], names: Mapping[int, NamedVersion], length: timedelta
) -> Iterable[VersionQuality]:
    """Add up the windows of each version, which follow each other; one without a record is left
    out.
    """
    for (version_id, shadow), group in groupby(found, lambda item: (item.version_id, item.shadow)):
        if version_id not in names:
            continue
        windows = [Window(item.start, item.start + length, item.quality) for item in group]
        total = sum((window.quality for window in windows), Quality())
        yield VersionQuality(names[version_id], shadow, total, windows)
