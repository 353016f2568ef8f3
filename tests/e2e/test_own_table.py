"""Tables that people bring go through the whole lifecycle, as the built-in ones do."""

import gzip
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from tests.support.lifecycle_client import MANAGEMENT, SETS, Client, search
from tests.support.table_walk import DATASETS, bring, new_name, scores_of

NAMES = ["sepal length (cm)", 'so "breit"', "лепесток", "petal; width %(s)s %"]
KIND = '100 % "kind"'
SPECIES = ["setosa", "versicolor", "virginica"]


def packaged(name: str) -> list[list[str]]:
    """Return the records of a file that comes with scikit-learn, without its first line."""
    text = resources.files("sklearn.datasets.data").joinpath(name).read_text()
    return [line.split(",") for line in text.splitlines()[1:]]


def as_csv(names: list[str], records: list[list[str]]) -> bytes:
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    return "\n".join([",".join(quoted), *(",".join(record) for record in records)]).encode()


def irises(label: Callable[[int], str]) -> bytes:
    """Return the irises under odd names, with gaps, and with labels of any kind."""
    records = packaged("iris.csv")
    for record in records[::20]:
        record[1] = ""
    labelled = [[*record[:4], label(int(record[4]))] for record in records]
    return as_csv([*NAMES, KIND], labelled)


def bring_own(client: Client, content: bytes, **fields: str) -> dict[str, Any]:
    """Bring a table whose target is `KIND`, under a new name unless one is given."""
    return bring(client, content, **{"dataset_name": new_name("own"), "target": KIND} | fields)


@pytest.mark.parametrize(
    ("content", "classes"),
    [
        (irises(SPECIES.__getitem__), SPECIES),
        (gzip.compress(irises(str)), [0, 1, 2]),
        (irises(lambda number: str(number == 1).lower()), [False, True]),
    ],
    ids=["text", "numbers, packed", "true and false"],
)
def test_a_table_goes_through_the_whole_lifecycle(
    client: Client, content: bytes, classes: list[Any]
) -> None:
    brought = bring_own(client, content)
    assert (brought["task"], brought["classes"]) == ("classification", classes)
    name = brought["dataset_name"]
    rows = {set_name: client.load(set_name, dataset_name=name)["rows"] for set_name in SETS}
    assert rows == {"training": 90, "testing": 30, "production": 30}

    grids: dict[str, dict[str, list[Any]]] = {
        "LogisticRegression": {"C": [1]},
        "RandomForest": {"n_estimators": [20]},
    }
    found = client.search(name, grids, dataset_name=name, cv=3)
    client.deploy(found["run_ids"]["RandomForest"])
    scores = scores_of(client, name)
    assert scores["testing"] >= 0.8 > scores["production"]
    summary = client.monitor("summary", dataset_name=name)
    assert summary["retraining_needed"] is True

    records = [dict(zip(NAMES, [5.1, 3.5, 1.4, 0.2], strict=True))]
    answer = client.suite.ask("POST", "ml_model", "/predict", {"records": records})
    assert answer["predictions"] == [False if classes[0] is False else classes[0]]
    answer = client.suite.ask(
        "POST", "ml_model", "/train", {"dataset_name": name, "model_name": "DecisionTree"}
    )
    assert answer["status"] == "success"

    refusal = client.suite.ask("DELETE", "simulator", f"{DATASETS}/{name}", status=409)
    assert "a model version" in refusal["message"]


def test_a_version_that_is_not_the_newest_can_be_trained_on(client: Client) -> None:
    first = bring_own(client, irises(str))
    name = first["dataset_name"]
    second = bring_own(client, irises(SPECIES.__getitem__), dataset_name=name)
    assert second["dataset_version"] == 2
    body = {"dataset_name": name, "dataset_version": 1, "model_name": "DecisionTree"}
    answer = client.suite.ask("POST", "ml_model", "/train", body)
    assert answer["status"] == "success"


def test_a_model_of_classes_refuses_a_regression_with_its_reason(client: Client) -> None:
    records = [[f"{n / 7}", f"{n * 1.5}"] for n in range(40)]
    brought = bring_own(client, as_csv(["size", KIND], records))
    assert brought["task"] == "regression"
    name, suite = brought["dataset_name"], client.suite
    client.load("training", dataset_name=name)
    grids: dict[str, dict[str, list[Any]]] = {"DecisionTree": {"max_depth": [2]}}
    body = search(name, grids, dataset_name=name, cv=3)
    assert suite.ask("POST", "tracking", MANAGEMENT, body, status=422)["message"]
    client.set_model("DecisionTree", max_depth=2)
    body = {"dataset": "training", "dataset_name": name}
    assert suite.ask("POST", "ml_model", "/root/ml", body, status=422)["message"]
    body = {"dataset_name": name, "model_name": "DecisionTree"}
    answer = suite.call("POST", "ml_model", "/train", json=body)
    assert answer.status_code < 500 and answer.json()["status"] == "failed", answer.text
    suite.ask("DELETE", "simulator", f"{DATASETS}/{name}")


def test_a_training_set_of_one_class_is_refused(client: Client) -> None:
    records = [[SETS[n // 20], f"{n / 7}", "ab"[n >= 20]] for n in range(60)]
    brought = bring_own(client, as_csv(["part", "size", KIND], records), split_column="part")
    name, suite = brought["dataset_name"], client.suite
    client.load("training", dataset_name=name)
    client.set_model("DecisionTree", max_depth=2)
    body = {"dataset": "training", "dataset_name": name}
    refused = suite.ask("POST", "ml_model", "/root/ml", body, status=422)
    assert "one class" in refused["message"]
    grids: dict[str, dict[str, list[Any]]] = {"DecisionTree": {"max_depth": [2]}}
    refused = suite.ask(
        "POST", "tracking", MANAGEMENT, search(name, grids, dataset_name=name, cv=3), status=400
    )
    assert "one class" in refused["message"]
    suite.ask("DELETE", "simulator", f"{DATASETS}/{name}")
