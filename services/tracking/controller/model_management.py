"""`/root/tracking/model_management`."""

from typing import Any

from flask import Response, jsonify, make_response
from flask_restful import Resource

from contracts.jobs import JobAnswer
from contracts.ml_model import SetModelAnswer
from contracts.tracking import ModelManagementRequest, OptimizationAnswer, OptimizationRequest
from jobkit.controller.jobs import job_answer
from servicekit.api import endpoint
from tracking.service.optimization import OptimizationService
from tracking.service.search_requests import SearchRequests
from tracking.service.setting import SettingService

EXAMPLE = {
    "request_information": "optimization",
    "experiment_name": "wine_test",
    "experiment_description": "First look at the wines",
    "experiment_owner": "Ada",
    "models": ["LogisticRegression"],
    "hyperparameters": {"LogisticRegression": {"C": [0.1, 1], "solver": ["liblinear"]}},
    "scoring": "accuracy",
    "cv": 5,
}


class ModelManagementResource(Resource):  # type: ignore[misc]
    """Search models; set what a search found."""

    def __init__(
        self,
        optimization: OptimizationService,
        searches: SearchRequests,
        setting: SettingService,
    ) -> None:
        self._optimization = optimization
        self._searches = searches
        self._setting = setting

    @endpoint(
        summary="Search hyperparameters ('optimization') or set a run's model ('setting')",
        body=ModelManagementRequest,
        answers={200: SetModelAnswer, 201: OptimizationAnswer, 202: JobAnswer},
        errors=(400, 404, 409, 422),
        example=EXAMPLE,
    )
    def post(self, body: Any) -> tuple[OptimizationAnswer | JobAnswer, int] | Response:
        """`optimization` answers 201, with `"wait": false` 202 and the job that searches;
        `setting` what the ML service answers, with its status.
        """
        if isinstance(body, OptimizationRequest):
            if not body.wait:
                return job_answer(self._searches.submit(body)), 202
            return self._optimization.optimize(body), 201
        relayed = self._setting.set_model(body)
        return make_response(jsonify(relayed.body), relayed.status)
