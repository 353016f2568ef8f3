"""Penguins through the whole lifecycle: text, truth values, numbers, and gaps among all of them.

The table is that of the package palmerpenguins (Horst, Hill and Gorman 2020, CC0): 344 birds, of
which 11 lack the sex and 2 all measurements.
"""

import csv
import io
import time
import uuid
from importlib import resources
from typing import Any

import pytest

from tests.e2e.conftest import SETS, Client

DATASETS = "/root/simulator/datasets"
FEATURES = [
    'island, "where"',
    "bill_length_mm",
    "длина; крыла",
    "body_mass_g",
    "sex",
    "measured late?",
]
TYPES = ["text", "number", "integer", "integer", "text", "boolean"]
ADELIE = ["Torgersen", 39.1, 181, 3750, "male", False]


def penguins() -> bytes:
    """Return the table with odd names; whether a bird came after 2007 is unknown of some."""
    text = resources.files("palmerpenguins").joinpath("data/penguins.csv").read_text("utf-8")
    found = io.StringIO()
    writer = csv.writer(found)
    writer.writerow([*FEATURES, "species"])
    for number, bird in enumerate(csv.DictReader(io.StringIO(text))):
        late = "" if number % 17 == 0 else str(bird["year"] != "2007").lower()
        writer.writerow(
            [
                bird["island"],
                bird["bill_length_mm"],
                bird["flipper_length_mm"],
                bird["body_mass_g"],
                bird["sex"],
                late,
                bird["species"],
            ]
        )
    return found.getvalue().encode()


@pytest.fixture(scope="module")
def brought(client: Client) -> dict[str, Any]:
    """The dataset, with its three sets loaded."""
    form = {"dataset_name": f"penguins_{uuid.uuid4().hex[:8]}", "target": "species"}
    files = {"file": ("penguins.csv", penguins())}
    answer = client.suite.call("POST", "simulator", DATASETS, data=form, files=files)
    assert answer.status_code == 201, answer.text
    name = form["dataset_name"]
    rows = {set_name: client.load(set_name, dataset_name=name)["rows"] for set_name in SETS}
    assert sum(rows.values()) == 344
    return dict(answer.json())


def predict(client: Client, body: dict[str, Any], status: int = 200) -> Any:
    return client.suite.ask("POST", "ml_model", "/predict", body, status=status)


def serve(client: Client, model_uri: str) -> None:
    """Put a model into both slots."""
    client.suite.ask("POST", "ml_model", "/update-model", {"model_uri": model_uri})
    client.suite.ask("POST", "ml_model", "/accept-next-model")


def finished(client: Client, job_id: int) -> Any:
    """Return a job when it has ended."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        job = client.suite.ask("GET", "ml_model", f"/jobs/{job_id}")
        if job["state"] not in ("queued", "running"):
            return job
        time.sleep(0.2)
    raise AssertionError(f"still {job}")


def test_penguins_go_through_the_whole_lifecycle(client: Client, brought: dict[str, Any]) -> None:
    suite, name = client.suite, brought["dataset_name"]
    columns = {column["name"]: column["type"] for column in brought["columns"]}
    assert [columns[feature] for feature in FEATURES] == TYPES
    assert brought["classes"] == ["Adelie", "Chinstrap", "Gentoo"]

    grids: dict[str, dict[str, list[Any]]] = {
        "LogisticRegression": {"C": [0.1, 1], "solver": ["liblinear"]},
        "RandomForest": {"n_estimators": [20]},
    }
    found = client.search(name, grids, dataset_name=name, cv=3)
    client.deploy(found["run_ids"]["LogisticRegression"])
    scores = {}
    for set_name in SETS:
        body = {"dataset": set_name, "dataset_name": name}
        scores[set_name] = suite.ask("POST", "ml_model", "/root/ml", body)["score"]
    assert scores["testing"] >= 0.9 > scores["production"]

    summary = client.monitor("summary", dataset_name=name)
    assert summary["retraining_needed"] is True
    for metric in ("report", "tests"):
        assert client.monitor(metric, dataset_name=name)

    # What the search itself logged is a version too, with its own input example.
    serve(client, f"runs:/{found['run_ids']['RandomForest']}/model")
    found_by_names = predict(client, {"records": [dict(zip(FEATURES, ADELIE, strict=True))]})
    assert found_by_names["predictions"] == ["Adelie"]
    rows = [
        ADELIE,
        [None] * 6,
        ["An island that nobody saw", 50.0, 220, 5400, "", True],
        ["Biscoe", None, 217, 5300, None, None],
    ]
    in_order = predict(client, {"data": rows})
    assert in_order["predictions"][0] == "Adelie"
    assert in_order["predictions"][2:] == ["Gentoo", "Gentoo"]
    refused = predict(client, {"data": [["Biscoe", "long", 217, 5300, None, None]]}, status=400)
    assert "bill_length_mm" in refused["message"]
    refused = predict(client, {"data": [["Biscoe", 40, 217, 5300, None, "yes"]]}, status=400)
    assert "true or false" in refused["message"]
    history = suite.ask("GET", "ml_model", "/predictions/history?limit=4")["history"]
    assert [entry["inputs"] for entry in reversed(history)] == [
        dict(zip(FEATURES, row, strict=True)) for row in rows
    ]


def test_a_version_with_a_drift_sample_is_checked_and_retrained(
    client: Client, brought: dict[str, Any]
) -> None:
    suite, name = client.suite, brought["dataset_name"]
    body = {"dataset_name": name, "model_name": "RandomForest", "registered_model_name": name}
    trained = suite.ask("POST", "ml_model", "/train", body)
    assert trained["status"] == "success"
    assert trained["metrics"]["accuracy"] >= 0.9
    serve(client, trained["model_uri"])

    path = f"{DATASETS}/{name}/rows?limit=200&set_name=testing"
    page = suite.ask("GET", "simulator", path)
    testing = [dict(zip(page["columns"], row, strict=True)) for row in page["rows"]]
    alike = [{feature: row[feature] for feature in FEATURES} for row in testing]
    check = suite.ask("POST", "ml_model", "/data-drift", {"data": alike})
    assert check["verdict"] == "no_drift", check
    moved = [{**row, FEATURES[0]: "Svalbard", FEATURES[5]: None} for row in alike]
    check = suite.ask("POST", "ml_model", "/data-drift", {"data": moved})
    drifted = {column["name"]: column for column in check["columns"] if column["drift"]}
    assert set(drifted) == {FEATURES[0], FEATURES[5]}
    assert drifted[FEATURES[0]]["new_categories"] == ["Svalbard"]
    assert drifted[FEATURES[5]]["missing"]["drift"]

    for row in (ADELIE, ["Torgersen", None, 180, 3700, None, None]):
        suite.ask(
            "POST",
            "ml_model",
            "/add_training_data",
            {"features": row, "target": "Adelie", "dataset_name": name},
        )
    job = suite.ask("POST", "ml_model", "/trigger_retrain", {"dataset_name": name}, status=202)
    ended = finished(client, job["job_id"])
    assert ended["state"] == "succeeded", ended
    result = ended["result"]
    assert min(result["champion_accuracy"], result["challenger_accuracy"]) >= 0.9
    assert result["new_rows"] == 2
