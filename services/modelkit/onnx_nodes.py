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
from skl2onnx._parse import _parse_sklearn_simple_model
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import ElasticNet, Lasso, Ridge
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelkit.linear import LogisticRegression
from modelkit.onnx_trees import in_two_parts, tree_attributes, trees_of_boosting, trees_of_forest

MOST_NEIGHBOURS = 10_000
"""The graph looks at every training row, where scikit-learn's trees of many rows look at few."""


def register() -> None:
    """Make skl2onnx use the nodes of this module, in this process."""
    for nodes, estimators in (
        (_logistic, (SklearnLogisticRegression, LogisticRegression)),
        (_linear_scores, (LinearSVC,)),
        (_forest, (DecisionTreeClassifier, RandomForestClassifier, ExtraTreesClassifier)),
        (_boosting, (HistGradientBoostingClassifier,)),
        (_neighbours, (KNeighborsClassifier,)),
    ):
        for estimator in estimators:
            # With the module: two estimators are called LogisticRegression.
            alias = f"Cellar{estimator.__module__}.{estimator.__name__}"
            update_registered_converter(
                estimator, alias, _classifier_shapes, nodes, parser=_labels_and_scores
            )
    for nodes, estimators in (
        (_forest, (DecisionTreeRegressor, RandomForestRegressor, ExtraTreesRegressor)),
        (_boosting, (HistGradientBoostingRegressor,)),
        (_neighbours, (KNeighborsRegressor,)),
        (_linear_numbers, (Ridge, Lasso, ElasticNet)),
        (_support_vectors, (SVR,)),
    ):
        for estimator in estimators:
            update_registered_converter(
                estimator, f"Cellar{estimator.__name__}", _regressor_shapes, nodes
            )


class Nodes:
    """Writes the nodes of one operator, which takes numbers in one input unless `texts`."""

    def __init__(self, scope: Any, operator: Any, container: Any, *, texts: bool = False) -> None:
        self.estimator = operator.raw_operator
        self._scope = scope
        self._operator = operator
        self._container = container
        self.inputs = [item.full_name for item in operator.inputs]
        self.outputs = [output.full_name for output in operator.outputs]
        if texts:
            return
        if len(operator.inputs) != 1:
            raise NotImplementedError("Several inputs.")
        [self.input] = self.inputs
        if not isinstance(operator.inputs[0].type, DoubleTensorType):
            self.input = self("Cast", self.input, to=TensorProto.DOUBLE)

    def __call__(self, op_type: str, *inputs: str, output: str | None = None, **more: Any) -> str:
        """Add a node and return the name of its output."""
        name = output or self._scope.get_unique_variable_name(op_type.lower())
        self._add(op_type, inputs, [name], more)
        return name

    def several(self, op_type: str, *inputs: str, outputs: int, **more: Any) -> list[str]:
        """Add a node of several outputs and return their names."""
        names = [self._scope.get_unique_variable_name(op_type.lower()) for _ in range(outputs)]
        self._add(op_type, inputs, names, more)
        return names

    def _add(self, op_type: str, inputs: Any, outputs: list[str], more: Any) -> None:
        name = self._scope.get_unique_operator_name(op_type)
        self._container.add_node(op_type, list(inputs), outputs, name=name, **more)

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
    if classes.ndim == 1 and classes.dtype.kind in "iubf" and (classes == np.rint(classes)).all():
        return classes.astype(np.int64)
    texts = classes.ndim == 1 and all(isinstance(label, str) for label in classes.tolist())
    if not texts:
        raise NotImplementedError(f"Classes of the type {classes.dtype}.")
    return classes


def _labels_and_scores(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare two arrays as a classifier's outputs; skl2onnx's own way makes dictionaries.

    The option against these would make it look through every tree of a forest.
    """
    return _parse_sklearn_simple_model(scope, model, inputs, custom_parsers)


def number_imputer_shapes(operator: Any) -> None:
    """Say what a SimpleImputer of numbers gives."""
    taken = operator.inputs[0].type
    operator.outputs[0].type = DoubleTensorType(taken.shape)


def _classifier_shapes(operator: Any) -> None:
    count = operator.inputs[0].get_first_dimension()
    classes = _classes(operator.raw_operator)
    label = Int64TensorType if classes.dtype.kind == "i" else StringTensorType
    operator.outputs[0].type = label([count])
    operator.outputs[1].type = DoubleTensorType([count, len(classes)])


def number_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Write the nodes of a SimpleImputer of numbers."""
    nodes = Nodes(scope, operator, container)
    imputer = nodes.estimator
    statistics = np.asarray(imputer.statistics_, dtype=np.float64)
    missing_is_nan = isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)
    if imputer.add_indicator or not missing_is_nan or np.isnan(statistics).any():
        raise NotImplementedError("An imputer that adds or drops columns, or replaces a number.")
    missing = nodes("IsNaN", nodes.input)
    nodes("Where", missing, nodes.constant(statistics[None]), nodes.input, output=nodes.outputs[0])


