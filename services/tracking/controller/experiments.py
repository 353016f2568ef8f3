"""`/root/tracking/experiments`."""

from typing import Any

from flask_restful import Resource

from contracts.tracking import (
    BestModelAnswer,
    BestModelRequest,
    DeletedAnswer,
    ExperimentQuery,
    ExperimentRequest,
    ExperimentsAnswer,
    GeneralAnswer,
    GeneralRequest,
    StatisticsAnswer,
)
from servicekit.api import endpoint
from tracking.service.experiments import ExperimentService

EXAMPLE = {
    "experiment_id": "1",
    "request_information": "best_model",
    "filter": ["model_accuracy"],
}


class ExperimentsResource(Resource):  # type: ignore[misc]
    """List, describe and delete experiments."""

    def __init__(self, experiments: ExperimentService) -> None:
        self._experiments = experiments

    @endpoint(summary="List the active experiments", answers={200: ExperimentsAnswer})
    def get(self) -> ExperimentsAnswer:
        """MLflow's own "Default" is listed only when it holds runs."""
        return self._experiments.list_experiments()

    @endpoint(
        summary="Describe an experiment: general, best_model or statistics",
        body=ExperimentRequest,
        answers={200: GeneralAnswer | BestModelAnswer | StatisticsAnswer},
        errors=(400, 404),
        example=EXAMPLE,
    )
    def post(self, body: Any) -> GeneralAnswer | BestModelAnswer | StatisticsAnswer:
        """Deleted runs do not count; ranking and statistics look at finished runs."""
        if isinstance(body, GeneralRequest):
            return self._experiments.describe(body)
        if isinstance(body, BestModelRequest):
            return self._experiments.find_best(body)
        return self._experiments.describe_metrics(body)

    @endpoint(
        summary="Delete an experiment with its runs",
        query=ExperimentQuery,
        answers={200: DeletedAnswer},
        errors=(400, 404, 409),
    )
    def delete(self, query: ExperimentQuery) -> DeletedAnswer:
        """409 while a search runs in it or a model of it is deployed."""
        return self._experiments.delete(query.experiment_id)
