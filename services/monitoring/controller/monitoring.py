"""`/root/monitoring` and `/retraining-verdicts`."""

from flask import Response
from flask_restful import Resource

from contracts.monitoring import (
    MonitoringAnswer,
    MonitoringRequest,
    NameAnswer,
    ReportQuestion,
    SignalAnswer,
    SummaryAnswer,
    SummaryQuestion,
    TestsQuestion,
    VerdictQuestion,
    VerdictsAnswer,
    VerdictsQuery,
    WindowAnswer,
    WindowsAnswer,
)
from monitoring.service.questions import Answer, QuestionService
from monitoring.service.verdicts import VerdictService
from servicekit.api import endpoint


class MonitoringResource(Resource):  # type: ignore[misc]
    """Says who it is; compares production with testing."""

    def __init__(self, service: QuestionService, verdicts: VerdictService) -> None:
        self._service = service
        self._verdicts = verdicts

    @endpoint(summary="Who answers here, and of which dataset", answers={200: NameAnswer})
    def get(self) -> NameAnswer:
        """The name of the framework behind the answers; dataset and model of the newest verdict."""
        about = {"name": "EvidentlyAI", "message": "Monitoring"}
        for verdict in self._verdicts.list(1, None).verdicts:
            return NameAnswer(
                **about,
                dataset_name=verdict.dataset_name,
                dataset_version=verdict.dataset_version,
                registered_model_name=verdict.registered_model_name,
                model_version=verdict.model_version,
            )
        return NameAnswer(**about)

    @endpoint(
        summary="Report, tests, summary or verdict of production against testing",
        body=MonitoringRequest,
        answers={200: SummaryAnswer | WindowsAnswer | MonitoringAnswer},
        errors=(404, 409, 422),
        media=("text/html", "image/svg+xml"),
        example={"metric": "summary", "tests": {"data_drift": True, "data_quality": True}},
    )
    def post(self, body: MonitoringRequest) -> MonitoringAnswer | Response:
        """Reference is the scored testing set, current the scored production set.

        Every answer is stored with its verdict; asked again of unchanged data it comes from the
        store. 409 names the call that is due: loading, setting, training or scoring.
        """
        answer = self._service.answer(body)
        if isinstance(body, ReportQuestion | TestsQuestion) and body.format == "html":
            return Response(self._service.page(answer), mimetype="text/html")
        if isinstance(body, VerdictQuestion) and body.format == "svg":
            return Response(self._service.picture(answer), mimetype="image/svg+xml")
        return _wire(answer, summary=isinstance(body, SummaryQuestion))


class RetrainingVerdictsResource(Resource):  # type: ignore[misc]
    """`GET /retraining-verdicts`."""

    def __init__(self, verdicts: VerdictService) -> None:
        self._verdicts = verdicts

    @endpoint(
        summary="What the retraining rule has said so far, newest first",
        query=VerdictsQuery,
        answers={200: VerdictsAnswer},
    )
    def get(self, query: VerdictsQuery) -> VerdictsAnswer:
        """The stored verdicts; nothing is computed. `next_cursor` leads to older ones."""
        return self._verdicts.list(query.limit, query.cursor)


def _wire(answer: Answer, *, summary: bool) -> MonitoringAnswer:
    stored, scored = answer.stored, answer.scored
    common = {
        "message": stored.result,
        "retraining_needed": stored.verdict["retraining_needed"],
        "reasons": stored.verdict["reasons"],
        "signals": [SignalAnswer(**signal) for signal in stored.verdict["signals"]],
        "notes": stored.verdict["notes"],
        "model": scored.model,
        "dataset_name": scored.dataset.name,
        "dataset_version": scored.dataset.version,
        "created_at": stored.created_at.isoformat(),
    }
    if "windows" in stored.result:
        return WindowsAnswer(
            **common,
            windows=[WindowAnswer(**window) for window in stored.result["windows"]],
            first_alarm=stored.result["first_alarm"],
        )
    if not summary:
        return MonitoringAnswer(**common)
    counts = {
        name: stored.result[name]
        for name in ("all_passed", "total_tests", "success_tests", "failed_tests", "by_status")
    }
    return SummaryAnswer(**common, **counts)
