"""The Open Inference Protocol, version 2: health, metadata and inference of what serves."""

from typing import Any

from flask import request
from flask_restful import Resource

from contracts.predictions import (
    V2InferAnswer,
    V2InferRequest,
    V2LiveAnswer,
    V2MetadataTensor,
    V2ModelAnswer,
    V2OutputTensor,
    V2ReadyAnswer,
    V2ServerAnswer,
)
from ml_model.controller.hot_predict import ROUTING_KEY_HEADER
from ml_model.errors import BinaryTensors
from ml_model.service.prediction import Answer, PredictionService
from ml_model.service.protocol_rows import rows_of_v2
from ml_model.service.serving_state import LoadedVersion
from servicekit.api import endpoint
from servicekit.telemetry import acceptable_request_id, request_id
from servicekit.version import VERSION

BINARY_HEADER = "Inference-Header-Content-Length"

_TYPES = {
    "double": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "string": "BYTES",
    "datetime": "BYTES",
}


class V2ServerResource(Resource):  # type: ignore[misc]
    """`GET /v2`."""

    @endpoint(summary="Server metadata (Open Inference Protocol)", answers={200: V2ServerAnswer})
    def get(self) -> V2ServerAnswer:
        """Name, version and extensions; there are none."""
        return V2ServerAnswer(version=VERSION, extensions=[])


class V2LiveResource(Resource):  # type: ignore[misc]
    """`GET /v2/health/live`."""

    @endpoint(summary="Liveness (Open Inference Protocol)", answers={200: V2LiveAnswer})
    def get(self) -> V2LiveAnswer:
        """Answers as long as the process does."""
        return V2LiveAnswer()


class V2ReadyResource(Resource):  # type: ignore[misc]
    """`GET /v2/health/ready`."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    @endpoint(summary="Readiness (Open Inference Protocol)", answers={200: V2ReadyAnswer})
    def get(self) -> V2ReadyAnswer:
        """200 while a slot holds a model, else 503."""
        self._predictions.check()
        return V2ReadyAnswer()


class V2ModelResource(Resource):  # type: ignore[misc]
    """`GET /v2/models/<name>[/versions/<version>]`."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    @endpoint(
        summary="A serving model's metadata (Open Inference Protocol)",
        answers={200: V2ModelAnswer},
        errors=(404,),
    )
    def get(self, model_name: str, model_version: str | None = None) -> V2ModelAnswer:
        """The models of the slots by their registered name; 404 for any other."""
        found = self._predictions.serving_versions(model_name, model_version)
        model = found[0].model
        return V2ModelAnswer(
            name=model_name,
            versions=[str(item.version) for item in found],
            platform="onnx_onnxv1" if model.runtime == "onnx" else "sklearn",
            inputs=[
                V2MetadataTensor(name=column.name, datatype=_TYPES[column.type], shape=[-1, 1])
                for column in model.columns
            ],
            outputs=[
                V2MetadataTensor(name="predict", datatype=_label_type(found[0]), shape=[-1, 1]),
                *(
                    [
                        V2MetadataTensor(
                            name="predict_proba", datatype="FP64", shape=[-1, len(model.classes)]
                        )
                    ]
                    if model.task == "classification"
                    else []
                ),
            ],
        )


class V2ModelReadyResource(Resource):  # type: ignore[misc]
    """`GET /v2/models/<name>[/versions/<version>]/ready`."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    @endpoint(
        summary="Whether a model serves (Open Inference Protocol)",
        answers={200: V2ReadyAnswer},
        errors=(404,),
    )
    def get(self, model_name: str, model_version: str | None = None) -> V2ReadyAnswer:
        """200 if a slot holds it, else 404."""
        self._predictions.serving_versions(model_name, model_version)
        return V2ReadyAnswer(name=model_name)


class V2InferResource(Resource):  # type: ignore[misc]
    """`POST /v2/models/<name>[/versions/<version>]/infer`."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    def dispatch_request(self, *args: Any, **kwargs: Any) -> Any:
        """Name the binary extension, which is not spoken here, before its body fails as JSON."""
        if BINARY_HEADER in request.headers:
            raise BinaryTensors()
        return super().dispatch_request(*args, **kwargs)

    @endpoint(
        summary="Predict by the Open Inference Protocol",
        body=V2InferRequest,
        # Triton's clients declare none, or this one.
        json_types=("", "application/octet-stream"),
        answers={200: V2InferAnswer},
        errors=(404, 409, 422),
        example={
            "inputs": [
                {
                    "name": "rows",
                    "shape": [1, 13],
                    "datatype": "FP64",
                    "data": [
                        13.2,
                        1.78,
                        2.14,
                        11.2,
                        100,
                        2.65,
                        2.76,
                        0.26,
                        1.28,
                        4.38,
                        1.05,
                        3.4,
                        1050,
                    ],
                }
            ]
        },
    )
    def post(
        self, body: V2InferRequest, model_name: str, model_version: str | None = None
    ) -> V2InferAnswer:
        """One input of shape (n, columns), or one of shape (n) or (n, 1) per column. Where both
        slots hold the model, and no version is named, the split decides, or the routing key in the
        header X-Routing-Key. `id`, else X-Request-ID,
        is the request id of the prediction log.
        """
        found = self._predictions.serving_versions(model_name, model_version)
        answer = self._predictions.predict(
            rows_of_v2(body),
            acceptable_request_id(body.id) or request_id(),
            routing_key=request.headers.get(ROUTING_KEY_HEADER),
            only=found[0] if len(found) == 1 else None,
        )
        return _infer_answer(answer, body)


def _infer_answer(answer: Answer, body: V2InferRequest) -> V2InferAnswer:
    rows = len(answer.labels)
    outputs = [
        V2OutputTensor(
            name="predict",
            shape=[rows, 1],
            datatype=_label_type(answer.version),
            data=list(answer.labels),
        )
    ]
    if answer.probabilities is not None:
        shares: list[Any] = [share for row in answer.probabilities for share in row]
        outputs.append(
            V2OutputTensor(
                name="predict_proba",
                shape=[rows, len(shares) // rows],
                datatype="FP64",
                data=shares,
            )
        )
    if body.outputs:
        wanted = {item.name for item in body.outputs}
        outputs = [item for item in outputs if item.name in wanted]
    return V2InferAnswer(
        model_name=answer.version.registered_name,
        model_version=str(answer.version.version),
        id=body.id or answer.request_id,
        outputs=outputs,
        parameters={
            "model_used": answer.slot,
            "class_names": list(answer.version.model.class_names),
            "request_id": answer.request_id,
            "logged": answer.logged,
        },
    )


def _label_type(version: LoadedVersion) -> str:
    model = version.model
    if model.task != "classification":
        return "FP64"
    if all(isinstance(label, bool) for label in model.classes):
        return "BOOL"
    if all(isinstance(label, int) for label in model.classes):
        return "INT64"
    return "FP64" if all(isinstance(label, int | float) for label in model.classes) else "BYTES"
