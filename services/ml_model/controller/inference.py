"""`/inference`, `/evaluate` and `/data-drift`."""

from flask import Response
from flask_restful import Resource

from contracts.drift import DriftAnswer, DriftRequest
from contracts.inference import (
    DriftOutcome,
    EvaluateAnswer,
    EvaluateRequest,
    InferenceAnswer,
    InferenceRequest,
)
from ml_model.service.drift_forwarding import DriftForwarding
from ml_model.service.evaluation import EvaluationService
from ml_model.service.inference import InferenceService
from servicekit.api import endpoint
from servicekit.telemetry import request_id

WINE_ROW = [13.2, 1.78, 2.14, 11.2, 100.0, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050.0]


class InferenceResource(Resource):  # type: ignore[misc]
    """`POST /inference`."""

    def __init__(self, inference: InferenceService) -> None:
        self._inference = inference

    @endpoint(
        summary="Predict a batch with a model version, and check it for drift",
        body=InferenceRequest,
        answers={200: InferenceAnswer},
        errors=(404, 409, 422),
        example={"data": [WINE_ROW]},
    )
    def post(self, body: InferenceRequest) -> InferenceAnswer:
        """Every input and prediction is stored with name and version before the answer, and with
        the run `infer_<time>`. `drift` is monitoring's check against the version's drift sample;
        without monitoring or MLflow the predictions are answered all the same.
        """
        found = self._inference.infer(body.data, body.registered_model_name, body.model_version)
        model, drift = found.version.model, found.drift
        return InferenceAnswer(
            predictions=list(found.labels),
            prediction_names=None if found.names is None else list(found.names),
            probabilities=None
            if found.probabilities is None
            else [list(row) for row in found.probabilities],
            classes=list(model.classes),
            class_names=list(model.class_names),
            registered_model_name=found.version.named.registered_name,
            model_version=str(found.version.named.version),
            rows=len(found.labels),
            drift=DriftOutcome.model_validate(
                {
                    "status": drift.status,
                    "drift": None if drift.check is None else drift.check["drift"],
                    "message": drift.message,
                    "check": drift.check,
                }
            ),
            request_id=request_id(),
            run_id=found.run.id,
            run_name=found.run.name,
            notes=found.run.notes,
        )


class EvaluateResource(Resource):  # type: ignore[misc]
    """`POST /evaluate`."""

    def __init__(self, evaluation: EvaluationService) -> None:
        self._evaluation = evaluation

    @endpoint(
        summary="Measure a model version on labelled rows or a stored set",
        body=EvaluateRequest,
        answers={200: EvaluateAnswer},
        errors=(404, 409, 422),
        example={"dataset_name": "wine", "dataset": "testing"},
    )
    def post(self, body: EvaluateRequest) -> EvaluateAnswer:
        """The run `eval_<time>` keeps metrics, rows and predictions; a failure is a FAILED run with
        its traceback. A set that is not loaded is loaded. Of more than 10,000 rows the run keeps a
        sample. A set of more than 50,000 is measured part by part: `notes` say how exact what
        needs all rows at once then is.
        """
        found = self._evaluation.evaluate(body)
        load = found.load
        dataset = None if load is None else load.dataset
        return EvaluateAnswer(
            metrics=found.metrics,
            rows=found.rows,
            task=found.version.model.task,
            registered_model_name=found.version.named.registered_name,
            model_version=str(found.version.named.version),
            dataset_name=dataset.name if dataset else None,
            dataset_version=dataset.version if dataset else None,
            dataset=load.set_name if load else None,
            run_id=found.run.id,
            run_name=found.run.name,
            notes=[*found.notes, *found.run.notes],
        )


class DataDriftResource(Resource):  # type: ignore[misc]
    """`POST /data-drift`."""

    def __init__(self, drift: DriftForwarding) -> None:
        self._drift = drift

    @endpoint(
        summary="Monitoring's drift check, passed on",
        body=DriftRequest,
        answers={200: DriftAnswer},
        errors=(404, 409),
        example={"data": [[1.0], [2.0], [3.0]], "reference": [[1.0], [2.0], [3.0], [4.0]]},
    )
    def post(self, body: DriftRequest) -> Response:
        """Status and body are monitoring's own; 503 where it does not answer."""
        status, content = self._drift.forward(body.model_dump(exclude_unset=True))
        return Response(content, status=status, mimetype="application/json")
