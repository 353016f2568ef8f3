"""Guarded roll-outs: `next` takes more and more requests for as long as it keeps to its limits."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from ml_model.errors import (
    LimitOfClasses,
    NothingToRollOut,
    RolloutNotFound,
    RolloutOver,
    RolloutRunning,
)
from ml_model.ledger_entries import LedgerEntry, NamedVersion, ServingRecord
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.rollouts import Rollout, SqlRollouts, StoredDecision
from ml_model.repository.serving_statistics import LabelCount, SqlServingStatistics
from ml_model.rollout_decision import Decision, Measurement, Plan, decide, slow_limit_ms
from ml_model.service.serving_change import lock_serving, write_change
from servicekit.database import Database

SHADOW_BEFORE = "shadow_before"
"""Key of the stored plan: whether a shadow was on before the roll-out, which restores it."""

LATENCY_BEFORE = timedelta(days=1)
"""How far back `current`'s latency is looked for where it answers too little during a roll-out."""

FEWEST_FOR_PERCENTILE = 20
"""Answers of `current` from which on its 95th percentile is taken for one."""

LONGEST_SHARE_OF_TIME = 0.05
"""A look may cost this share of the time until the next one: long steps make looks expensive."""


class Follower(Protocol):
    """What answers predictions in this process; see `ml_model.service.serving_state`."""

    def refresh(self) -> object:
        """Look at the ledger now."""


@dataclass(frozen=True)
class NamedRollout:
    """A roll-out with the names of its versions."""

    rollout: Rollout
    current: NamedVersion
    next: NamedVersion

    @property
    def plan_values(self) -> dict[str, Any]:
        """The plan as it was asked for, with its defaults."""
        return {key: value for key, value in self.rollout.plan.items() if key != SHADOW_BEFORE}

    @property
    def next_share(self) -> float:
        """The share of requests that `next` answers in the step the roll-out is or ended in."""
        return plan_of(self.rollout).steps[self.rollout.step]


