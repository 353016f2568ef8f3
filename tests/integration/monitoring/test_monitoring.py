"""Report, tests and summary on a real PostgreSQL and the real Evidently."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import monitoring.app
import monitoring.settings
from contracts.monitoring import TEST_NAMES
from tests.integration.monitoring.conftest import Lab
from tests.support.databases import TestDatabase


def no_nan(token: str) -> Any:
    """Fail on what is not JSON."""
    raise AssertionError(f"{token} is not JSON")


def test_says_who_it_is_and_of_which_dataset_it_spoke_last(lab: Lab) -> None:
    named = {"name": "EvidentlyAI", "message": "Monitoring"}
    about = ("dataset_name", "dataset_version", "registered_model_name", "model_version")
    assert lab.client.get("/root/monitoring").get_json() == named | dict.fromkeys(about)
    lab.ready()
    assert lab.client.get("/root/monitoring").get_json() == named | dict.fromkeys(about)
    lab.ask(metric="verdict")
    listed = lab.client.get("/retraining-verdicts").get_json()["verdicts"][0]
    found = lab.client.get("/root/monitoring").get_json()
    assert found == named | {key: listed[key] for key in about}
    assert (found["dataset_name"], found["dataset_version"]) == ("wine", 1)


def test_fouled_production_asks_for_retraining_and_says_why(lab: Lab) -> None:
    lab.ready("shift")
    answer = lab.ask(metric="summary")
    assert answer["retraining_needed"] is True
    fired = {signal["name"] for signal in answer["signals"] if signal["fired"]}
    assert {"accuracy_drop", "missing_values"} <= fired
    assert len(answer["reasons"]) == len(fired)
    assert any("accuracy went from 100.0% in testing to" in text for text in answer["reasons"])
    assert answer["message"]["retraining_needed"] is True
    assert answer["message"]["reasons"] == answer["reasons"]
    assert answer["message"]["all_passed"] is False


def test_clean_production_asks_for_nothing_though_presets_fail(lab: Lab) -> None:
    lab.ready("clean")
    answer = lab.ask(metric="summary")
    assert answer["message"]["failed_tests"] > 0, "the presets alone would raise a false alarm"
    assert answer["retraining_needed"] is False
    assert answer["reasons"] == []


def test_summary_counts_add_up(lab: Lab) -> None:
    lab.ready()
    counts = lab.ask(metric="summary")["message"]
    assert sum(counts["by_status"].values()) == counts["total_tests"]
    assert counts["success_tests"] == counts["by_status"]["SUCCESS"]
    assert counts["failed_tests"] == counts["by_status"]["FAIL"]
    assert counts["total_tests"] > 80


def test_chosen_presets_are_a_part_of_all(lab: Lab) -> None:
    lab.ready()
    every = lab.ask(metric="summary")["message"]["total_tests"]
    drift = lab.ask(metric="summary", tests={"data_drift": True, "data_quality": False})
    assert 0 < drift["message"]["total_tests"] < every


def test_tests_and_report_are_json_without_nan(lab: Lab) -> None:
    lab.ready()
    for body in (
        {"metric": "tests", "tests": dict.fromkeys(TEST_NAMES, True)},
        {"metric": "report"},
    ):
        answer = lab.client.post("/root/monitoring", json=body)
        assert answer.status_code == 200, answer.text
        message = json.loads(answer.text, parse_constant=no_nan)["message"]
        assert message["tests" if body["metric"] == "tests" else "metrics"]


@pytest.mark.parametrize("metric", ["report", "tests"])
def test_page_is_html_that_needs_no_network(lab: Lab, metric: str) -> None:
    lab.ready()
    answer = lab.client.post("/root/monitoring", json={"metric": metric, "format": "html"})
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert "<title>Cellar monitoring: LogisticRegression version 1 on wine version 1</title>" in (
        answer.text
    )
    assert "Retraining needed." in answer.text
    assert 'src="http' not in answer.text


def test_same_question_is_read_from_the_store_also_after_a_restart(
    lab: Lab, cellar_database: TestDatabase
) -> None:
    lab.ready()
    first = lab.ask(metric="summary")
    restarted = monitoring.app.create_app(cellar_database.settings(monitoring.settings.Settings))
    answer = restarted.test_client().post("/root/monitoring", json={"metric": "summary"})
    assert answer.get_json() == first
    assert lab.stored() == 1


@pytest.mark.parametrize("metric", ["verdict", "summary", "report"])
def test_a_model_that_came_without_a_dataset_cannot_be_judged(lab: Lab, metric: str) -> None:
    version_id = lab.ready()
    lab.database.execute(
        "UPDATE model_versions SET dataset_id = NULL, training_content_hash = NULL WHERE id = %s",
        (version_id,),
    )
    answer = lab.client.post("/root/monitoring", json={"metric": metric})
    assert answer.status_code == 409, answer.text
    assert "/root/ml/set_model" in answer.get_json()["message"]


def test_verdicts_are_listed_newest_first_and_paged(lab: Lab) -> None:
    assert lab.client.get("/retraining-verdicts").get_json() == {
        "verdicts": [],
        "count": 0,
        "next_cursor": None,
    }
    lab.ready("shift")
    asked = [lab.ask(metric="summary", tests={name: True}) for name in TEST_NAMES[:3]]
    found = lab.client.get("/retraining-verdicts?limit=2").get_json()
    rest = lab.client.get(f"/retraining-verdicts?limit=2&cursor={found['next_cursor']}").get_json()
    assert (found["count"], rest["count"], rest["next_cursor"]) == (2, 1, None)
    listed = found["verdicts"] + rest["verdicts"]
    assert [item["id"] for item in listed] == sorted((item["id"] for item in listed), reverse=True)
    for item, answer in zip(listed, reversed(asked), strict=True):
        assert item["metric"] == "summary"
        assert item["created_at"] == answer["created_at"]
        assert item["reasons"] == answer["reasons"]
        assert item["signals"] == answer["signals"]
        name, version = item["registered_model_name"], item["model_version"]
        assert name in answer["model"] and version in answer["model"]
        assert (item["dataset_name"], item["dataset_version"]) == ("wine", 1)
    for odd in ("limit=0", "cursor=x", "page=2"):
        assert lab.client.get(f"/retraining-verdicts?{odd}").status_code == 400


def test_stored_answer_comes_without_evidently(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.ready()
    first = lab.ask(metric="report")
    monkeypatch.setattr("monitoring.evidently_adapter.Report", None)
    assert lab.ask(metric="report") == first


def test_other_rows_another_version_or_a_named_default_are_told_apart(lab: Lab) -> None:
    version_id = lab.ready()
    first = lab.ask(metric="summary")
    # The five by name are the same question as none named.
    assert lab.ask(metric="summary", tests=dict.fromkeys(TEST_NAMES, True)) == first
    assert lab.stored() == 1
    lab.load("production", scenario="clean")
    assert lab.ask(409, metric="summary")["message"].endswith(
        'POST /root/ml {"dataset": "production"}.'
    )
    lab.score(version_id, "production")
    assert lab.ask(metric="summary")["retraining_needed"] is False
    assert lab.stored() == 2


def test_many_at_once_each_get_the_answer_they_would_get_alone(lab: Lab) -> None:
    lab.ready()
    bodies: list[dict[str, Any]] = [
        {"metric": "summary"},
        {"metric": "summary", "tests": {"data_drift": True}},
        {"metric": "tests", "tests": {"data_quality": True}},
        {"metric": "summary"},
        {"metric": "report"},
        {"metric": "summary", "tests": {"data_drift": True}},
    ]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: lab.ask(**body), bodies))
    assert lab.stored() == 4
    assert [lab.ask(**body) for body in bodies] == answers


def test_each_step_that_is_due_is_named(lab: Lab) -> None:
    def due() -> str:
        message: str = lab.ask(409, metric="report")["message"]
        return message

    assert "POST /root/ml/set_model" in due()
    lab.set_model(None)
    assert due() == 'Load the training set first: POST /root/simulator {"set_name": "training"}.'
    lab.load("training")
    assert due() == 'Train the model first: POST /root/ml {"dataset": "training"}.'
    version_id = lab.deploy()
    assert 'POST /root/simulator {"set_name": "testing"}' in due()
    lab.load("testing")
    assert 'POST /root/simulator {"set_name": "production"}' in due()
    lab.load("production")
    assert 'POST /root/ml {"dataset": "testing"}' in due()
    lab.score(version_id, "testing")
    assert 'POST /root/ml {"dataset": "production"}' in due()
    lab.score(version_id, "production")
    assert lab.ask(metric="summary")["message"]["total_tests"] > 0
    lab.deploy()
    assert 'POST /root/ml {"dataset": "testing"}' in due()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"metric": "nonsense"}, "report"),
        ({}, "metric"),
        ({"metric": "summary", "format": "html"}, "format"),
        ({"metric": "report", "format": "pdf"}, "html"),
        ({"metric": "tests", "tests": {}}, "multi_class_classification"),
        ({"metric": "tests", "tests": {"data_drift": False}}, "data_drift"),
        ({"metric": "summary", "tests": {"data_drift": False}}, "data_drift"),
        ({"metric": "summary", "tests": {"drift": True}}, "no_target_performance"),
        ({"metric": "summary", "tests": {"data_drift": 1}}, "boolean"),
        ({"metric": "summary", "tests": ["data_drift"]}, "tests"),
        ({"metric": "summary", "dataset_name": "x; DROP TABLE datasets"}, "dataset_name"),
        ({"metric": "summary", "dataset_version": 0}, "dataset_version"),
        ({"metric": "summary", "unknown": 1}, "unknown"),
    ],
)
def test_bad_question_is_refused_and_nothing_stored(
    lab: Lab, body: dict[str, Any], named: str
) -> None:
    answer = lab.ask(400, **body)
    assert set(answer) <= {"error", "message", "details"}
    assert named in json.dumps(answer)
    assert lab.stored() == 0


def test_unknown_dataset_names_the_call_that_loads_it(lab: Lab) -> None:
    lab.ready()
    message = lab.ask(409, metric="summary", dataset_name="iris")["message"]
    assert 'POST /root/simulator {"set_name": "testing", "dataset_name": "iris"}' in message


SPOILT_COLUMNS = """
    UPDATE samples.wine_v1 SET malic_acid = NULL, ash = 1,
        alcohol = CASE WHEN set_name <> 'production' THEN alcohol END
