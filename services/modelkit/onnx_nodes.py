"""ONNX nodes for the estimators that skl2onnx does not know, or knows in float32 only.

In float64, and added up in scikit-learn's own order, so that the graph gives scikit-learn's own
numbers. Of skl2onnx's two kinds of functions, `..._shapes` says what an estimator's outputs are,
the other writes its nodes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from modelkit.linear import LogisticRegression

_NO_ZIPMAP = {"zipmap": [True, False]}


def register() -> None:
    """Make skl2onnx use the nodes of this module, in this process."""
    update_registered_converter(SimpleImputer, "CellarImputer", _same_shape, _imputer)
    for estimator in (SklearnLogisticRegression, LogisticRegression):
        update_registered_converter(
            estimator, "CellarLogistic", _classifier_shapes, _logistic, options=_NO_ZIPMAP
        )


class Nodes:
    """Writes the nodes of one operator."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.estimator = operator.raw_operator
        self._scope = scope
        self._operator = operator
        self._container = container
        if len(operator.inputs) != 1:
            raise NotImplementedError("Several inputs.")
        self.input = operator.inputs[0].full_name
        self.outputs = [output.full_name for output in operator.outputs]
        if not isinstance(operator.inputs[0].type, DoubleTensorType):
            self.input = self("Cast", self.input, to=TensorProto.DOUBLE)

    def __call__(self, op_type: str, *inputs: str, output: str | None = None, **more: Any) -> str:
        """Add a node and return the name of its output."""
        name = output or self._scope.get_unique_variable_name(op_type.lower())
        self._container.add_node(
            op_type,
            list(inputs),
            [name],
            name=self._scope.get_unique_operator_name(op_type),
            **more,
        )
        return name

    def constant(self, values: Any) -> str:
        """Add an array of float64, int64 or text and return its name."""
        array = np.asarray(values)
        name: str = self._scope.get_unique_variable_name("constant")
        if array.dtype.kind == "f":
            kind = TensorProto.DOUBLE
        else:
            kind = TensorProto.INT64 if array.dtype.kind in "iu" else TensorProto.STRING
        self._container.add_initializer(name, kind, array.shape, array.ravel().tolist())
        return name

    def labels(self, index: str) -> None:
        """Make the output of labels from each row's index (n,) into the classes."""
        classes = _classes(self.estimator)
        if np.array_equal(classes, np.arange(len(classes))):
            self("Identity", index, output=self.outputs[0])
        else:
            self("Gather", self.constant(classes), index, axis=0, output=self.outputs[0])


def _classes(estimator: Any) -> NDArray[Any]:
    """Return the classes as int64 or text, which are the labels that ONNX has."""
    classes = np.asarray(estimator.classes_)
    if classes.ndim == 1 and classes.dtype.kind in "iub":
        return classes.astype(np.int64)
    texts = classes.ndim == 1 and all(isinstance(label, str) for label in classes.tolist())
    if not texts:
        raise NotImplementedError(f"Classes of the type {classes.dtype}.")
    return classes


def _same_shape(operator: Any) -> None:
    taken = operator.inputs[0].type
    operator.outputs[0].type = DoubleTensorType(taken.shape)


def _classifier_shapes(operator: Any) -> None:
    count = operator.inputs[0].get_first_dimension()
    classes = _classes(operator.raw_operator)
    label = Int64TensorType if classes.dtype.kind == "i" else StringTensorType
    operator.outputs[0].type = label([count])
    operator.outputs[1].type = DoubleTensorType([count, len(classes)])


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)
    imputer = nodes.estimator
    statistics = np.asarray(imputer.statistics_, dtype=np.float64)
    missing_is_nan = isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)
    if imputer.add_indicator or not missing_is_nan or np.isnan(statistics).any():
        raise NotImplementedError("An imputer that adds or drops columns, or replaces a number.")
    missing = nodes("IsNaN", nodes.input)
    nodes("Where", missing, nodes.constant(statistics[None]), nodes.input, output=nodes.outputs[0])


def _logistic(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)
    model = nodes.estimator
    product = nodes("MatMul", nodes.input, nodes.constant(model.coef_.T.astype(np.float64)))
    intercept = np.broadcast_to(model.intercept_, (len(model.coef_),)).astype(np.float64)
    scores = nodes("Add", product, nodes.constant(intercept[None]))
    if len(model.classes_) == 2:
        # One score s: class 1 from s > 0 on, with the probability 1 / (1 + e^-s).
        last = nodes("Sigmoid", scores)
        first = nodes("Sub", nodes.constant([[1.0]]), last)
        nodes("Concat", first, last, axis=1, output=nodes.outputs[1])
        positive = nodes("Greater", scores, nodes.constant([[0.0]]))
        index = nodes("Cast", positive, to=TensorProto.INT64)
        nodes.labels(nodes("Reshape", index, nodes.constant([-1])))
        return
    if model.solver == "liblinear":
        own = nodes("Sigmoid", scores)
        total = nodes("ReduceSum", own, nodes.constant([1]), keepdims=1)
        nodes("Div", own, total, output=nodes.outputs[1])
    else:
        nodes("Softmax", scores, axis=1, output=nodes.outputs[1])
    nodes.labels(nodes("ArgMax", scores, axis=1, keepdims=0))