class RolloutService:
    """Starts, watches and ends roll-outs.

    `tick` is called by one program alone (`ml_model.jobs`); everything else by any worker.
    """

    def __init__(
        self,
        database: Database,
        ledger: SqlLedger,
        rollouts: SqlRollouts,
        statistics: SqlServingStatistics,
        follower: Follower | None = None,
    ) -> None:
        """`follower` is None in a process that answers no predictions."""
        self._database = database
        self._ledger = ledger
        self._rollouts = rollouts
        self._statistics = statistics
        self._follower = follower
        self._next_look_s = 0.0

    def start(self, plan: Plan) -> NamedRollout:
        """Give `next` its first share and watch it from now on.

        Raises
        ------
        RolloutRunning
            Another one is running.
        NothingToRollOut
            A slot is empty, or both hold the same version.
        LimitOfClasses
            The plan has a limit that counts right classes, and a slot holds a regression.
        """
        with self._database.transaction():
            before = lock_serving(self._ledger)
            self._end_if_superseded()
            running = self._rollouts.find_running()
            if running is not None:
                raise RolloutRunning(
                    f"Roll-out {running.id} is running; wait for its end or cancel it:"
                    f" POST /rollouts/{running.id}/cancel."
                )
            current_id, next_id = _versions_of(before)
            of_labels = plan.min_accuracy_difference is not None or plan.min_labels is not None
            if of_labels and "regression" in self._rollouts.tasks_of((current_id, next_id)):
                raise LimitOfClasses()
            share = plan.steps[0]
            reason = f"next takes the share {share:.4g}"
            # Also where nothing changes, so that the roll-out has an entry it began with.
            deployment_id = write_change(
                self._ledger,
                before,
                _at_share(before, share),
                action="rollout_start",
                reason=reason,
                actor="rollout",
            )
            if deployment_id is None:
                newest = self._ledger.find_newest_entry()
                deployment_id = newest.id if newest else 0
            rollout_id = self._rollouts.start(
                {**asdict(plan), SHADOW_BEFORE: before.shadow},
                current_version_id=current_id,
                next_version_id=next_id,
                deployment_id=deployment_id,
                reason=reason,
            )
            self._rollouts.add_decision(
                rollout_id,
                "start",
                step=0,
                next_share=share,
                numbers={},
                reason=reason,
                deployment_id=deployment_id,
            )
            named = self._named(self._get(rollout_id))
        self._refresh()
        return named

    def get(self, rollout_id: str) -> tuple[NamedRollout, Sequence[StoredDecision]]:
        """Return a roll-out with its decisions; raises `RolloutNotFound`."""
        with self._database.transaction():
            rollout = self._get(_parse_id(rollout_id))
            return self._named(rollout), self._rollouts.decisions(rollout.id)

    def list_newest(self, limit: int) -> list[NamedRollout]:
        """Return up to `limit` roll-outs, the newest first."""
        with self._database.transaction():
            return [self._named(rollout) for rollout in self._rollouts.list_newest(limit)]

    def cancel(self, rollout_id: str) -> NamedRollout:
        """End a roll-out: `current` answers everything again, `next` keeps its model.

        A roll-out that was cancelled already is returned as it is.

        Raises
        ------
        RolloutNotFound
            There is none of that id.
        RolloutOver
            It has ended otherwise.
        """
        with self._database.transaction():
            before = lock_serving(self._ledger)
            self._end_if_superseded()
            rollout = self._get(_parse_id(rollout_id))
            if rollout.state == "running":
                numbers = self._measure(rollout).numbers()
                self._end(
                    rollout, before, "cancel", "cancelled", "Cancelled by a request.", numbers
                )
            elif rollout.state != "cancelled":
                raise RolloutOver(f"Roll-out {rollout.id} is {rollout.state}; nothing to cancel.")
            named = self._named(self._get(rollout.id))
        self._refresh()
        return named

    def tick(self) -> bool:
        """Look once at the roll-out that is running; return whether it was looked at.

        It looks less often where looking takes long, so that it never takes more than
        `LONGEST_SHARE_OF_TIME` of the database's.
        """
        if time.monotonic() < self._next_look_s:
            return False
        started_s = time.monotonic()
        with self._database.transaction():
            rollout = self._rollouts.find_running()
            if rollout is None:
                return False
            superseded = self._superseding_entry(rollout) is not None
            seen = None if superseded else self._measure(rollout)
        ended_s = time.monotonic()
        self._next_look_s = ended_s + (ended_s - started_s) * (1 / LONGEST_SHARE_OF_TIME - 1)
        decision = decide(plan_of(rollout), rollout.step, seen) if seen is not None else None
        if (
            decision is not None
            and decision.verdict == "hold"
            and decision.reason == rollout.reason
        ):
            return True
        with self._database.transaction():
            before = lock_serving(self._ledger)
            self._end_if_superseded()
            again = self._get(rollout.id)
            # What was measured says nothing of a roll-out that somebody else took on or ended.
            if seen is not None and decision is not None and again == rollout:
                self._carry_out(rollout, before, decision, seen.numbers())
        self._refresh()
        return True

    def _measure(self, rollout: Rollout) -> Measurement:
        plan, step_began = plan_of(rollout), rollout.step_started_at
        serving = ServingRecord(rollout.current_version_id, rollout.next_version_id)
        answers, current_p95_ms = self._statistics.current_latency(
            rollout.current_version_id, step_began
        )
        if answers < FEWEST_FOR_PERCENTILE and rollout.step > 0:
            # At a share of 1 nothing comes to current: what it took in earlier steps counts.
            answers, current_p95_ms = self._statistics.current_latency(
                rollout.current_version_id, rollout.created_at
            )
        if answers < FEWEST_FOR_PERCENTILE:
            # At a share of 1 from the start: what it took before anybody asked next.
            answers, current_p95_ms = self._statistics.current_latency(
                rollout.current_version_id, rollout.created_at - LATENCY_BEFORE
            )
        if answers < FEWEST_FOR_PERCENTILE:
            current_p95_ms = None
        slow_ms = math.inf if current_p95_ms is None else slow_limit_ms(plan, current_p95_ms)
        figures = self._statistics.next_figures(rollout.next_version_id, step_began, slow_ms)
        agreement = self._statistics.agreement_since(serving, rollout.created_at)
        labels = self._statistics.label_counts_since(serving, rollout.created_at)
        of_next = labels.get(rollout.next_version_id, LabelCount())
        of_current = labels.get(rollout.current_version_id, LabelCount())
        return Measurement(
            seconds=(self._rollouts.now() - step_began).total_seconds(),
            requests=figures.requests,
            errors=figures.errors,
            answers=figures.answers,
            slow_answers=figures.slow_answers,
            p95_ms=figures.p95_ms,
            current_p95_ms=current_p95_ms,
            compared=agreement.compared,
            disagreements=agreement.disagreements,
            labels=of_next.labels,
            right=of_next.right,
            current_labels=of_current.labels,
            current_right=of_current.right,
        )

    def _carry_out(
        self,
        rollout: Rollout,
        before: ServingRecord,
        decision: Decision,
        numbers: Mapping[str, Any],
    ) -> None:
        plan, reason = plan_of(rollout), decision.reason
        if decision.verdict == "roll_back":
            self._end(rollout, before, "roll_back", "rolled_back", reason, numbers)
        elif decision.verdict == "complete":
            self._end(rollout, before, "complete", "completed", reason, numbers)
        elif decision.verdict == "hold":
            self._rollouts.hold(rollout.id, reason)
            # Figures near their limits change places every second: a reason is noted once a step.
            if not self._rollouts.has_held(rollout.id, rollout.step, reason):
                share = plan.steps[rollout.step]
                self._decided(rollout, "hold", rollout.step, share, reason, numbers)
        else:
            step = rollout.step + 1
            share = plan.steps[step]
            deployment_id = write_change(
                self._ledger,
                before,
                _at_share(before, share),
                action="rollout_advance",
                reason=f"{reason} next takes the share {share:.4g}.",
                actor=_actor(rollout),
            )
            self._rollouts.enter_step(
                rollout.id, step, deployment_id or rollout.deployment_id, reason
            )
            self._decided(rollout, "advance", step, share, reason, numbers, deployment_id)

    def _end(
        self,
        rollout: Rollout,
        before: ServingRecord,
        decision: str,
        state: str,
        reason: str,
        numbers: Mapping[str, Any],
    ) -> None:
        """Let `current` answer everything, with the version of `next` where that is complete."""
        after = replace(
            before, canary_probability=1.0, shadow=bool(rollout.plan.get(SHADOW_BEFORE, False))
        )
        if decision == "complete":
            after = replace(after, current_version_id=rollout.next_version_id)
        deployment_id = write_change(
            self._ledger,
            before,
            after,
            action=f"rollout_{decision}",
            reason=reason,
            actor=_actor(rollout),
        )
        self._rollouts.finish(rollout.id, state, deployment_id or rollout.deployment_id, reason)
        share = 1.0 if decision == "complete" else 0.0
        self._decided(rollout, decision, rollout.step, share, reason, numbers, deployment_id)

    def _end_if_superseded(self) -> None:
        """End the running roll-out if somebody else has changed what serves."""
        rollout = self._rollouts.find_running()
        entry = self._superseding_entry(rollout) if rollout is not None else None
        if rollout is None or entry is None:
            return
        reason = (
            f"Deployment {entry.id} by {entry.actor} ({entry.action}) changed what serves:"
            f" {entry.reason}."
        )
        numbers = self._measure(rollout).numbers()
        self._rollouts.finish(rollout.id, "superseded", rollout.deployment_id, reason)
        share = 1 - entry.serving.canary_probability
        self._decided(rollout, "supersede", rollout.step, share, reason, numbers, entry.id)

    def _superseding_entry(self, rollout: Rollout) -> LedgerEntry | None:
        """Return the first ledger entry after the roll-out's own that touched what serves."""
        return self._ledger.find_change_after(rollout.deployment_id)

    def _decided(
        self,
        rollout: Rollout,
        decision: str,
        step: int,
        next_share: float,
        reason: str,
        numbers: Mapping[str, Any],
        deployment_id: int | None = None,
    ) -> None:
        self._rollouts.add_decision(
            rollout.id,
            decision,
            step=step,
            next_share=next_share,
            numbers=numbers,
            reason=reason,
            deployment_id=deployment_id,
        )

    def _get(self, rollout_id: int) -> Rollout:
        rollout = self._rollouts.find(rollout_id)
        if rollout is None:
            raise RolloutNotFound()
        return rollout

    def _named(self, rollout: Rollout) -> NamedRollout:
        names = self._ledger.names_of((rollout.current_version_id, rollout.next_version_id))
        return NamedRollout(
            rollout, names[rollout.current_version_id], names[rollout.next_version_id]
        )

    def _refresh(self) -> None:
        if self._follower is not None:
            self._follower.refresh()


