"""The slots, their ledger and the versions that can serve."""

from flask_restful import Resource

from contracts.serving import (
    AcceptNextAnswer,
    CanaryProbabilityAnswer,
    CanaryProbabilityRequest,
    ChangedStateAnswer,
    DeploymentsAnswer,
    DeploymentsQuery,
    LatencyAnswer,
    LedgerItem,
    NamedModel,
    RollbackRequest,
    RunningAnswer,
    ServingStateAnswer,
    ShadowRequest,
    SlotModel,
    SlotsAnswer,
    SlotsQuery,
    UpdateModelAnswer,
    UpdateModelRequest,
    VersionItem,
    VersionsAnswer,
    VersionsQuery,
)
from ml_model.ledger_entries import LedgerEntry, NamedVersion
from ml_model.service import slots as service
from ml_model.service.serving_state import ServingState
from ml_model.service.slots import SlotService
from servicekit.api import endpoint


class RunningResource(Resource):  # type: ignore[misc]
    """`GET /`."""

    def __init__(self, serving: ServingState) -> None:
        self._serving = serving

    @endpoint(summary="What the slots hold", answers={200: RunningAnswer})
    def get(self) -> RunningAnswer:
        """Whether each slot holds a model, and the share of requests that current answers."""
        loaded = self._serving.refresh()
        return RunningAnswer(
            canary_probability=loaded.canary_probability,
            current_model_loaded=loaded.current is not None,
            next_model_loaded=loaded.next is not None,
        )


class UpdateModelResource(Resource):  # type: ignore[misc]
    """`POST /update-model`."""

    def __init__(self, slots: SlotService) -> None:
        self._slots = slots

    @endpoint(
        summary="Put a model into the slot next",
        body=UpdateModelRequest,
        answers={200: UpdateModelAnswer},
        errors=(400, 409, 422),
        example={"model_uri": "models:/tracking-quickstart/2"},
    )
    def post(self, body: UpdateModelRequest) -> UpdateModelAnswer:
        """The model is loaded, made ready and tried on its own input example first; where that
        fails the slot keeps what it had. 400: MLflow does not know the URI.
        """
        version, serving = self._slots.update_next(body.model_uri)
        return UpdateModelAnswer(
            status=f"Next model updated from {body.model_uri}",
            canary_probability=serving.canary_probability,
            registered_model_name=version.registered_name,
            model_version=str(version.version),
        )


class AcceptNextResource(Resource):  # type: ignore[misc]
    """`POST /accept-next-model`."""

    def __init__(self, slots: SlotService) -> None:
        self._slots = slots

    @endpoint(summary="Promote next to current", answers={200: AcceptNextAnswer}, errors=(400,))
    def post(self) -> AcceptNextAnswer:
        """Both slots then hold the same model. Takes no body. 400: next is empty."""
        self._slots.accept_next()
        return AcceptNextAnswer()


class CanaryProbabilityResource(Resource):  # type: ignore[misc]
    """`POST /set-canary-probability`."""

    def __init__(self, slots: SlotService) -> None:
        self._slots = slots

    @endpoint(
        summary="Share the requests between the slots",
        body=CanaryProbabilityRequest,
        answers={200: CanaryProbabilityAnswer},
        errors=(400,),
        example={"probability": 0.7},
    )
    def post(self, body: CanaryProbabilityRequest) -> CanaryProbabilityAnswer:
        """`probability` is the share that current answers, from 0 to 1."""
        probability = self._slots.set_split(body.probability).canary_probability
        return CanaryProbabilityAnswer(
            canary_probability=probability,
            current_model_percentage=f"{probability * 100:.1f}%",
            next_model_percentage=f"{(1 - probability) * 100:.1f}%",
        )


class SlotsResource(Resource):  # type: ignore[misc]
    """`GET /slots`."""

    def __init__(self, slots: SlotService) -> None:
        self._slots = slots

    @endpoint(summary="Both slots with their figures", query=SlotsQuery, answers={200: SlotsAnswer})
    def get(self, query: SlotsQuery) -> SlotsAnswer:
        """Model, requests, errors and latency of each slot, and how far both models agree where
        both answered the same rows (shadow). A slot's figures are those of the model it holds now.
        """
        slots = self._slots.slots(query.window_s)
        return SlotsAnswer(
            current=_slot_model(slots.current),
            next=_slot_model(slots.next),
            canary_probability=slots.serving.canary_probability,
            shadow=slots.serving.shadow,
            agreement=slots.agreement,
            compared=slots.compared,
            deployment_id=slots.deployment_id,
            window_s=slots.window_s,
        )


class ShadowResource(Resource):  # type: ignore[misc]
    """`POST /set-shadow`."""

    def __init__(self, slots: SlotService) -> None:
        self._slots = slots

    @endpoint(
        summary="Let next answer too, unseen",
        body=ShadowRequest,
        answers={200: ChangedStateAnswer},
        errors=(400,),
        example={"shadow": True},
    )
    def post(self, body: ShadowRequest) -> ChangedStateAnswer:
        """The answers of the shadow are logged and compared, never returned, never waited for."""
        return _changed(self._slots.set_shadow(body.shadow))


