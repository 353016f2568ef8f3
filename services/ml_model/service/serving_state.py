"""What serves, as this process sees it: follows the ledger, and swaps at once.

A worker looks at the ledger five times a second, in a thread of its own. Within one host a worker
that has seen a change tells the others by a number in shared memory; whoever finds that it is
behind looks before it answers, so that a change is seen by every request that follows it.
"""

import logging
import mmap
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ml_model.domain import ModelVersion
from ml_model.errors import VersionNotServable
from ml_model.ledger_entries import NamedVersion
from ml_model.repository.ledger import SqlLedger
from modelkit.servable import ServableModel
from servicekit.database import Database
from servicekit.errors import DomainError, Unavailable

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
LOOK_AFTER_FAILURE_S = 0.5


class Models(Protocol):
    """Where servable models come from; see `ml_model.service.serving_models`."""

    def load(self, model_version_id: int) -> ServableModel:
        """Return the loaded model."""

    def prepare(self, model_uri: str) -> ModelVersion:
        """Make a version servable."""


@dataclass(frozen=True)
class LoadedVersion:
    """A version that can predict here and now. `hot`: in microseconds, without scikit-learn."""

    id: int
    registered_name: str
    version: int
    model_uri: str
    model: ServableModel
    hot: bool


@dataclass(frozen=True)
class ServingSnapshot:
    """What serves since an entry of the ledger (0: before the first)."""

    deployment_id: int = 0
    current: LoadedVersion | None = None
    next: LoadedVersion | None = None
    canary_probability: float = 1.0
    shadow: bool = False


class ServingState:
    """The newest serving state with its models loaded. Make it before the workers are forked."""

    def __init__(self, database: Database, ledger: SqlLedger, models: Models) -> None:
        self._database = database
        self._ledger = ledger
        self._models = models
        self.snapshot = ServingSnapshot()
        self._looked = False
        self._lock = threading.Lock()
        # Anonymous shared memory: the forked workers share it, and it is gone with them.
        self._newest = memoryview(mmap.mmap(-1, 8)).cast("q")

    def is_behind(self) -> bool:
        """Tell whether a worker of this host has seen a newer change, or nobody has looked yet."""
        return self._newest[0] > self.snapshot.deployment_id or not self._looked

    def fresh(self) -> ServingSnapshot:
        """Return what serves, having looked if this process is known to be behind."""
        return self.refresh() if self.is_behind() else self.snapshot

    def refresh(self) -> ServingSnapshot:
        """Look at the ledger now and return what serves.

        A version that can never be loaded leaves its slot empty.

        Raises
        ------
        Unavailable
            A version cannot be loaded now; what served before goes on serving.
        """
        with self._lock:
            with self._database.transaction():
                entry = self._ledger.find_newest_entry()
                if entry is None or entry.id == self.snapshot.deployment_id:
                    self._looked = True
                    return self.snapshot
                serving = entry.serving
                names = self._ledger.names_of((serving.current_version_id, serving.next_version_id))
            self.snapshot = ServingSnapshot(
                entry.id,
                self._loaded(serving.current_version_id, names),
                self._loaded(serving.next_version_id, names),
                serving.canary_probability,
                serving.shadow,
            )
            self._looked = True
            self._newest[0] = max(self._newest[0], entry.id)
            return self.snapshot

    def version(self, model_version_id: int) -> LoadedVersion:
        """Return any servable version, loaded; raises `VersionNotServable`."""
        for known in (self.snapshot.current, self.snapshot.next):
            if known is not None and known.id == model_version_id:
                return known
        with self._database.transaction():
            names = self._ledger.names_of((model_version_id,))
        return _loaded(names[model_version_id], self._models.load(model_version_id))

    def follow(self, context: Callable[[], AbstractContextManager[object]]) -> None:
        """Look again and again, in a thread, until the process ends.

        `context` is entered for each look, as a request would be.
        """
        threading.Thread(
            target=self._follow, args=(context,), name="serving state", daemon=True
        ).start()

    def _follow(self, context: Callable[[], AbstractContextManager[object]]) -> None:
        well = True
        while True:
            try:
                with context():
                    self.refresh()
                well = True
            except Exception as error:  # noqa: BLE001 - what serves goes on serving
                if well:
                    log.warning("The ledger could not be followed: %s", error)
                well = False
            time.sleep(LOOK_EVERY_S if well else LOOK_AFTER_FAILURE_S)

    def _loaded(
        self, version_id: int | None, names: "dict[int, NamedVersion]"
    ) -> LoadedVersion | None:
        if version_id is None:
            return None
        for known in (self.snapshot.current, self.snapshot.next):
            if known is not None and known.id == version_id:
                return known
        name = names[version_id]
        try:
            model = self._models.load(version_id)
        except VersionNotServable:
            # Trained before versions were prepared for serving.
            try:
                model = self._models.load(self._models.prepare(name.model_uri).id)
            except Unavailable:
                # Not the version's fault: whoever looks next tries again.
                raise
            except DomainError as error:
                log.warning("%s cannot be served: %s", name.model_uri, error)
                return None
        return _loaded(name, model)


def _loaded(name: NamedVersion, model: ServableModel) -> LoadedVersion:
    hot = model.runtime == "onnx" and model.numeric
    return LoadedVersion(name.id, name.registered_name, name.version, name.model_uri, model, hot)