def plan_of(rollout: Rollout) -> Plan:
    """Return the plan that a roll-out was started with."""
    values = {key: value for key, value in rollout.plan.items() if key != SHADOW_BEFORE}
    return Plan(**{**values, "steps": tuple(values["steps"])})


def _versions_of(serving: ServingRecord) -> tuple[int, int]:
    current_id, next_id = serving.current_version_id, serving.next_version_id
    if next_id is None:
        raise NothingToRollOut(
            'The slot next is empty. Put a model there first: POST /update-model {"model_uri":'
            ' "models:/<name>/<version>"}.'
        )
    if current_id is None:
        raise NothingToRollOut(
            "The slot current is empty, so there is nothing to compare next with. Accept next"
            " as it is: POST /accept-next-model."
        )
    if current_id == next_id:
        raise NothingToRollOut(
            "Both slots hold the same version. Put another one into next: POST /update-model"
            ' {"model_uri": "models:/<name>/<version>"}.'
        )
    return current_id, next_id


def _at_share(serving: ServingRecord, next_share: float) -> ServingRecord:
    # Without the last digits, which are those of the subtraction.
    return replace(serving, canary_probability=round(1 - next_share, 12), shadow=True)


def _actor(rollout: Rollout) -> str:
    return f"rollout {rollout.id}"


def _parse_id(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise RolloutNotFound()
    return int(text)
