"""Guarded roll-outs."""

from typing import Any

from flask_restful import Resource

from contracts.rollouts import (
    DecisionItem,
    RolloutAnswer,
    RolloutDetailAnswer,
    RolloutModel,
    RolloutRequest,
    RolloutsAnswer,
    RolloutsQuery,
)
from ml_model.ledger_entries import NamedVersion
from ml_model.rollout_decision import Plan
from ml_model.service.rollouts import NamedRollout, RolloutService
from servicekit.api import endpoint


class RolloutsResource(Resource):  # type: ignore[misc]
    """`GET` and `POST /rollouts`."""

    def __init__(self, rollouts: RolloutService) -> None:
        self._rollouts = rollouts

    @endpoint(summary="The roll-outs", query=RolloutsQuery, answers={200: RolloutsAnswer})
    def get(self, query: RolloutsQuery) -> RolloutsAnswer:
        """The newest first."""
        items = [
            RolloutAnswer(**_fields(found)) for found in self._rollouts.list_newest(query.limit)
        ]
        return RolloutsAnswer(rollouts=items, count=len(items))

    @endpoint(
        summary="Roll next out step by step, guarded",
        body=RolloutRequest,
        answers={201: RolloutAnswer},
        errors=(400, 409, 422),
        example={"steps": [0.05, 0.25, 0.5, 1.0], "min_requests": 100, "max_error_rate": 0.01},
    )
    def post(self, body: RolloutRequest) -> tuple[RolloutAnswer, int]:
        """next answers the first share at once, the following ones as long as it keeps to its
        limits, and becomes current after the last; where it breaks one, current answers everything
        again. A shadow is on meanwhile. 409: another roll-out is running, or there is nothing to
        roll out. 422: a limit counts right classes, and a slot holds a regression.
        """
        plan = Plan(**{**body.model_dump(), "steps": tuple(body.steps)})
        return RolloutAnswer(**_fields(self._rollouts.start(plan))), 201


class RolloutResource(Resource):  # type: ignore[misc]
    """`GET /rollouts/<rollout_id>`."""

    def __init__(self, rollouts: RolloutService) -> None:
        self._rollouts = rollouts

    @endpoint(
        summary="A roll-out with its decisions", answers={200: RolloutDetailAnswer}, errors=(404,)
    )
    def get(self, rollout_id: str) -> RolloutDetailAnswer:
        """Each decision with the numbers it rests on; a hold once for each reason."""
        found, decisions = self._rollouts.get(rollout_id)
        items = [
            DecisionItem(
                decision=decision.decision,
                step=decision.step,
                next_share=decision.next_share,
                reason=decision.reason,
                numbers=dict(decision.numbers),
                deployment_id=decision.deployment_id,
                created_at=decision.created_at.isoformat(),
            )
            for decision in decisions
        ]
        return RolloutDetailAnswer(**_fields(found), decisions=items)


class CancelRolloutResource(Resource):  # type: ignore[misc]
    """`POST /rollouts/<rollout_id>/cancel`."""

    def __init__(self, rollouts: RolloutService) -> None:
        self._rollouts = rollouts

    @endpoint(summary="End a roll-out", answers={200: RolloutAnswer}, errors=(404, 409))
    def post(self, rollout_id: str) -> RolloutAnswer:
        """current answers everything again, next keeps its model. Takes no body. 409: the roll-out
        has ended otherwise.
        """
        return RolloutAnswer(**_fields(self._rollouts.cancel(rollout_id)))


def _fields(found: NamedRollout) -> dict[str, Any]:
    rollout = found.rollout
    return {
        "rollout_id": rollout.id,
        "state": rollout.state,
        "step": rollout.step,
        "next_share": found.next_share,
        "reason": rollout.reason,
        "plan": found.plan_values,
        "current": _model(found.current),
        "next": _model(found.next),
        "created_at": rollout.created_at.isoformat(),
        "step_started_at": rollout.step_started_at.isoformat(),
        "finished_at": rollout.finished_at.isoformat() if rollout.finished_at else None,
    }


def _model(version: NamedVersion) -> RolloutModel:
    return RolloutModel(
        registered_model_name=version.registered_name,
        model_version=str(version.version),
        model_uri=version.model_uri,
    )
