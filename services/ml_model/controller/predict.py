"""`/predict`: every accepted form; the hot route answers the commonest before it gets here."""

from typing import Any

from flask import Response, request
from flask_restful import Resource

from contracts.predictions import (
    PredictionAnswer,
    PredictionsAnswer,
    PredictRequest,
    SmokeAnswer,
)
from ml_model.controller.hot_predict import ROUTING_KEY_HEADER, is_json, quick_rows
from ml_model.controller.prediction_answers import as_bytes, row_answer, rows_answer
from ml_model.service.prediction import PredictionService, ReadRows
from servicekit.api import endpoint
from servicekit.telemetry import request_id


class PredictResource(Resource):  # type: ignore[misc]
    """`GET` and `POST /predict`."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    def dispatch_request(self, *args: Any, **kwargs: Any) -> Any:
        """Answer rows of numbers without the longer way through validation, which costs as much
        as predicting and storing a large batch; everything else goes that way."""
        if request.method == "POST" and is_json(request.content_type):
            given = quick_rows(request.get_data())
            if given is not None:
                key, rows = given
                return self._answer(
                    lambda model: model.rows_from_lists(rows, path=key, single=key == "features"),
                    single=key == "features",
                )
        return super().dispatch_request(*args, **kwargs)

    @endpoint(summary="A constant, for smoke tests", answers={200: SmokeAnswer})
    def get(self) -> SmokeAnswer:
        """Answers without a model."""
        return SmokeAnswer()

    @endpoint(
        summary="Predict rows with what serves",
        body=PredictRequest,
        answers={200: PredictionsAnswer | PredictionAnswer},
        errors=(400, 409, 422),
        example={
            "data": [[13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]]
        },
    )
    def post(self, body: PredictRequest) -> Response:
        """The split decides which slot answers, or the routing key, always alike. The prediction
        is committed to the prediction log before it is answered. A request id that was answered
        before with the same rows gets the same answer, and is logged once. 400 names row and
        column; 503 while no slot holds a model, or while the log cannot be written.
        """
        if body.features is not None:
            features = body.features
            return self._answer(
                lambda model: model.rows_from_lists([features], path="features", single=True),
                routing_key=body.routing_key,
                single=True,
            )
        if body.data is not None:
            data = body.data
            return self._answer(
                lambda model: model.rows_from_lists(data), routing_key=body.routing_key
            )
        single = isinstance(body.records, dict)
        records: Any = [body.records] if single else body.records
        return self._answer(
            lambda model: model.rows_from_records(records, single=single),
            routing_key=body.routing_key,
        )

    def _answer(
        self,
        read: ReadRows,
        *,
        routing_key: str | None = None,
        single: bool = False,
    ) -> Response:
        answer = self._predictions.predict(
            read,
            request_id(),
            routing_key=routing_key or request.headers.get(ROUTING_KEY_HEADER),
        )
        content = row_answer(answer) if single else rows_answer(answer)
        return Response(as_bytes(content), mimetype="application/json")
