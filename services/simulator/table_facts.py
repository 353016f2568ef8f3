"""What is learnt of a table's rows while they pass by on their way into the database."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from contracts.vocabulary import Task
from simulator.content_hash import ContentHash, row_hashes

TASKS: tuple[Task, ...] = ("classification", "regression")


class TableFacts:
    """Rows, labels and content of one table; complete when all of its chunks were seen."""

    def __init__(self, target: str, most_labels: int, hashes: Mapping[Task, ContentHash]) -> None:
        """Labels are collected until there are more than `most_labels`.

        `hashes` are one per task: a hash begins with it, and it follows from the labels.
        """
        self._target = target
        self._most_labels = most_labels
        self._labels: set[Any] = set()
        self._hashes = hashes
        self.row_count = 0
        self.target_missing = False

    def seen(self, chunks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Yield the chunks, and take in each."""
        for chunk in chunks:
            hashes = row_hashes(chunk)
            for content_hash in self._hashes.values():
                content_hash.add_hashes(hashes)
            target = chunk[self._target]
            present = target.dropna()
            if len(self._labels) <= self._most_labels:
                self._labels.update(present.unique().tolist())
            self.target_missing = self.target_missing or len(present) < len(target)
            self.row_count += len(chunk)
            yield chunk

    def labels(self) -> list[Any]:
        """Return the different values of the target in order; too many of them are not all."""
        return sorted(self._labels)

    def content_hash(self, task: str) -> str:
        """Return the hash of columns, target, task and rows; whatever file they came in."""
        return next(found.hexdigest() for name, found in self._hashes.items() if name == task)
