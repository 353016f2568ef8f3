"""`/root/tracking/runs`."""

from typing import Any

from flask_restful import Resource

from contracts.tracking import (
    DeletedAnswer,
    ExperimentQuery,
    ParametersRequest,
    RunAnswer,
    RunQuery,
    RunRequest,
    RunsAnswer,
)
from servicekit.api import endpoint
from tracking.service.runs import RunService

EXAMPLE = {
    "experiment_id": "1",
    "run_id": "5f69c5f0a6d54a35b3b2f1c6b6a0e5d1",
    "request_information": "parameters",
    "type": "model",
}


class RunsResource(Resource):  # type: ignore[misc]
    """List, read and delete runs."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs

    @endpoint(
        summary="List the runs of an experiment, the newest first",
        query=ExperimentQuery,
        answers={200: RunsAnswer},
        errors=(400, 404),
    )
    def get(self, query: ExperimentQuery) -> RunsAnswer:
        """An unfinished run has `end_time` null."""
        return self._runs.list_runs(query.experiment_id)

    @endpoint(
        summary="Read a run's parameters (data, grid_search, model) or metrics (system, model)",
        body=RunRequest,
        answers={200: RunAnswer},
        errors=(400, 404),
        example=EXAMPLE,
    )
    def post(self, body: Any) -> RunAnswer:
        """Keys come without their prefix."""
        if isinstance(body, ParametersRequest):
            return self._runs.read_parameters(body)
        return self._runs.read_metrics(body)

    @endpoint(
        summary="Delete a run",
        query=RunQuery,
        answers={200: DeletedAnswer},
        errors=(400, 404, 409),
    )
    def delete(self, query: RunQuery) -> DeletedAnswer:
        """409 while its search runs or its model is deployed."""
        return self._runs.delete(query.experiment_id, query.run_id)