"""


@pytest.mark.parametrize(
    "spoil",
    [
        SPOILT_COLUMNS,
        "DELETE FROM predictions WHERE set_name = 'production' AND mod(sample_id, 2) = 0",
        "UPDATE predictions SET predicted_class = '0' WHERE set_name = 'production'",
    ],
    ids=["columns", "predictions missing", "predictions of one class"],
)
def test_spoilt_columns_and_predictions_still_get_an_answer(lab: Lab, spoil: str) -> None:
    lab.ready()
    lab.database.execute(spoil)
    for metric in ("summary", "report"):
        answer = lab.client.post("/root/monitoring", json={"metric": metric})
        assert answer.status_code == 200, answer.text
        json.loads(answer.text, parse_constant=no_nan)


def test_database_away_is_a_503_and_its_return_needs_no_restart(
    lab: Lab, cellar_database: TestDatabase, database_gate: Any
) -> None:
    lab.ready()
    settings = cellar_database.settings(
        monitoring.settings.Settings, database_port=database_gate.port
    )
    client = monitoring.app.create_app(settings).test_client()
    with database_gate.outage():
        answer = client.post("/root/monitoring", json={"metric": "summary"})
        assert answer.status_code == 503
        assert client.get("/ready").status_code == 503
    deadline = time.monotonic() + 10
    while client.post("/root/monitoring", json={"metric": "summary"}).status_code != 200:
        assert time.monotonic() < deadline