def _regressor_shapes(operator: Any) -> None:
    operator.outputs[0].type = DoubleTensorType([operator.inputs[0].get_first_dimension(), 1])


def _logistic(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)
    scores = _scores(nodes)
    if nodes.estimator.solver != "liblinear" or len(nodes.estimator.classes_) == 2:
        _classify(nodes, scores)
        return
    # One against the rest: each class's own probability, divided by their sum.
    own = nodes("Sigmoid", scores)
    total = nodes("ReduceSum", own, nodes.constant([1]), keepdims=1)
    nodes("Div", own, total, output=nodes.outputs[1])
    nodes.labels(nodes("ArgMax", scores, axis=1, keepdims=0))


def _linear_scores(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)
    _classify(nodes, _scores(nodes))


def _linear_numbers(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)
    if nodes.estimator.coef_.ndim > 1:
        raise NotImplementedError("Several targets.")
    nodes("Identity", _scores(nodes), output=nodes.outputs[0])


def _scores(nodes: Nodes) -> str:
    model = nodes.estimator
    weights = np.atleast_2d(model.coef_).astype(np.float64)
    product = nodes("MatMul", nodes.input, nodes.constant(weights.T))
    # Without an intercept it is one number.
    intercept = np.broadcast_to(model.intercept_, (len(weights),)).astype(np.float64)
    return nodes("Add", product, nodes.constant(intercept[None]))


