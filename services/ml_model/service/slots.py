"""The two slots: what they hold, how requests are shared, and the way back."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from ml_model.domain import ModelVersion
from ml_model.errors import (
    CanaryRuns,
    ChampionChanged,
    DeploymentNotFound,
    NothingInNext,
    NothingToGoBackTo,
)
from ml_model.ledger_entries import API_ACTOR, LedgerEntry, NamedVersion, ServingRecord
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.serving_statistics import SlotFigures, SqlServingStatistics
from ml_model.repository.versions import KnownVersion, SqlVersions
from ml_model.service.serving_change import lock_serving, write_change
from servicekit.database import Database

ROLLBACK = "rollback"


class Preparation(Protocol):
    """Makes versions ready to serve; see `ml_model.service.serving_models`."""

    def prepare(self, model_uri: str) -> ModelVersion:
        """Return the recorded version of a URI once it can serve."""

    def load(self, model_version_id: int) -> Any:
        """Return the loaded model."""


class Follower(Protocol):
    """What answers predictions in this process; see `ml_model.service.serving_state`."""

    def refresh(self) -> object:
        """Look at the ledger now."""


@dataclass(frozen=True)
class NamedState:
    """A serving state with the names of its versions."""

    current: NamedVersion | None
    next: NamedVersion | None
    canary_probability: float
    shadow: bool


@dataclass(frozen=True)
class NamedEntry:
    """An entry of the ledger (None before the first) with its state."""

    entry: LedgerEntry | None
    state: NamedState


@dataclass(frozen=True)
class SlotModel:
    """The version of a slot, what it is served by, and how it did."""

    version: KnownVersion
    figures: SlotFigures


@dataclass(frozen=True)
class Slots:
    """Both slots with their figures over `window_s` seconds."""

    current: SlotModel | None
    next: SlotModel | None
    serving: ServingRecord
    agreement: float | None
    compared: int
    deployment_id: int | None
    window_s: int


class SlotService:
    """Every change is one entry in the ledger; what changes nothing leaves none."""

    def __init__(
        self,
        database: Database,
        ledger: SqlLedger,
        versions: SqlVersions,
        statistics: SqlServingStatistics,
        models: Preparation,
        follower: Follower,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._versions = versions
        self._statistics = statistics
        self._models = models
        self._follower = follower

    def state(self) -> NamedEntry:
        """Return the newest entry of the ledger with its state."""
        with self._database.transaction():
            return self._named(self._ledger.find_newest_entry())

    def slots(self, window_s: int) -> Slots:
        """Return both slots with their figures over the last `window_s` seconds."""
        with self._database.transaction():
            entry = self._ledger.find_newest_entry()
            serving = entry.serving if entry else ServingRecord()
            ids = (serving.current_version_id, serving.next_version_id)
            known = {item.id: item for item in self._versions.find(ids)}
            figures = self._statistics.slot_figures(serving, window_s)
            agreement = self._statistics.agreement(serving, window_s)

        def model(slot: str, version_id: int | None) -> SlotModel | None:
            return None if version_id is None else SlotModel(known[version_id], figures[slot])

        return Slots(
            current=model("current", serving.current_version_id),
            next=model("next", serving.next_version_id),
            serving=serving,
            agreement=agreement.share,
            compared=agreement.compared,
            deployment_id=entry.id if entry else None,
            window_s=window_s,
        )

    def update_next(self, model_uri: str) -> tuple[ModelVersion, ServingRecord]:
        """Put the model of a URI into `next` and return it with what serves from then on.

        Raises
        ------
        ModelUriUnknown, ModelNotTrusted, ModelStoreUnavailable
            As `ServingModels.prepare`; the slot keeps what it had.
        """
        version = self._models.prepare(model_uri)
        return version, self.put_next(version.id, f"updated from {model_uri}")

    def put_next(self, model_version_id: int, reason: str, actor: str = API_ACTOR) -> ServingRecord:
        """Put a recorded version into `next`.

        Raises
        ------
        VersionNotServable
            It was never prepared for serving.
        """
        self._models.load(model_version_id)
        with self._database.transaction():
            before = lock_serving(self._ledger)
            after = replace(before, next_version_id=model_version_id)
            write_change(
                self._ledger, before, after, action="update_next", reason=reason, actor=actor
            )
        self._follower.refresh()
        return after

    def put_challenger(
        self, model_version_id: int, champion_id: int | None, reason: str, actor: str
    ) -> None:
        """Put a version that was compared with `champion_id` into `next`, without any traffic.

        Raises
        ------
        ChampionChanged
            Another version serves by now, so that the comparison says nothing.
        CanaryRuns
            `next` answers a share of the requests already; whoever tries it goes first.
        VersionNotServable
            It was never prepared for serving.
        """
        self._models.load(model_version_id)
        with self._database.transaction():
            before = lock_serving(self._ledger)
            if before.current_version_id != champion_id:
                raise ChampionChanged()
            tried = before.next_version_id not in {None, before.current_version_id}
            if tried and before.canary_probability < 1:
                raise CanaryRuns()
            after = replace(before, next_version_id=model_version_id, canary_probability=1.0)
            write_change(
                self._ledger, before, after, action="update_next", reason=reason, actor=actor
            )
        self._follower.refresh()

    def accept_next(self) -> ServingRecord:
        """Put the model of `next` into `current` as well.

        Raises
        ------
        NothingInNext
            There is none.
        """
        with self._database.transaction():
            before = lock_serving(self._ledger)
            if before.next_version_id is None:
                raise NothingInNext()
            after = replace(before, current_version_id=before.next_version_id)
            write_change(self._ledger, before, after, action="accept", reason="next was accepted")
        self._follower.refresh()
        return after

    def set_split(self, probability: float) -> ServingRecord:
        """Let `current` answer this share of the requests (0 to 1)."""
        with self._database.transaction():
            before = lock_serving(self._ledger)
            # Zero without a sign: -0.0 would be another state and print as one.
            after = replace(before, canary_probability=abs(float(probability)))
            reason = f"current answers {after.canary_probability * 100:.4g}%"
            write_change(self._ledger, before, after, action="set_split", reason=reason)
        self._follower.refresh()
        return after

    def set_shadow(self, shadow: bool) -> NamedEntry:
        """Let `next` answer unseen what `current` answers, or no longer."""
        with self._database.transaction():
            before = lock_serving(self._ledger)
            write_change(
                self._ledger,
                before,
                replace(before, shadow=shadow),
                action="set_shadow",
                reason="shadow on" if shadow else "shadow off",
            )
            named = self._named(self._ledger.find_newest_entry())
        self._follower.refresh()
        return named

    def rollback(self, deployment_id: int | None) -> NamedEntry:
        """Serve again what served after an entry; without one, before the last change.

        Going back is itself a change and an entry. Repeated without an id it stays where it is;
        further back leads an id.

        Raises
        ------
        DeploymentNotFound, NothingToGoBackTo
            There is no such state, or nothing served in it.
        VersionNotServable
            A version of it is no longer prepared for serving.
        """
        with self._database.transaction():
            target = self._target(deployment_id)
        if target is not None:
            for version_id in {target.serving.current_version_id, target.serving.next_version_id}:
                if version_id is not None:
                    self._models.load(version_id)
        with self._database.transaction():
            before = lock_serving(self._ledger)
            # Somebody may have been faster.
            target = self._target(deployment_id)
            if target is not None:
                write_change(
                    self._ledger,
                    before,
                    target.serving,
                    action=ROLLBACK,
                    reason=f"back to the state of deployment {target.id}",
                )
            named = self._named(self._ledger.find_newest_entry())
        self._follower.refresh()
        return named

    def list_deployments(
        self, limit: int, before_id: int | None
    ) -> list[tuple[LedgerEntry, NamedState]]:
        """Return entries of the ledger, the newest first, those below `before_id` only."""
        with self._database.transaction():
            entries = self._ledger.list_entries(limit=limit, before_id=before_id)
            names = self._ledger.names_of(
                version_id
                for entry in entries
                for version_id in (entry.serving.current_version_id, entry.serving.next_version_id)
            )
            return [(entry, _named_state(entry.serving, names)) for entry in entries]

    def deployment_at(self, time: datetime) -> NamedEntry:
        """Return what served at a time, and the entry since which it did."""
        with self._database.transaction():
            return self._named(self._ledger.find_entry_at(time))

    def list_versions(
        self, limit: int, registered_name: str | None
    ) -> list[tuple[KnownVersion, list[str]]]:
        """Return the recorded versions, the newest first, each with where it is in use."""
        with self._database.transaction():
            in_use = self._versions.in_use(self._ledger.serving())
            return [
                (version, in_use.get(version.id, []))
                for version in self._versions.list_newest(limit, registered_name)
            ]

    def _target(self, deployment_id: int | None) -> LedgerEntry | None:
        """Return the entry to go back to; None where the last change was going back already."""
        if deployment_id is not None:
            entry = self._ledger.find_entry(deployment_id)
            if entry is None:
                raise DeploymentNotFound()
            if not entry.serving.serves:
                raise NothingToGoBackTo(
                    f"Nothing served after deployment {entry.id}. Take another one from GET"
                    " /deployments."
                )
            return entry
        last = self._ledger.find_newest_change()
        if last is not None and last.action == ROLLBACK:
            return None
        entry = self._ledger.find_entry_before_change()
        if entry is None or not entry.serving.serves:
            raise NothingToGoBackTo()
        return entry

    def _named(self, entry: LedgerEntry | None) -> NamedEntry:
        serving = entry.serving if entry else ServingRecord()
        names = self._ledger.names_of((serving.current_version_id, serving.next_version_id))
        return NamedEntry(entry, _named_state(serving, names))


def _named_state(serving: ServingRecord, names: Any) -> NamedState:
    return NamedState(
        names.get(serving.current_version_id),
        names.get(serving.next_version_id),
        serving.canary_probability,
        serving.shadow,
    )
