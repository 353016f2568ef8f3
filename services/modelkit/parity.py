"""Makes serving forms: ONNX where it equals scikit-learn on held-out rows, else scikit-learn."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import is_regressor

from modelkit import storage
from modelkit.drawn_rows import unlucky_rows
from modelkit.input_rows import InputColumn
from modelkit.servable import OnnxRunner, Predicted, Rows, Runtime, ServingForm
from modelkit.sklearn_runner import SklearnRunner

log = logging.getLogger(__name__)

PROBABILITY_BOUND = 1e-5
"""Largest difference that is taken: of a probability; of a regression's number, as a share of the
deviation of such numbers, so that it depends neither on the unit nor on how far from 0 they are."""


def make_serving_form(
    pipeline: Any,
    columns: Sequence[InputColumn],
    held_out_rows: Rows,
    class_names: Sequence[str] | None,
    source: str,
) -> ServingForm:
    """Return the form in which a fitted pipeline is served.

    Parameters
    ----------
    pipeline : a fitted scikit-learn pipeline or estimator.
    columns : its inputs in order.
    held_out_rows : rows to compare on, at least one: float64 (n, k) where all columns are
        numeric, else lists of values, to which gaps and new texts are added unless the pipeline
        refuses them.
    class_names : names for people, parallel to the pipeline's classes; None: the classes as text.
    source : where the rows come from, in words.

    The form's parity report: `runtime`, `rows`, `source`, `label_mismatches` and
    `max_probability_difference` of ONNX against scikit-learn (null where there is no graph),
    `bound`, `precision` of the graph and the `reason` where scikit-learn was chosen.

    Raises
    ------
    ValueError
        The pipeline refuses the rows.
    """
    task = "regression" if is_regressor(pipeline) else "classification"
    classes = () if task == "regression" else tuple(np.asarray(pipeline.classes_).tolist())
    rows, expected = _expected(SklearnRunner(pipeline, columns, task), columns, held_out_rows)
    parity: dict[str, Any] = {
        "runtime": "sklearn",
        "rows": len(rows),
        "source": source,
        "label_mismatches": None,
        "max_probability_difference": None,
        "bound": PROBABILITY_BOUND,
        "precision": None,
        "reason": None,
    }

    def form(runtime: Runtime, content: bytes) -> ServingForm:
        names = tuple(map(str, classes if class_names is None else class_names))
        return ServingForm(
            runtime, content, tuple(columns), task, classes, names, {**parity, "runtime": runtime}
        )

    reasons: dict[str, str] = {}
    for precision in ("float64", "float32"):
        try:
            by_onnx, given = _graph(form, pipeline, columns, precision, rows)
        except _NoGraph as error:
            reasons[precision] = str(error)
            continue
        mismatches, difference = _compare(expected, given, task)
        parity.update(
            label_mismatches=mismatches,
            max_probability_difference=difference,
            precision=precision,
        )
        if mismatches == 0 and (difference is None or difference <= PROBABILITY_BOUND):
            parity["reason"] = None
            return form("onnx", by_onnx.content)
        reasons[precision] = "ONNX predicts otherwise"
    parity["reason"] = _joined(reasons)
    return form("sklearn", storage.dumps(pipeline))


def _expected(
    runner: SklearnRunner, columns: Sequence[InputColumn], rows: Rows
) -> tuple[Rows, Predicted]:
    """Return the rows to compare on, and what scikit-learn says of them."""
    if isinstance(rows, list):
        more = [*rows, *unlucky_rows(columns, rows)]
        try:
            return more, runner.predict(more)
        # Whatever the model's own code raises, e.g. on a text that it does not know.
        except Exception as error:  # noqa: BLE001
            log.info("Gaps and new texts are not compared: %s", _shortened(error))
    return rows, runner.predict(rows)


class _NoGraph(Exception):
    """There is no graph, or onnxruntime does not run it."""


def _graph(
    form: Any, pipeline: Any, columns: Sequence[InputColumn], precision: str, rows: Rows
) -> tuple[ServingForm, Predicted]:
    from modelkit.onnx_conversion import NotConvertible, to_onnx

    try:
        made = form("onnx", to_onnx(pipeline, columns, double=precision == "float64"))
        return made, OnnxRunner(made).predict(rows)
    except NotConvertible as error:
        raise _NoGraph(_shortened(error)) from error
    # onnxruntime's exceptions have no public base class.
    except Exception as error:
        raise _NoGraph(_shortened(error)) from error


def _compare(expected: Predicted, given: Predicted, task: str) -> tuple[int, float | None]:
    if task == "regression":
        own, other = np.asarray(expected.labels), np.asarray(given.labels)
        usual = float(np.std(own) or np.mean(np.abs(own)) or 1.0)
        return 0, float(np.max(np.abs(own - other)) / usual)
    mismatches = sum(a != b for a, b in zip(expected.labels, given.labels, strict=True))
    if expected.probabilities is None or given.probabilities is None:
        return mismatches, None
    return mismatches, float(np.max(np.abs(expected.probabilities - given.probabilities)))


def _joined(reasons: Mapping[str, str]) -> str:
    """Return the reasons by precision in one text; a reason that both have is said once."""
    if len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return "; ".join(f"{precision}: {text}" for precision, text in reasons.items())


def _shortened(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}…"
