"""A model version as it is served: bytes, columns and classes, and what predicts with them.

A form is made once, when a version is prepared (`modelkit.serving_form_making`), and holds all
that a worker needs: neither MLflow nor, for the runtime onnx, scikit-learn is imported to predict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from modelkit.input_rows import ColumnType, InputColumn, InputRows, InvalidRows

__all__ = [
    "ColumnType",
    "InputColumn",
    "InvalidRows",
    "Predicted",
    "ServableModel",
    "ServingForm",
]

Runtime = Literal["onnx", "sklearn"]
Rows = NDArray[np.float64] | list[list[Any]]

MATRIX_INPUT = "rows"
"""Name of the input (n, k) of an ONNX graph that takes all columns at once; any other graph has
one input (n, 1) per column, in their order."""

MISSING_TEXT = "\0"
"""What a graph takes for a missing text, for which ONNX has no value. No text holds it: neither
PostgreSQL nor `InputRows` let it pass."""

MOST_ROWS_AT_ONCE = 2_000
"""Bounds what a graph needs for its steps: neighbours hold a number per row and training row."""


@dataclass(frozen=True)
class ServingForm:
    """What is stored of a version that can be served.

    Parameters
    ----------
    runtime : what predicts: onnxruntime, or scikit-learn where ONNX is not equal.
    content : the ONNX graph, or the pipeline in skops' format.
    columns : the inputs, in the order of the model.
    task : classification or regression.
    classes : the labels as JSON values, in the order of the probabilities; empty for regression.
    class_names : names for people, parallel to `classes`; the classes as text where none are known.
    parity : the comparison of ONNX with scikit-learn, see `modelkit.parity`.
    """

    runtime: Runtime
    content: bytes
    columns: tuple[InputColumn, ...]
    task: str
    classes: tuple[Any, ...]
    class_names: tuple[str, ...]
    parity: Mapping[str, Any]


@dataclass(frozen=True)
class Predicted:
    """Predictions of n rows.

    `labels` are n of the form's classes, or n floats for regression; `probabilities` (n, c)
    float64 in the order of the classes, None where the model has none.
    """

    labels: list[Any]
    probabilities: NDArray[np.float64] | None


class ServableModel:
    """Predicts with a serving form. Safe for threads; predictions of threads run in parallel."""

    def __init__(self, form: ServingForm) -> None:
        """Load the form's content.

        Raises
        ------
        modelkit.storage.ModelNotTrusted
            The pipeline of a form of the runtime sklearn holds types beyond our list.
        """
        self.runtime = form.runtime
        self.columns = form.columns
        self.task = form.task
        self.classes = form.classes
        self.class_names = form.class_names
        self.name_of = dict(zip(form.classes, form.class_names, strict=True))
        self.parity = form.parity
        self._input_rows = InputRows(form.columns)
        self.numeric = self._input_rows.numeric
        self.rows_from_lists = self._input_rows.from_lists
        self.rows_from_records = self._input_rows.from_records
        self.json_rows = self._input_rows.as_json
        runner = OnnxRunner if form.runtime == "onnx" else _sklearn_runner
        self.predict = runner(form).predict


def columns_to_json(columns: Sequence[InputColumn]) -> list[dict[str, Any]]:
    """Return columns as JSON."""
    return [asdict(column) for column in columns]


def columns_from_json(items: Sequence[Mapping[str, Any]]) -> tuple[InputColumn, ...]:
    """Return what `columns_to_json` gave."""
    return tuple(
        InputColumn(
            name=item["name"],
            type=item["type"],
            required=item["required"],
            categories=None if item["categories"] is None else tuple(item["categories"]),
        )
        for item in items
    )


class OnnxRunner:
    """Predicts by onnxruntime, in the calling thread alone."""

    def __init__(self, form: ServingForm) -> None:
        # Here alone: 0.1 s and 20 MB that only a process that serves needs to pay.
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Requests run side by side already; a pool of threads per request would only slow them.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # One large batch must not hold its memory for good; single rows are no slower without.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            form.content, options, providers=["CPUExecutionProvider"]
        )
        # What `session.run` calls after checks of its own, which take 4 us of 16.
        self._run = session._sess.run
        inputs = session.get_inputs()
        outputs = [output.name for output in session.get_outputs()]
        # Scores that are no probabilities are left out when the graph is made.
        self._outputs = outputs[:2]
        self._matrix = [item.name for item in inputs] == [MATRIX_INPUT]
        self._names = [item.name for item in inputs]
        self._dtypes = [_DTYPES[item.type] for item in inputs]
        self._double = self._matrix and self._dtypes[0] is np.float64
        self._regression = form.task == "regression"
        # A class may be 1.0 or true where the graph says 1.
        self._label_of = {label: label for label in form.classes}

    def predict(self, rows: Rows) -> Predicted:
        """Predict rows that `InputRows` checked."""
        if len(rows) <= MOST_ROWS_AT_ONCE:
            return self._predict(rows)
        starts = range(0, len(rows), MOST_ROWS_AT_ONCE)
        parts = [self._predict(rows[start : start + MOST_ROWS_AT_ONCE]) for start in starts]
        probabilities = [part.probabilities for part in parts if part.probabilities is not None]
        return Predicted(
            [label for part in parts for label in part.labels],
            np.concatenate(probabilities) if probabilities else None,
        )

    def _predict(self, rows: Rows) -> Predicted:
        if self._double:
            feed: dict[str, Any] = {MATRIX_INPUT: rows}
        elif self._matrix:
            feed = {MATRIX_INPUT: np.asarray(rows, self._dtypes[0])}
        else:
            feed = self._columns(rows)
        answer = self._run(self._outputs, feed, None)
        if self._regression:
            return Predicted(answer[0].ravel().tolist(), None)
        label_of = self._label_of
        labels = [label_of[label] for label in answer[0].ravel().tolist()]
        if len(answer) == 1:
            return Predicted(labels, None)
        return Predicted(labels, answer[1].astype(np.float64, copy=False))

    def _columns(self, rows: Rows) -> dict[str, Any]:
        if isinstance(rows, np.ndarray):
            values: Any = rows.T
        else:
            values = list(zip(*rows, strict=True))
        return {
            name: np.asarray(_marked(column) if dtype is np.object_ else column, dtype).reshape(
                -1, 1
            )
            for name, dtype, column in zip(self._names, self._dtypes, values, strict=True)
        }


def _marked(texts: Sequence[str | None]) -> list[str]:
    return [MISSING_TEXT if text is None else text for text in texts]


_DTYPES: Mapping[str, Any] = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


def _sklearn_runner(form: ServingForm) -> Any:
    # scikit-learn is imported by the workers that serve such a model only.
    from modelkit.sklearn_runner import runner_of

    return runner_of(form)
