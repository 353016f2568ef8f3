"""The decision trees of a fitted estimator as attributes of ONNX's tree nodes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper


@dataclass(frozen=True)
class Tree:
    """One tree of n nodes, the root first.

    `left` and `right` (n,) are the children's numbers, -1 at leaves; a value at most `threshold`
    (n,) of the column `feature` (n,) goes left, NaN goes left where `nan_goes_left` (n,).
    `weights` (n, n_targets) is what a leaf adds to its targets, the numbers
    `targets` (n_targets,) among those of all trees.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    nan_goes_left: NDArray[np.bool_]
    weights: NDArray[np.float64]
    targets: NDArray[np.int64]


def trees_of_forest(model: Any) -> list[Tree]:
    """Return the trees of a fitted decision tree or forest; its prediction is their mean."""
    if model.n_outputs_ != 1:
        raise NotImplementedError("Several targets.")
    found = []
    for estimator in getattr(model, "estimators_", [model]):
        tree = estimator.tree_
        nodes = tree.__getstate__()["nodes"]
        found.append(
            Tree(
                left=tree.children_left,
                right=tree.children_right,
                feature=tree.feature,
                threshold=tree.threshold,
                nan_goes_left=nodes["missing_go_to_left"].astype(bool),
                weights=tree.value[:, 0, :],
                targets=np.arange(tree.value.shape[2]),
            )
        )
    return found


def trees_of_boosting(model: Any) -> list[Tree]:
    """Return the trees of fitted histogram gradient boosting, whose sum are the raw scores."""
    if getattr(model, "is_categorical_", None) is not None:
        raise NotImplementedError("Columns of categories.")
    found = []
    for iteration in model._predictors:
        for target, predictor in enumerate(iteration):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            found.append(
                Tree(
                    left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
                    right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
                    feature=nodes["feature_idx"].astype(np.int64),
                    threshold=nodes["num_threshold"],
                    nan_goes_left=nodes["missing_go_to_left"].astype(bool),
                    weights=nodes["value"][:, None],
                    targets=np.array([target]),
                )
            )
    return found


def in_two_parts(trees: Sequence[Tree]) -> list[Tree]:
    """Return trees of one target (weights (n, 1)) as trees of two that add up to it (n, 2).

    The node gives float32. The first part are multiples of a number so large that the sum over all
    trees is exact in float32; the second is what is left, which is small.
    """
    largest = max(float(np.abs(tree.weights[tree.left < 0]).max()) for tree in trees)
    # 2^23 of them and the rounding of each are less than float32's 2^24.
    step = 2.0 ** np.ceil(np.log2(largest * len(trees) / 2**23)) if largest else 1.0
    found = []
    for tree in trees:
        coarse = np.rint(tree.weights / step) * step
        parts = np.hstack([coarse, tree.weights - coarse])
        found.append(replace(tree, weights=parts, targets=np.arange(2)))
    return found


def tree_attributes(trees: Sequence[Tree]) -> dict[str, Any]:
    """Return the attributes of a `TreeEnsembleRegressor` that adds the trees up in float64."""
    parts = [_attributes(number, tree) for number, tree in enumerate(trees)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    doubles = ("nodes_values", "target_weights")
    return {
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "n_targets": 1 + int(max(tree.targets.max() for tree in trees)),
        "nodes_modes": joined.pop("nodes_modes").tolist(),
        **{f"{name}_as_tensor": numpy_helper.from_array(joined.pop(name)) for name in doubles},
        **{name: values.tolist() for name, values in joined.items()},
    }


def _attributes(number: int, tree: Tree) -> dict[str, NDArray[Any]]:
    nodes = np.arange(len(tree.left))
    leaf = tree.left < 0
    leaves = nodes[leaf]
    width = len(tree.targets)
    return {
        "nodes_treeids": np.full(len(nodes), number),
        "nodes_nodeids": nodes,
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ"),
        "nodes_featureids": np.where(leaf, 0, tree.feature),
        "nodes_values": np.where(leaf, 0.0, tree.threshold),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, tree.nan_goes_left),
        "nodes_truenodeids": np.where(leaf, 0, tree.left),
        "nodes_falsenodeids": np.where(leaf, 0, tree.right),
        "target_treeids": np.full(len(leaves) * width, number),
        "target_nodeids": np.repeat(leaves, width),
        "target_ids": np.tile(tree.targets, len(leaves)),
        "target_weights": tree.weights[leaf].ravel(),
    }
