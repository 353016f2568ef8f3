"""Searches whose process is gone: their runs are marked FAILED, never left RUNNING."""

import logging
from collections.abc import Callable, Iterable

from servicekit.errors import DomainError
from tracking.domain import Run
from tracking.repository.mlflow_store import MlflowStore
from tracking.repository.mlflow_tables import MlflowTables
from tracking.repository.searches import Searches

log = logging.getLogger(__name__)

REASON = "The search was interrupted: the process that ran it ended before it was done."


class Sweep:
    """Ends what a killed search left open."""

    def __init__(self, searches: Searches, tables: MlflowTables, store: MlflowStore) -> None:
        self._searches = searches
        self._tables = tables
        self._store = store

    def end_orphans(self) -> int:
        """Mark the open runs of dead searches FAILED with the reason; return how many."""
        ended = 0
        with self._searches.orphans() as orphans:
            for orphan in orphans:
                for run in self._tables.list_open_runs(orphan.id):
                    self._store.fail_run(run.id, REASON)
                    ended += 1
                self._searches.close(orphan, REASON)
                log.warning("Search %d was interrupted; its runs are FAILED now", orphan.id)
        return ended

    def refresh(self, runs: list[Run], read_again: Callable[[], list[Run]]) -> list[Run]:
        """Return `runs`, read again if some of them were orphans.

        A list is answered also when MLflow or the searches cannot be reached.
        """
        if not has_open_searches(runs):
            return runs
        try:
            return read_again() if self.end_orphans() else runs
        except DomainError as error:
            log.warning("Open runs could not be checked: %s", error)
            return runs


def has_open_searches(runs: Iterable[Run]) -> bool:
    """Tell whether some run is open and belongs to a search."""
    return any(run.is_open and run.search_id is not None for run in runs)
