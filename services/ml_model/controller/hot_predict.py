"""`POST /predict` without Flask, for what is asked most: rows of numbers.

Takes `{"data": [[...]]}` and `{"features": [...]}` and nothing else; whatever is unusual is left to
the Flask endpoint (`ml_model.controller.predict`), which answers the same and explains errors.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson

from contracts.predictions import MOST_ROWS
from ml_model.controller.prediction_answers import as_bytes, row_answer, rows_answer
from ml_model.errors import PredictionFailed
from ml_model.prediction_metrics import PredictionMetrics
from ml_model.service.prediction import PredictionService
from servicekit.api import error_response, status_of
from servicekit.async_gateway import HotAnswer, HotRoutes
from servicekit.telemetry import REQUEST_ID_HEADER

ROUTING_KEY_HEADER = "X-Routing-Key"
_HEADER = REQUEST_ID_HEADER.lower()
_ROUTING_HEADER = ROUTING_KEY_HEADER.lower()


def quick_rows(body: bytes) -> tuple[str, list[Any]] | None:
    """Return the one key and the rows of a body of numbers, None where it is anything else."""
    # Two quotation marks: one key, no text, and no key twice.
    if body.count(b'"') != 2:
        return None
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict):
        return None
    data = content.get("data")
    if isinstance(data, list) and 0 < len(data) <= MOST_ROWS:
        return "data", data
    features = content.get("features")
    if isinstance(features, list):
        return "features", [features]
    return None


class HotPredict:
    """The hot route and what it needs of its worker."""

    def __init__(self, predictions: PredictionService, metrics: PredictionMetrics) -> None:
        self._predictions = predictions
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop | None = None

    def routes(self, stop: Callable[[], None]) -> HotRoutes:
        """Return what `servicekit.async_gateway` serves on the event loop; `stop` ends a worker."""
        return HotRoutes({("POST", "/predict"): self.answer}, start=self._start, stop=stop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def answer(self, headers: Any, body: bytes, request_id: str) -> HotAnswer | None:
        """Answer a request, or leave it to Flask."""
        began_s = time.perf_counter()
        if self._loop is None or not is_json(headers.get("content-type")):
            return None
        given = quick_rows(body)
        if given is None:
            return None
        key, rows = given
        status = 200
        try:
            answer = await self._predictions.predict_hot(
                rows, request_id, headers.get(_ROUTING_HEADER), self._loop
            )
            if answer is None:
                return None
            content = as_bytes(rows_answer(answer) if key == "data" else row_answer(answer))
        except PredictionFailed as error:
            status = status_of(error)
            content = error_response(status, error.error, error.message).get_data()
        self._metrics.hot_request(status, time.perf_counter() - began_s)
        return HotAnswer(
            status, [("content-type", "application/json"), (_HEADER, request_id)], content
        )


def is_json(content_type: str | None) -> bool:
    """Tell whether a body is declared as JSON in the plainest way."""
    return content_type is not None and (
        content_type == "application/json" or content_type.startswith("application/json;")
    )