class RollbackResource(Resource):  # type: ignore[misc]
    """`POST /rollback`."""

    def __init__(self, slots: SlotService) -> None:
        self._slots = slots

    @endpoint(
        summary="Serve again what served before",
        body=RollbackRequest,
        answers={200: ChangedStateAnswer},
        errors=(400, 404, 409),
        example={"deployment_id": 3},
    )
    def post(self, body: RollbackRequest) -> ChangedStateAnswer:
        """With `deployment_id`, what served after that entry of the ledger; with `{}`, what served
        before the last change. Repeated, it changes nothing. 409: there is no such state, or a
        model of it is not prepared for serving any more.
        """
        return _changed(self._slots.rollback(body.deployment_id))


class DeploymentsResource(Resource):  # type: ignore[misc]
    """`GET /deployments`."""

    def __init__(self, slots: SlotService) -> None:
        self._slots = slots

    @endpoint(
        summary="The ledger of every change",
        query=DeploymentsQuery,
        answers={200: DeploymentsAnswer},
        errors=(400,),
    )
    def get(self, query: DeploymentsQuery) -> DeploymentsAnswer:
        """The entries, the newest first. With `at`, what served at that time, and the entry since
        which it did; no entry where nothing had been deployed yet.
        """
        if query.at is not None:
            named = self._slots.deployment_at(query.at)
            items = [] if named.entry is None else [_ledger_item(named.entry, named.state)]
            return DeploymentsAnswer(
                deployments=items,
                count=len(items),
                next_cursor=None,
                at=query.at.isoformat(),
                state=_state(named.state),
            )
        # One more than asked for tells whether there are more.
        entries = self._slots.list_deployments(query.limit + 1, query.cursor)
        items = [_ledger_item(entry, state) for entry, state in entries[: query.limit]]
        more = len(entries) > query.limit
        return DeploymentsAnswer(
            deployments=items,
            count=len(items),
            next_cursor=str(items[-1].deployment_id) if more else None,
        )


class VersionsResource(Resource):  # type: ignore[misc]
    """`GET /versions`."""

    def __init__(self, slots: SlotService) -> None:
        self._slots = slots

    @endpoint(
        summary="The model versions this service knows",
        query=VersionsQuery,
        answers={200: VersionsAnswer},
        errors=(400,),
    )
    def get(self, query: VersionsQuery) -> VersionsAnswer:
        """What each was made of, what predicts with it and how that compares with scikit-learn
        (parity), and where it is in use. The newest first.
        """
        found = self._slots.list_versions(query.limit, query.registered_model_name)
        items = [
            VersionItem(
                registered_model_name=version.registered_name,
                model_version=str(version.version),
                model_uri=version.model_uri,
                model_name=version.model_name,
                hyperparameters=dict(version.hyperparameters),
                training_run_id=version.training_run_id,
                dataset_name=version.dataset_name,
                dataset_version=version.dataset_version,
                drift_sample_id=version.drift_sample_id,
                runtime=version.runtime,
                task=version.task,
                inputs=_names(version.input_schema),
                class_names=None if version.class_names is None else list(version.class_names),
                parity=None if version.parity is None else dict(version.parity),
                in_use=in_use,
                created_at=version.created_at.isoformat(),
            )
            for version, in_use in found
        ]
        return VersionsAnswer(versions=items, count=len(items))


def _names(input_schema: object) -> list[str] | None:
    if not isinstance(input_schema, list):
        return None
    return [column["name"] for column in input_schema]


def _named_model(version: NamedVersion | None) -> NamedModel | None:
    if version is None:
        return None
    return NamedModel(
        registered_model_name=version.registered_name,
        model_version=str(version.version),
        model_uri=version.model_uri,
    )


def _state(state: service.NamedState) -> ServingStateAnswer:
    return ServingStateAnswer(
        current=_named_model(state.current),
        next=_named_model(state.next),
        canary_probability=state.canary_probability,
        shadow=state.shadow,
    )


def _changed(named: service.NamedEntry) -> ChangedStateAnswer:
    return ChangedStateAnswer(
        deployment_id=named.entry.id if named.entry else None, state=_state(named.state)
    )


def _ledger_item(entry: LedgerEntry, state: service.NamedState) -> LedgerItem:
    return LedgerItem(
        deployment_id=entry.id,
        slot=entry.slot,
        action=entry.action,
        actor=entry.actor,
        reason=entry.reason,
        request_id=entry.request_id,
        created_at=entry.created_at.isoformat(),
        state=_state(state),
    )


def _slot_model(model: service.SlotModel | None) -> SlotModel | None:
    if model is None:
        return None
    version, figures = model.version, model.figures
    return SlotModel(
        registered_model_name=version.registered_name,
        model_version=str(version.version),
        model_uri=version.model_uri,
        runtime=version.runtime,
        parity=None if version.parity is None else dict(version.parity),
        requests=figures.requests,
        errors=figures.errors,
        error_rate=figures.error_rate,
        latency_ms=LatencyAnswer(
            mean=figures.mean_ms, p50=figures.p50_ms, p95=figures.p95_ms, p99=figures.p99_ms
        ),
    )
