"""Many requests at once each get the answer that they would get alone."""

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.lifecycle_client import SETS, Client
from tests.support.running_suite import OwnSuite, RunningSuite

TREE = {"DecisionTree": {"max_depth": [2, 3]}}


def at_once(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run the tasks at the same time; return their results in order."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


@pytest.fixture
def alone(client: Client) -> dict[str, float]:
    """A trained model and its score on each set, asked for one after the other."""
    client.load_all()
    client.set_model("DecisionTree", max_depth=3)
    return {name: client.score(name) for name in SETS}


def test_scorings(client: Client, alone: dict[str, float], own_suite: OwnSuite) -> None:
    names = [name for name in SETS for _ in range(4)]
    found = at_once([lambda name=name: client.score(name) for name in names])
    assert found == [alone[name] for name in names]
    counts = own_suite.rows(
        "SELECT p.set_name, count(*) FROM predictions p WHERE p.model_version_id ="
        " (SELECT model_version_id FROM deployments WHERE slot = 'current'"
        "  ORDER BY id DESC LIMIT 1) GROUP BY 1"
    )
    assert dict(counts) == {"training": 106, "testing": 36, "production": 36}


def test_loadings_of_one_set(client: Client, own_suite: OwnSuite) -> None:
    at_once([lambda seed=seed: client.load("training", seed=seed) for seed in (1, 2, 42, 1, 2, 42)])
    client.load("training")
    counts = own_suite.rows(
        "SELECT count(*), count(DISTINCT row_number) FROM samples.wine_v1"
        " WHERE set_name = 'training'"
    )
    assert counts == [(106, 106)]


def test_loadings_into_an_empty_database(client: Client, own_suite: OwnSuite) -> None:
    own_suite.empty()
    at_once([lambda name=name: client.load(name) for name in (*SETS, *SETS, *SETS)])
    counts = own_suite.rows("SELECT set_name, count(*) FROM samples.wine_v1 GROUP BY 1")
    assert dict(counts) == {"training": 106, "testing": 36, "production": 36}


def test_trainings_make_one_version(client: Client, own_suite: OwnSuite) -> None:
    client.load_all()
    client.set_model("DecisionTree", max_depth=3, min_samples_leaf=2)
    ((before,),) = own_suite.rows("SELECT coalesce(max(id), 0) FROM model_versions")
    scores = at_once([lambda: client.score("training")] * 6)
    assert len(set(scores)) == 1
    assert own_suite.rows("SELECT count(*) FROM model_versions WHERE id > %s", before) == [(1,)]


def test_two_searches_make_one_new_experiment(client: Client) -> None:
    client.load_all()
    name = f"at once {uuid.uuid4().hex[:8]}"
    first, second = at_once([lambda: client.search(name, TREE)] * 2)
    assert first["experiment_id"] == second["experiment_id"]
    runs = client.runs(first["experiment_id"])
    assert {run["run_id"] for run in runs} == {
        first["run_ids"]["DecisionTree"],
        second["run_ids"]["DecisionTree"],
    }
    assert {run["status"] for run in runs} == {"FINISHED"}
    client.delete_experiment(first["experiment_id"])


def test_searches_of_different_experiments_do_not_mix(client: Client) -> None:
    client.load_all()
    grids = [{"DecisionTree": {"max_depth": [depth]}} for depth in (1, 2, 3)]
    names = [f"apart {uuid.uuid4().hex[:8]}" for _ in grids]
    found = at_once(
        [
            lambda name=name, grid=grid: client.search(name, grid)
            for name, grid in zip(names, grids, strict=True)
        ]
    )
    for depth, data in enumerate(found, start=1):
        body = {
            "experiment_id": data["experiment_id"],
            "run_id": data["run_ids"]["DecisionTree"],
            "request_information": "parameters",
            "type": "model",
        }
        answer = client.suite.ask("POST", "tracking", "/root/tracking/runs", body)
        assert answer["data"]["max_depth"] == str(depth)
        client.delete_experiment(data["experiment_id"])


def test_monitoring_questions(client: Client, alone: dict[str, float], own_suite: OwnSuite) -> None:
    questions: list[tuple[str, dict[str, Any]]] = [
        ("summary", {"tests": {"data_drift": True}}),
        ("summary", {"tests": {"data_quality": True}}),
        ("tests", {"tests": {"data_drift": True}}),
        ("report", {}),
    ]

    def forget() -> None:
        own_suite.postgres.execute("TRUNCATE monitoring_results")

    def ask(question: tuple[str, dict[str, Any]]) -> Any:
        return comparable(client.monitor(question[0], **question[1]))

    forget()
    one_by_one = [ask(question) for question in questions]
    forget()
    together = at_once([lambda question=question: ask(question) for question in questions * 2])
    assert together == one_by_one * 2


def comparable(value: Any) -> Any:
    """Return Evidently's result without the ids and times it makes up at each run."""
    if isinstance(value, dict):
        return {
            key: comparable(item)
            for key, item in value.items()
            if key not in {"id", "timestamp", "metric_id", "fingerprint"}
        }
    return [comparable(item) for item in value] if isinstance(value, list) else value


def test_workers_agree(client: Client, alone: dict[str, float], suite: RunningSuite) -> None:
    for depth in (1, 4, 2):
        client.set_model("DecisionTree", max_depth=depth)
        names = at_once([lambda: suite.ask("GET", "ml_model", "/root/ml")["name"]] * 12)
        assert set(names) == {"DecisionTree"}
        trained = client.score("training")
        assert set(at_once([lambda: client.score("training")] * 8)) == {trained}
        tested = client.score("testing")
        assert set(at_once([lambda: client.score("testing")] * 8)) == {tested}


def test_model_is_set_by_whoever_came_last(client: Client, suite: RunningSuite) -> None:
    at_once(
        [
            lambda: client.set_model("KNN", n_neighbors=3),
            lambda: client.set_model("DecisionTree", max_depth=2),
            lambda: client.set_model("LinearSVC", C=1),
        ]
    )
    names = {suite.ask("GET", "ml_model", "/root/ml")["name"] for _ in range(10)}
    assert len(names) == 1


def test_a_score_that_is_asked_for_again_leaves_no_more_rows(
    client: Client, alone: dict[str, float], own_suite: OwnSuite
) -> None:
    def row_counts() -> dict[str, int]:
        tables = own_suite.rows(
            "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('public', 'samples')"
        )
        return {
            table: own_suite.rows(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608
            for (table,) in tables
        }

    before = row_counts()
    assert before["public.predictions"] > 0
    for _ in range(10):
        assert client.score("testing") == alone["testing"]
    assert row_counts() == before