def _forest(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)
    trees = trees_of_forest(nodes.estimator)
    # scikit-learn's trees see float32 values and compare them with float64 thresholds.
    seen = nodes("Cast", nodes("Cast", nodes.input, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)
    count = nodes.constant([[float(len(trees))]])
    if not hasattr(nodes.estimator, "classes_"):
        nodes("Div", _number_of_trees(nodes, seen, trees), count, output=nodes.outputs[0])
        return
    total = _sum_of_trees(nodes, seen, trees)
    nodes("Div", total, count, output=nodes.outputs[1])
    nodes.labels(nodes("ArgMax", nodes.outputs[1], axis=1, keepdims=0))


def _boosting(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)
    model = nodes.estimator
    add = _sum_of_trees if hasattr(model, "classes_") else _number_of_trees
    total = add(nodes, nodes.input, trees_of_boosting(model))
    baseline = nodes.constant(np.reshape(model._baseline_prediction, (1, -1)).astype(np.float64))
    scores = nodes("Add", total, baseline)
    if hasattr(model, "classes_"):
        _classify(nodes, scores)
    else:
        exponential = model.loss in ("poisson", "gamma")
        nodes("Exp" if exponential else "Identity", scores, output=nodes.outputs[0])


def _neighbours(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)
    model = nodes.estimator
    rows = np.asarray(model._fit_X, dtype=np.float64)
    if model.effective_metric_ != "euclidean" or callable(model.weights) or model._y.ndim > 1:
        raise NotImplementedError("Neighbours by another distance, by code or of several targets.")
    if len(rows) > MOST_NEIGHBOURS:
        raise NotImplementedError(f"Neighbours among more than {MOST_NEIGHBOURS:,} rows.")
    # By way of products: quick, but a distance of 0 may come out as 1e-8, so it only chooses.
    distances = nodes(
        "CDist", nodes.input, nodes.constant(rows), op_domain="com.microsoft", metric="euclidean"
    )
    nearest = nodes.several(
        "TopK", distances, nodes.constant([model.n_neighbors]), outputs=2, axis=1, largest=0
    )[1]
    classes = getattr(model, "classes_", None)
    # A neighbour votes for its class with 1, or says its own number.
    own = (
        model._y[:, None].astype(np.float64) if classes is None else np.eye(len(classes))[model._y]
    )
    votes = nodes("Gather", nodes.constant(own), nearest, axis=0)
    if model.weights == "distance":
        weights = nodes("Unsqueeze", _vote_weights(nodes, rows, nearest), nodes.constant([2]))
        total = nodes("ReduceSum", weights, nodes.constant([1]), keepdims=0)
        votes = nodes("Mul", votes, weights)
    else:
        total = nodes.constant([[float(model.n_neighbors)]])
    sums = nodes("ReduceSum", votes, nodes.constant([1]), keepdims=0)
    if classes is None:
        nodes("Div", sums, total, output=nodes.outputs[0])
        return
    nodes("Div", sums, total, output=nodes.outputs[1])
    nodes.labels(nodes("ArgMax", nodes.outputs[1], axis=1, keepdims=0))


def _vote_weights(nodes: Nodes, rows: NDArray[np.float64], nearest: str) -> str:
    """Return 1 / distance (n, k); where a neighbour is at distance 0, only such ones count."""
    found = nodes("Gather", nodes.constant(rows), nearest, axis=0)
    away = nodes("Sub", found, nodes("Unsqueeze", nodes.input, nodes.constant([1])))
    squares = nodes("ReduceSum", nodes("Mul", away, away), nodes.constant([2]), keepdims=0)
    distances = nodes("Sqrt", squares)
    same = nodes("Cast", nodes("Equal", distances, nodes.constant(0.0)), to=TensorProto.DOUBLE)
    any_same = nodes("ReduceMax", same, nodes.constant([1]), keepdims=1)
    shares = nodes("Div", nodes.constant(1.0), distances)
    return nodes("Where", nodes("Cast", any_same, to=TensorProto.BOOL), same, shares)


def _support_vectors(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)
    model = nodes.estimator
    vectors = np.asarray(model.support_vectors_, dtype=np.float64)
    gamma = nodes.constant([[float(model._gamma)]])
    if model.kernel == "rbf":
        apart = nodes(
            "CDist",
            nodes.input,
            nodes.constant(vectors),
            op_domain="com.microsoft",
            metric="sqeuclidean",
        )
        kernel = nodes("Exp", nodes("Neg", nodes("Mul", apart, gamma)))
    elif model.kernel in ("linear", "poly", "sigmoid"):
        kernel = nodes("MatMul", nodes.input, nodes.constant(vectors.T))
        if model.kernel != "linear":
            kernel = nodes("Mul", kernel, gamma)
            kernel = nodes("Add", kernel, nodes.constant([[float(model.coef0)]]))
        if model.kernel == "poly":
            kernel = nodes("Pow", kernel, nodes.constant([[float(model.degree)]]))
        elif model.kernel == "sigmoid":
            kernel = nodes("Tanh", kernel)
    else:
        raise NotImplementedError("A kernel by code, or one that was computed before.")
    total = nodes("MatMul", kernel, nodes.constant(model.dual_coef_.T.astype(np.float64)))
    intercept = nodes.constant(np.reshape(model.intercept_, (1, 1)).astype(np.float64))
    nodes("Add", total, intercept, output=nodes.outputs[0])


def _sum_of_trees(nodes: Nodes, seen: str, trees: Any) -> str:
    # Its sums are float64 inside; only what it gives is float32.
    attributes = tree_attributes(trees)
    total = nodes("TreeEnsembleRegressor", seen, op_domain="ai.onnx.ml", op_version=3, **attributes)
    return nodes("Cast", total, to=TensorProto.DOUBLE)


def _number_of_trees(nodes: Nodes, seen: str, trees: Any) -> str:
    """Return the sum of trees of one target (n, 1) with the precision of float64."""
    parts = _sum_of_trees(nodes, seen, in_two_parts(trees))
    return nodes("ReduceSum", parts, nodes.constant([1]), keepdims=1)


def _classify(nodes: Nodes, scores: str) -> None:
    """Make labels and probabilities of scores: (n, 1) of the second class, or (n, n_classes)."""
    if len(nodes.estimator.classes_) > 2:
        nodes("Softmax", scores, axis=1, output=nodes.outputs[1])
        nodes.labels(nodes("ArgMax", scores, axis=1, keepdims=0))
        return
    second = nodes("Sigmoid", scores)
    first = nodes("Sub", nodes.constant([[1.0]]), second)
    nodes("Concat", first, second, axis=1, output=nodes.outputs[1])
    positive = nodes("Greater", scores, nodes.constant([[0.0]]))
    index = nodes("Cast", positive, to=TensorProto.INT64)
    nodes.labels(nodes("Reshape", index, nodes.constant([-1])))
