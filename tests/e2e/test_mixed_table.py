"""Penguins through the whole lifecycle: text, truth values, numbers, and gaps among all of them."""

import pytest

from tests.support.lifecycle_client import Client
from tests.support.real_tables import ADELIE, penguins
from tests.support.real_tables import PENGUIN_FEATURES as FEATURES
from tests.support.table_walk import (
    Walked,
    finished,
    predict,
    rows_of,
    serve,
    serve_what_was_found,
    train_and_judge,
)


@pytest.fixture(scope="module")
def walked(client: Client) -> Walked:
    """The dataset, when it is trained on and judged."""
    return train_and_judge(client, penguins())


def test_penguins_go_through_the_whole_lifecycle(client: Client, walked: Walked) -> None:
    suite, name = client.suite, walked.name
    assert walked.scores["testing"] >= 0.9 > walked.scores["production"]
    summary = client.monitor("summary", dataset_name=name)
    assert summary["retraining_needed"] is True
    for metric in ("report", "tests"):
        assert client.monitor(metric, dataset_name=name)

    serve_what_was_found(client, penguins(), walked)
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
    client: Client, walked: Walked
) -> None:
    suite, name = client.suite, walked.name
    body = {"dataset_name": name, "model_name": "RandomForest", "registered_model_name": name}
    trained = suite.ask("POST", "ml_model", "/train", body)
    assert trained["status"] == "success"
    assert trained["metrics"]["accuracy"] >= 0.9
    serve(client, trained["model_uri"])

    testing = rows_of(client, name, "testing")
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
