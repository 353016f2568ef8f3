"""Steps taken too early are 409 and name the call that is due; loading works in any order."""

import itertools
from typing import Any

import pytest

from tests.contract.conftest import Refused, search
from tests.support.running_suite import OwnSuite

SETS = ("training", "testing", "production")
MANAGEMENT = "/root/tracking/model_management"
TREE = {"DecisionTree": {"max_depth": [2]}}
ALL_PRESETS = (
    "data_drift",
    "data_quality",
    "data_stability",
    "no_target_performance",
    "multi_class_classification",
)


@pytest.fixture
def empty_suite(own_suite: OwnSuite) -> OwnSuite:
    """The suite before its first request."""
    own_suite.empty()
    return own_suite


def too_early(
    suite: OwnSuite, refused: Refused, service: str, path: str, body: Any, *due: str
) -> None:
    before = suite.state()
    answer = refused(suite.call("POST", service, path, json=body), 409)
    after = suite.state()
    text = answer["error"] + answer["message"]
    assert [word for word in due if word not in text] == [], text
    assert {name for name in after if after[name] != before.get(name)} == set()


def load(suite: OwnSuite, name: str, **more: Any) -> None:
    suite.ask("POST", "simulator", "/root/simulator", {"set_name": name} | more)


def score(suite: OwnSuite, name: str) -> float:
    return float(suite.ask("POST", "ml_model", "/root/ml", {"dataset": name})["score"])


def set_tree(suite: OwnSuite, depth: int = 3) -> None:
    body = {"model_name": "DecisionTree", "hyperparameters": {"max_depth": depth}}
    suite.ask("POST", "ml_model", "/root/ml/set_model", body)


def test_nothing_is_set_at_first(empty_suite: OwnSuite) -> None:
    answer = empty_suite.ask("GET", "ml_model", "/root/ml")
    assert answer.items() >= {"name": None, "message": "ML model"}.items()


def test_search_needs_the_training_set(empty_suite: OwnSuite, refused: Refused) -> None:
    load(empty_suite, "testing")
    body = search("too early", TREE)
    too_early(empty_suite, refused, "tracking", MANAGEMENT, body, "/root/simulator", "training")
    names = [
        item["name"]
        for item in empty_suite.ask("GET", "tracking", "/root/tracking/experiments")["data"]
    ]
    assert "too early" not in names


@pytest.mark.parametrize("name", SETS)
def test_scoring_needs_a_model(empty_suite: OwnSuite, refused: Refused, name: str) -> None:
    for set_name in SETS:
        load(empty_suite, set_name)
    too_early(empty_suite, refused, "ml_model", "/root/ml", {"dataset": name}, "set_model")


def test_training_needs_the_training_set(empty_suite: OwnSuite, refused: Refused) -> None:
    set_tree(empty_suite)
    too_early(
        empty_suite,
        refused,
        "ml_model",
        "/root/ml",
        {"dataset": "training"},
        "/root/simulator",
        "training",
    )


@pytest.mark.parametrize("name", ["testing", "production"])
def test_scoring_needs_training(empty_suite: OwnSuite, refused: Refused, name: str) -> None:
    for set_name in SETS:
        load(empty_suite, set_name)
    set_tree(empty_suite)
    too_early(
        empty_suite, refused, "ml_model", "/root/ml", {"dataset": name}, "/root/ml", "training"
    )


@pytest.mark.parametrize("name", ["testing", "production"])
def test_scoring_needs_its_set(empty_suite: OwnSuite, refused: Refused, name: str) -> None:
    load(empty_suite, "training")
    set_tree(empty_suite)
    score(empty_suite, "training")
    too_early(
        empty_suite, refused, "ml_model", "/root/ml", {"dataset": name}, "/root/simulator", name
    )


def test_another_configuration_is_not_trained_yet(empty_suite: OwnSuite, refused: Refused) -> None:
    for set_name in SETS:
        load(empty_suite, set_name)
    set_tree(empty_suite, depth=3)
    score(empty_suite, "training")
    set_tree(empty_suite, depth=4)
    too_early(
        empty_suite, refused, "ml_model", "/root/ml", {"dataset": "testing"}, "/root/ml", "training"
    )


@pytest.mark.parametrize(
    "body",
    [
        {"metric": "report"},
        {"metric": "tests", "tests": dict.fromkeys(ALL_PRESETS, True)},
        {"metric": "summary"},
        {"metric": "report", "format": "html"},
    ],
    ids=str,
)
def test_monitoring_names_the_step_that_is_due(
    empty_suite: OwnSuite, refused: Refused, body: dict[str, Any]
) -> None:
    suite = empty_suite

    def due(*words: str) -> None:
        too_early(suite, refused, "monitoring", "/root/monitoring", body, *words)

    due("/root/")
    load(suite, "training")
    set_tree(suite)
    score(suite, "training")
    due("/root/simulator", "testing")
    load(suite, "testing")
    due("/root/")
    score(suite, "testing")
    due("/root/simulator", "production")
    load(suite, "production")
    due("/root/ml", "production")
    score(suite, "production")
    assert suite.call("POST", "monitoring", "/root/monitoring", json=body).status_code == 200
    # Other rows than those that were scored: the score is of no use any more.
    load(suite, "production", seed=7)
    due("/root/ml", "production")


@pytest.mark.parametrize("order", list(itertools.permutations(SETS)), ids="-".join)
def test_order_and_repetition_of_loading_do_not_matter(
    empty_suite: OwnSuite, order: tuple[str, ...]
) -> None:
    for name in (*order, *order):
        load(empty_suite, name)
    set_tree(empty_suite)
    scores = tuple(score(empty_suite, name) for name in SETS)
    assert scores == SCORES.setdefault("scores", scores)


SCORES: dict[str, tuple[float, ...]] = {}
