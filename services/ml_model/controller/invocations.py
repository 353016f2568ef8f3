"""MLflow's scoring protocol: what `mlflow models serve` answers, from the slots."""

from typing import Any

from flask import Response, request
from flask_restful import Resource

from contracts.predictions import InvocationsRequest, PredictionsAnswer
from ml_model.controller.hot_predict import ROUTING_KEY_HEADER
from ml_model.controller.prediction_answers import as_bytes, rows_answer
from ml_model.service.prediction import PredictionService
from ml_model.service.protocol_rows import rows_of_invocation
from servicekit.api import endpoint
from servicekit.telemetry import request_id
from servicekit.version import VERSION


class InvocationsResource(Resource):  # type: ignore[misc]
    """`POST /invocations`."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    @endpoint(
        summary="Predict by MLflow's scoring protocol",
        body=InvocationsRequest,
        # MLflow's own client writes the gaps of a DataFrame so.
        nan_is_null=True,
        answers={200: PredictionsAnswer},
        errors=(400, 409, 422),
        example={
            "dataframe_split": {
                "data": [
                    [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]
                ]
            }
        },
    )
    def post(self, body: InvocationsRequest) -> Response:
        """The forms `dataframe_split`, `dataframe_records`, `instances` and `inputs`; the answer
        has MLflow's `predictions` and all that `POST /predict` answers. JSON only, no CSV; NaN
        is taken as null. The routing key is the header X-Routing-Key.
        """
        answer = self._predictions.predict(
            rows_of_invocation(body),
            request_id(),
            routing_key=request.headers.get(ROUTING_KEY_HEADER),
        )
        return Response(as_bytes(rows_answer(answer)), mimetype="application/json")


class PingResource(Resource):  # type: ignore[misc]
    """`GET /ping`."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    @endpoint(summary="MLflow's health check: a model serves", answers={200: None})
    def get(self) -> Any:
        """An empty line with 200 while a slot holds a model, else 503."""
        self._predictions.check()
        return Response("\n", mimetype="application/json")


class VersionResource(Resource):  # type: ignore[misc]
    """`GET /version`."""

    @endpoint(summary="The version of the server, as MLflow's protocol has it", answers={200: None})
    def get(self) -> Any:
        """Cellar's version as plain text."""
        return Response(VERSION, mimetype="text/plain")
