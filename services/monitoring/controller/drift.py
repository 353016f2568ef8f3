"""`/data-drift` and `/drift-checks`."""

from flask_restful import Resource

from contracts.drift import (
    DriftAnswer,
    DriftCheckQuery,
    DriftChecksAnswer,
    DriftCheckSummary,
    DriftRequest,
)
from monitoring.service.drift_checks import DriftCheckService
from servicekit.api import endpoint


class DataDriftResource(Resource):  # type: ignore[misc]
    """`POST /data-drift`."""

    def __init__(self, drift: DriftCheckService) -> None:
        self._drift = drift

    @endpoint(
        summary="Have these rows drifted away from what the model was trained on?",
        body=DriftRequest,
        answers={200: DriftAnswer},
        errors=(404, 409),
        example={
            "data": [[1.0], [2.0], [3.0]],
            "reference": [[1.0], [2.0], [3.0], [4.0]],
        },
    )
    def post(self, body: DriftRequest) -> DriftAnswer:
        """Each column's values and missing values are compared with the reference's, corrected for
        there being many; `too_few_rows` says that silence means nothing yet, and how many are
        needed. Every check is stored; one that found drift gets a run in MLflow.
        """
        check = self._drift.check(body)
        result = check.result
        return DriftAnswer.model_validate(
            {
                **result,
                "drift": check.verdict == "drift",
                "verdict": check.verdict,
                "columns_drifted": len(result["columns_drifted"]),
                "columns_checked": len(result["columns"]),
                "reference": check.reference,
                "registered_model_name": check.registered_name,
                "model_version": None if check.version is None else str(check.version),
                "drift_check_id": check.id,
                "created_at": check.created_at.isoformat(),
                "run_id": check.run_id,
            }
        )


class DriftChecksResource(Resource):  # type: ignore[misc]
    """`GET /drift-checks`."""

    def __init__(self, drift: DriftCheckService) -> None:
        self._drift = drift

    @endpoint(
        summary="The drift checks made so far, newest first",
        query=DriftCheckQuery,
        answers={200: DriftChecksAnswer},
    )
    def get(self, query: DriftCheckQuery) -> DriftChecksAnswer:
        """The time line. `next_cursor` leads to older checks."""
        found = self._drift.list(query.limit, query.cursor)
        return DriftChecksAnswer(
            drift_checks=[
                DriftCheckSummary(
                    id=check.id,
                    created_at=check.created_at.isoformat(),
                    verdict=check.verdict,
                    share_drifted=check.share_drifted,
                    columns_drifted=check.result["columns_drifted"],
                    rows=check.row_count,
                    reference=check.reference,
                    registered_model_name=check.registered_name,
                    model_version=None if check.version is None else str(check.version),
                    run_id=check.run_id,
                    request_id=check.request_id,
                )
                for check in found
            ],
            count=len(found),
            next_cursor=found[-1].id if len(found) == query.limit else None,
        )
