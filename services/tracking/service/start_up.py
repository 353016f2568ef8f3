"""What a worker does in the background once it serves."""

import logging
import threading
import time

from servicekit.errors import DomainError
from tracking.repository.mlflow_store import MlflowStore
from tracking.service.sweep import Sweep

log = logging.getLogger(__name__)

PAUSE_S = 2.0
PATIENCE_S = 600.0


class StartUp:
    """Warms MLflow up and ends the searches of a process that is gone."""

    def __init__(self, store: MlflowStore, sweep: Sweep) -> None:
        self._store = store
        self._sweep = sweep

    def begin(self) -> None:
        """Start in a thread of its own; requests are answered meanwhile."""
        threading.Thread(target=self.run, name="start-up", daemon=True).start()

    def run(self) -> None:
        """Try until MLflow and Postgres answer; lists sweep again, so giving up loses nothing."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                self._store.check()
                self._store.warm_up()
                self._sweep.end_orphans()
            except DomainError as error:
                log.debug("Start-up waits: %s", error)
                time.sleep(PAUSE_S)
            else:
                log.info("MLflow is warm, interrupted searches are ended")
                return
        log.warning("MLflow did not answer at start-up; the first search will be slower")
