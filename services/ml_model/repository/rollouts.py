"""Guarded roll-outs and their decisions: rows of Postgres as values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, scoped_session

from schema.tables import RolloutDecisionRow, RolloutRow, ServingModelRow

_ROLLOUT = (
    RolloutRow.id,
    RolloutRow.state,
    RolloutRow.plan,
    RolloutRow.step,
    RolloutRow.current_version_id,
    RolloutRow.next_version_id,
    RolloutRow.deployment_id,
    RolloutRow.reason,
    RolloutRow.created_at,
    RolloutRow.step_started_at,
    RolloutRow.finished_at,
)


@dataclass(frozen=True)
class Rollout:
    """A roll-out; `deployment_id` is the ledger entry of its last own change."""

    id: int
    state: str
    plan: Mapping[str, Any]
    step: int
    current_version_id: int
    next_version_id: int
    deployment_id: int
    reason: str
    created_at: datetime
    step_started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class StoredDecision:
    """A decision with the numbers it rests on."""

    decision: str
    step: int
    next_share: float
    reason: str
    numbers: Mapping[str, Any]
    deployment_id: int | None
    created_at: datetime


class SqlRollouts:
    """Reads and writes roll-outs. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def find(self, rollout_id: int) -> Rollout | None:
        """Return a roll-out."""
        return self._one(RolloutRow.id == rollout_id)

    def find_running(self) -> Rollout | None:
        """Return the roll-out that is running; there is one at most."""
        return self._one(RolloutRow.state == "running")

    def list_newest(self, limit: int) -> list[Rollout]:
        """Return up to `limit` roll-outs, the newest first."""
        query = select(*_ROLLOUT).order_by(RolloutRow.id.desc()).limit(limit)
        return [Rollout(*row) for row in self._session.execute(query)]

    def tasks_of(self, version_ids: Collection[int]) -> set[str]:
        """Return what the versions predict: classification, regression or both."""
        query = select(ServingModelRow.task).where(
            ServingModelRow.model_version_id.in_(version_ids)
        )
        return set(self._session.scalars(query))

    def start(
        self,
        plan: Mapping[str, Any],
        *,
        current_version_id: int,
        next_version_id: int,
        deployment_id: int,
        reason: str,
    ) -> int:
        """Insert a running roll-out and return its id."""
        row = RolloutRow(
            plan=dict(plan),
            current_version_id=current_version_id,
            next_version_id=next_version_id,
            deployment_id=deployment_id,
            reason=reason,
            # When its share holds, not when its transaction began to wait for the lock.
            created_at=func.clock_timestamp(),
            step_started_at=func.clock_timestamp(),
        )
        self._session.add(row)
        self._session.flush()
        return row.id

    def enter_step(self, rollout_id: int, step: int, deployment_id: int, reason: str) -> None:
        """Note that a step begins now."""
        self._update(
            rollout_id,
            step=step,
            deployment_id=deployment_id,
            reason=reason,
            step_started_at=func.clock_timestamp(),
        )

    def hold(self, rollout_id: int, reason: str) -> None:
        """Note why the roll-out waits."""
        self._update(rollout_id, reason=reason)

    def has_held(self, rollout_id: int, step: int, reason: str) -> bool:
        """Tell whether a decision to hold is stored for this step with this reason."""
        query = select(RolloutDecisionRow.id).where(
            RolloutDecisionRow.rollout_id == rollout_id,
            RolloutDecisionRow.step == step,
            RolloutDecisionRow.decision == "hold",
            RolloutDecisionRow.reason == reason,
        )
        return self._session.scalar(query.limit(1)) is not None

    def finish(self, rollout_id: int, state: str, deployment_id: int, reason: str) -> None:
        """Note how the roll-out ended."""
        self._update(
            rollout_id,
            state=state,
            deployment_id=deployment_id,
            reason=reason,
            finished_at=func.clock_timestamp(),
        )

    def add_decision(
        self,
        rollout_id: int,
        decision: str,
        *,
        step: int,
        next_share: float,
        numbers: Mapping[str, Any],
        reason: str,
        deployment_id: int | None,
    ) -> None:
        """Append a decision."""
        self._session.add(
            RolloutDecisionRow(
                rollout_id=rollout_id,
                decision=decision,
                step=step,
                next_share=next_share,
                numbers=dict(numbers),
                reason=reason,
                deployment_id=deployment_id,
                created_at=func.clock_timestamp(),
            )
        )
        self._session.flush()

    def decisions(self, rollout_id: int) -> Sequence[StoredDecision]:
        """Return the decisions of a roll-out, the first first."""
        rows = self._session.execute(
            select(
                RolloutDecisionRow.decision,
                RolloutDecisionRow.step,
                RolloutDecisionRow.next_share,
                RolloutDecisionRow.reason,
                RolloutDecisionRow.numbers,
                RolloutDecisionRow.deployment_id,
                RolloutDecisionRow.created_at,
            )
            .where(RolloutDecisionRow.rollout_id == rollout_id)
            .order_by(RolloutDecisionRow.id)
        )
        return [StoredDecision(*row) for row in rows]

    def now(self) -> datetime:
        """Return the time of the database, which dates everything that is measured."""
        found: datetime = self._session.execute(select(func.clock_timestamp())).scalar_one()
        return found

    def _one(self, condition: Any) -> Rollout | None:
        row = self._session.execute(select(*_ROLLOUT).where(condition)).one_or_none()
        return Rollout(*row) if row else None

    def _update(self, rollout_id: int, **values: Any) -> None:
        self._session.execute(
            update(RolloutRow).where(RolloutRow.id == rollout_id).values(**values)
        )
