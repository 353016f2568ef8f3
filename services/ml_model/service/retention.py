"""How long the prediction log is kept."""

import time

from ml_model.repository.prediction_history import SqlPredictionHistory
from servicekit.database import Database

CHUNK_ROWS = 10_000
"""Rows that one transaction deletes: none of them lasts long."""

EVERY_S = 600.0
"""A day more or less is asked for, so once in a while is often enough."""


class Retention:
    """Deletes predictions that are too old, and the labels that are left without one."""

    def __init__(self, database: Database, history: SqlPredictionHistory) -> None:
        self._database = database
        self._history = history
        self._due_s = 0.0

    def tick(self, days: int) -> None:
        """Do `delete_older` if it is due; called every second by the housekeeping."""
        if time.monotonic() >= self._due_s:
            self.delete_older(days)
            self._due_s = time.monotonic() + EVERY_S

    def delete_older(self, days: int, *, chunk: int = CHUNK_ROWS) -> int:
        """Delete predictions older than `days` days, and labels as old that belong to none.

        Each `chunk` of rows goes in a transaction of its own. Returns how many predictions went;
        0 days keep everything.
        """
        if days == 0:
            return 0
        gone = 0
        while True:
            with self._database.transaction():
                deleted = self._history.delete_oldest(days=days, chunk=chunk)
            gone += deleted
            if deleted < chunk:
                break
        while True:
            with self._database.transaction():
                deleted = self._history.delete_old_labels(days=days, chunk=chunk)
            if deleted < chunk:
                return gone
