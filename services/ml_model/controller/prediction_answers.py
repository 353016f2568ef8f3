"""Prediction answers as JSON: one rendering for every way in."""

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from ml_model.service.prediction import Answer


def rows_answer(answer: "Answer") -> dict[str, Any]:
    """Return the answer to `data` and `records`."""
    return {
        "predictions": answer.labels,
        "model_used": answer.slot,
        "prediction_names": answer.names,
        "probabilities": answer.probabilities,
        **_common(answer),
    }


def row_answer(answer: "Answer") -> dict[str, Any]:
    """Return the answer to `features`: one row without lists around it."""
    shares = answer.probabilities[0] if answer.probabilities is not None else None
    return {
        "prediction": answer.labels[0],
        "prediction_name": answer.names[0] if answer.names is not None else None,
        "confidence": None if shares is None else max(shares),
        "probabilities": shares,
        "model_used": answer.slot,
        **_common(answer),
    }


def as_bytes(content: dict[str, Any]) -> bytes:
    """Serialise; a NaN becomes null."""
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def _common(answer: "Answer") -> dict[str, Any]:
    version = answer.version
    return {
        "class_names": version.model.class_names,
        "registered_model_name": version.registered_name,
        "model_version": str(version.version),
        "request_id": answer.request_id,
        "logged": answer.logged,
    }
