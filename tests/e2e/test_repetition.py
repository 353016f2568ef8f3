"""Doing a thing twice leaves what doing it once leaves; the same request gives the same numbers."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.lifecycle_client import MANAGEMENT, SETS, Client
from tests.support.running_suite import OwnSuite

SEARCHED = {
    "RandomForest": {"n_estimators": [5, 10], "max_features": ["sqrt", 0.5, 3, None]},
    "HistGradientBoosting": {"max_iter": [10], "early_stopping": [False]},
}


@pytest.fixture(scope="module")
def run_id(client: Client) -> str:
    """A finished run, on loaded sets."""
    client.load_all()
    data = client.search(f"repetition {uuid.uuid4().hex[:8]}", SEARCHED)
    return str(data["run_ids"]["RandomForest"])


REPEATED: dict[str, Callable[[Client, str], Any]] = {
    "load training": lambda client, _: client.load("training"),
    "load testing": lambda client, _: client.load("testing"),
    "load production": lambda client, _: client.load("production"),
    "load a scenario": lambda client, _: client.load("production", scenario="classic", seed=3),
    "load the default again": lambda client, _: client.load("production"),
    "deploy": lambda client, run_id: client.deploy(run_id),
    "train": lambda client, _: client.score("training"),
    "score testing": lambda client, _: client.score("testing"),
    "score production": lambda client, _: client.score("production"),
    "report": lambda client, _: client.monitor("report"),
    "tests": lambda client, _: client.monitor("tests", tests={"data_drift": True}),
    "summary": lambda client, _: client.monitor("summary"),
    "set a model": lambda client, _: client.set_model("DecisionTree", max_depth=3),
    "train it": lambda client, _: client.score("training"),
}


@pytest.mark.parametrize("step", REPEATED)
def test_twice_leaves_what_once_leaves(
    own_suite: OwnSuite, client: Client, run_id: str, step: str
) -> None:
    first = REPEATED[step](client, run_id)
    once = own_suite.state()
    second = REPEATED[step](client, run_id)
    twice = own_suite.state()
    assert without_change(second) == without_change(first)
    assert {name for name in twice if twice[name] != once[name]} == set()


def without_change(answer: Any) -> Any:
    """Return the answer without whether it changed anything: the second time it must not."""
    if isinstance(answer, dict):
        return {key: value for key, value in answer.items() if key != "changed"}
    return answer


def rows_of(own_suite: OwnSuite, set_name: str) -> list[tuple[Any, ...]]:
    """Return a set's rows without what storing them adds."""
    columns = [
        name
        for (name,) in own_suite.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'samples'"
            " AND table_name = 'wine_v1' AND column_name NOT IN"
            " ('sample_id', 'batch_id', 'loaded_at') ORDER BY ordinal_position"
        )
    ]
    quoted = ", ".join(f'"{name}"' for name in columns)
    return own_suite.rows(
        f"SELECT {quoted} FROM samples.wine_v1"  # noqa: S608 - names from the catalogue
        " WHERE set_name = %s ORDER BY row_number",
        set_name,
    )


def test_sets_are_the_same_whatever_was_loaded_before(own_suite: OwnSuite, client: Client) -> None:
    own_suite.empty()
    client.load("production")
    alone = rows_of(own_suite, "production")
    client.load("training")
    client.load("production", seed=7)
    other = rows_of(own_suite, "production")
    client.load("testing")
    client.load("production")
    assert rows_of(own_suite, "production") == alone
    assert other != alone
    assert [len(rows_of(own_suite, name)) for name in SETS] == [106, 36, 36]


def test_only_production_has_gaps_and_they_are_null(own_suite: OwnSuite, client: Client) -> None:
    client.load_all()
    gaps = {name: sum(v is None for row in rows_of(own_suite, name) for v in row) for name in SETS}
    assert gaps["training"] == gaps["testing"] == 0
    assert gaps["production"] > 0
    types = own_suite.rows(
        "SELECT DISTINCT data_type FROM information_schema.columns WHERE table_schema = 'samples'"
        " AND table_name = 'wine_v1' AND column_name IN ('alcohol', 'proline', 'hue')"
    )
    assert types == [("double precision",)]


def test_same_search_finds_the_same_model(client: Client) -> None:
    client.load_all()

    def outcome() -> list[Any]:
        data = client.search(f"same {uuid.uuid4().hex[:8]}", SEARCHED)
        found = []
        for model, run_id in sorted(data["run_ids"].items()):
            for information, type_ in (("parameters", "model"), ("metrics", "model")):
                body = {
                    "experiment_id": data["experiment_id"],
                    "run_id": run_id,
                    "request_information": information,
                    "type": type_,
                }
                answer = client.suite.ask("POST", "tracking", "/root/tracking/runs", body)
                found.append((model, answer["data"]))
        client.delete_experiment(data["experiment_id"])
        return found

    assert outcome() == outcome()


def test_training_again_gives_the_same_model_version(own_suite: OwnSuite, client: Client) -> None:
    client.load_all()

    def train(depth: int) -> tuple[int, float]:
        client.set_model("DecisionTree", max_depth=depth)
        score = client.score("training")
        ((count,),) = own_suite.rows("SELECT count(*) FROM model_versions")
        return count, score

    first_count, first_score = train(2)
    more, _ = train(5)
    assert more == first_count + 1
    assert train(2) == (more, first_score)


def test_hyperparameters_keep_their_types(own_suite: OwnSuite, client: Client) -> None:
    client.load_all()
    grid = {
        "RandomForest": {
            "n_estimators": [7],
            "max_depth": [None],
            "max_features": [0.5],
            "bootstrap": [False],
            "class_weight": ["balanced"],
        },
        "LogisticRegression": {"C": [1], "solver": ["liblinear"], "fit_intercept": [True]},
    }
    data = client.search(f"types {uuid.uuid4().hex[:8]}", grid)
    for model, run_id in data["run_ids"].items():
        client.deploy(run_id)
        ((stored,),) = own_suite.rows(
            "SELECT hyperparameters FROM deployments WHERE slot = 'current'"
            " ORDER BY id DESC LIMIT 1"
        )
        expected = {name: values[0] for name, values in grid[model].items()}
        assert {name: stored[name] for name in expected} == expected
        assert [type(stored[name]) for name in expected] == [type(v) for v in expected.values()]
        assert client.score("training") > 0.9


def test_request_id_goes_from_service_to_service(
    own_suite: OwnSuite, client: Client, run_id: str
) -> None:
    client.load_all()
    client.set_model("KNN")
    given = f"trace-{uuid.uuid4().hex}"
    answer = own_suite.call(
        "POST",
        "tracking",
        MANAGEMENT,
        json={"request_information": "setting", "run_id": run_id},
        headers={"X-Request-ID": given},
    )
    assert answer.status_code == 200
    assert answer.headers["X-Request-ID"] == given
    for service in ("tracking", "ml_model"):
        assert given in own_suite.log(service)
    ((stored,),) = own_suite.rows("SELECT request_id FROM deployments ORDER BY id DESC LIMIT 1")
    assert stored == given


def test_all_times_are_stored_with_their_zone(own_suite: OwnSuite) -> None:
    naive = own_suite.rows(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema IN ('public', 'samples') AND data_type = 'timestamp without time zone'"
    )
    assert naive == []
