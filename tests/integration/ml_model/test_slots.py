"""Slots, split, shadow, the ledger of every change, and the way back."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.ml_model.slots_lab import SlotsLab, make_slots_lab
from tests.support.databases import TestDatabase

ONE, TWO, THREE = "models:/flower/1", "models:/flower/2", "models:/flower/3"


@pytest.fixture
def lab(cellar_database: TestDatabase) -> SlotsLab:
    """Empty slots."""
    return make_slots_lab(cellar_database)


def state_of(lab: SlotsLab) -> tuple[str | None, str | None, float, bool]:
    slots = lab.ask("GET", "/slots")
    uris = [slots[slot] and slots[slot]["model_uri"] for slot in ("current", "next")]
    return uris[0], uris[1], slots["canary_probability"], slots["shadow"]


def test_the_contract(lab: SlotsLab) -> None:
    assert lab.ask("GET", "/") == {
        "status": "Cellar ML model service running",
        "canary_probability": 1.0,
        "current_model_loaded": False,
        "next_model_loaded": False,
    }
    assert lab.refused("POST", "/accept-next-model")[0] == 400
    updated = lab.ask("POST", "/update-model", {"model_uri": ONE})
    assert updated["status"] == "Next model updated from models:/flower/1"
    assert updated["canary_probability"] == 1.0
    assert (updated["registered_model_name"], updated["model_version"]) == ("flower", "1")
    answer = lab.ask("GET", "/")
    assert (answer["current_model_loaded"], answer["next_model_loaded"]) == (False, True)
    assert lab.ask("POST", "/accept-next-model") == {
        "status": "Next model promoted to current. Both slots now use the same model.",
        "current_model_loaded": True,
        "next_model_loaded": True,
    }
    assert lab.ask("POST", "/set-canary-probability", {"probability": 0.7}) == {
        "status": "Canary probability updated",
        "canary_probability": 0.7,
        "current_model_percentage": "70.0%",
        "next_model_percentage": "30.0%",
    }
    assert lab.ask("GET", "/")["canary_probability"] == 0.7


def test_a_uri_that_is_not_known_leaves_the_slot_as_it_was(lab: SlotsLab) -> None:
    lab.put(ONE, TWO)
    entries = lab.ledger()
    assert lab.refused("POST", "/update-model", {"model_uri": "models:/nothing/1"})[0] == 400
    assert lab.refused("POST", "/update-model", {})[0] == 400
    assert lab.refused("POST", "/update-model", {"model_uri": 3})[0] == 400
    assert state_of(lab)[:2] == (ONE, TWO)
    assert lab.ledger() == entries


@pytest.mark.parametrize("probability", [-0.1, 1.1, "0.5", None, True, 1e400])
def test_a_share_outside_0_to_1_is_refused(lab: SlotsLab, probability: Any) -> None:
    status, _ = lab.refused("POST", "/set-canary-probability", {"probability": probability})
    assert status == 400
    assert lab.ledger() == []


def test_every_call_can_be_repeated(lab: SlotsLab) -> None:
    calls = [
        ("/update-model", {"model_uri": ONE}),
        ("/accept-next-model", None),
        ("/update-model", {"model_uri": TWO}),
        ("/set-canary-probability", {"probability": 0}),
        ("/set-shadow", {"shadow": True}),
        ("/rollback", {"deployment_id": 1}),
        ("/rollback", {}),
    ]
    for path, body in calls:
        first = lab.ask("POST", path, body)
        entries = lab.ledger()
        assert lab.ask("POST", path, body) == first
        assert lab.ledger() == entries
    # The last one has nothing to do: the change before it was going back already.
    assert [entry[:2] for entry in lab.ledger()] == [
        ("next", "update_next"),
        ("current", "accept"),
        ("next", "update_next"),
        ("split", "set_split"),
        ("split", "set_shadow"),
        ("current", "rollback"),
    ]


def test_an_entry_says_who_why_and_by_which_request(lab: SlotsLab) -> None:
    client = lab.app.test_client()
    client.post(
        "/update-model", json={"model_uri": ONE}, headers={"X-Request-ID": "for-the-record"}
    )
    [item] = lab.ask("GET", "/deployments")["deployments"]
    assert item["actor"] == "api"
    assert item["request_id"] == "for-the-record"
    assert item["reason"] == "updated from models:/flower/1"
    assert item["state"] == {
        "current": None,
        "next": {"registered_model_name": "flower", "model_version": "1", "model_uri": ONE},
        "canary_probability": 1.0,
        "shadow": False,
    }
    assert datetime.fromisoformat(item["created_at"]).utcoffset() == timedelta(0)


class TestRollback:
    """One call leads back."""

    def test_to_the_state_before_the_last_change(self, lab: SlotsLab) -> None:
        lab.put(ONE, TWO)
        before = state_of(lab)
        lab.ask("POST", "/accept-next-model")
        assert state_of(lab)[0] == TWO
        answer = lab.ask("POST", "/rollback", {})
        assert answer["state"]["current"]["model_uri"] == ONE
        assert state_of(lab) == before
        assert lab.ask("GET", "/deployments")["deployments"][0]["action"] == "rollback"

    def test_to_any_earlier_state_and_forth_again(self, lab: SlotsLab) -> None:
        lab.put(ONE, TWO)
        lab.ask("POST", "/set-canary-probability", {"probability": 0.25})
        lab.ask("POST", "/set-shadow", {"shadow": True})
        lab.put(THREE)
        states = {
            item["deployment_id"]: item["state"]
            for item in lab.ask("GET", "/deployments")["deployments"]
        }
        for deployment_id in (2, 4, 1, 7, 3):
            answer = lab.ask("POST", "/rollback", {"deployment_id": deployment_id})
            assert answer["state"] == states[deployment_id]
        assert lab.ask("GET", "/")["current_model_loaded"] is True

    def test_a_state_that_never_was(self, lab: SlotsLab) -> None:
        status, message = lab.refused("POST", "/rollback", {})
        assert status == 409 and "GET /deployments" in message
        assert lab.refused("POST", "/rollback", {"deployment_id": 99})[0] == 404
        assert lab.refused("POST", "/rollback", {"deployment_id": 2**63})[0] == 400

    def test_a_state_in_which_nothing_served(self, lab: SlotsLab) -> None:
        lab.ask("POST", "/set-shadow", {"shadow": True})
        lab.put(ONE)
        status, message = lab.refused("POST", "/rollback", {"deployment_id": 1})
        assert status == 409 and "Nothing served" in message
        assert state_of(lab)[0] == ONE

    def test_a_version_that_cannot_serve_any_more(self, lab: SlotsLab) -> None:
        lab.put(ONE, TWO)
        lab.ask("POST", "/accept-next-model")
        lab.database.execute(
            "DELETE FROM serving_models WHERE model_version_id = %s", (lab.version_id(ONE),)
        )
        status, message = lab.refused("POST", "/rollback", {})
        assert status == 409 and "/update-model" in message
        assert state_of(lab)[0] == TWO


class TestLedger:
    """What served when."""

    def test_pages(self, lab: SlotsLab) -> None:
        lab.put(ONE)
        for number in range(5):
            lab.ask("POST", "/set-canary-probability", {"probability": number / 10})
        seen, cursor = [], ""
        while True:
            page = lab.ask("GET", f"/deployments?limit=3{cursor}")
            seen += [item["deployment_id"] for item in page["deployments"]]
            assert page["count"] == len(page["deployments"])
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == [7, 6, 5, 4, 3, 2, 1]

    def test_what_served_at_a_time(self, lab: SlotsLab) -> None:
        lab.put(ONE, TWO)
        lab.ask("POST", "/accept-next-model")
        items = lab.ask("GET", "/deployments")["deployments"]
        for item in items:
            at = lab.ask("GET", f"/deployments?at={item['created_at'].replace('+', '%2B')}")
            assert at["state"] == item["state"]
            assert at["deployments"] == [item]
        first = datetime.fromisoformat(items[-1]["created_at"])
        before = (first - timedelta(microseconds=1)).isoformat().replace("+", "%2B")
        answer = lab.ask("GET", f"/deployments?at={before}")
        assert answer["state"]["current"] is None and answer["deployments"] == []
        later = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert lab.ask("GET", f"/deployments?at={later}")["deployments"] == items[:1]
        for wrong in ("yesterday", "2026-01-01T00:00:00", "0", "1767225600"):
            assert lab.refused("GET", f"/deployments?at={wrong}")[0] == 400

    def test_changes_at_once_take_turns(self, lab: SlotsLab) -> None:
        lab.put(ONE, TWO)
        start = threading.Barrier(8)

        def change(number: int) -> None:
            start.wait()
            for _ in range(3):
                body = {"probability": number / 10}
                lab.service.send("POST", "/set-canary-probability", body)
                lab.service.send("POST", "/set-shadow", {"shadow": number % 2 == 0})

        threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        items = lab.ask("GET", "/deployments?limit=1000")["deployments"][::-1]
        states = [item["state"] for item in items]
        # Every entry changes something, and only what it says.
        for earlier, later, item in zip(states, states[1:], items[1:], strict=False):
            changed = {key for key in later if later[key] != earlier[key]}
            assert len(changed) == 1, item
            if item["action"] == "set_split":
                assert changed == {"canary_probability"}
            if item["action"] == "set_shadow":
                assert changed == {"shadow"}
        times = [item["created_at"] for item in items]
        assert times == sorted(times)


class TestFigures:
    """What `GET /slots` says of the two models."""

    def test_requests_errors_and_latency_of_the_versions_in_the_slots(self, lab: SlotsLab) -> None:
        lab.put(ONE, TWO)
        lab.log(ONE, "current", [0] * 100, latency_ms=[float(n) for n in range(1, 101)])
        lab.log(ONE, "current", [ValueError("no")] * 3, first=100)
        lab.log(TWO, "next", [1] * 4, first=200)
        lab.log(ONE, "current", [0] * 50, first=300, ago="10 min")
        slots = lab.ask("GET", "/slots")
        current = slots["current"]
        assert (current["requests"], current["errors"]) == (103, 3)
        assert current["error_rate"] == pytest.approx(3 / 103)
        assert current["latency_ms"] == pytest.approx(
            {"mean": 50.5, "p50": 50.5, "p95": 95.05, "p99": 99.01}
        )
        assert slots["next"]["requests"] == 4
        assert (current["runtime"], current["parity"]) == ("onnx", {})
        assert lab.ask("GET", "/slots?window_s=3600")["current"]["requests"] == 153

    def test_rows_of_one_request_count_once(self, lab: SlotsLab) -> None:
        lab.put(ONE)
        for row in range(3):
            lab.log(ONE, "current", [0, 1], row=row)
        assert lab.ask("GET", "/slots")["current"]["requests"] == 2

    def test_agreement_of_a_shadow(self, lab: SlotsLab) -> None:
        lab.put(ONE, TWO)
        slots = lab.ask("GET", "/slots")
        assert (slots["agreement"], slots["compared"]) == (None, 0)
        lab.log(ONE, "current", [0] * 10)
        lab.log(TWO, "shadow", [0] * 7 + [1, ValueError("no")])
        slots = lab.ask("GET", "/slots")
        assert (slots["agreement"], slots["compared"]) == (pytest.approx(7 / 9), 9)

    def test_numbers_agree_that_are_close(self, lab: SlotsLab) -> None:
        lab.put("models:/house/1", "models:/house/2")
        lab.log("models:/house/1", "current", [100.0, 100.0, -10.0, 0.0])
        lab.log("models:/house/2", "shadow", [104.0, 106.0, 10.0, 0.0])
        assert lab.ask("GET", "/slots")["agreement"] == 0.5

    def test_empty_slots(self, lab: SlotsLab) -> None:
        slots = lab.ask("GET", "/slots")
        assert slots["current"] is None and slots["next"] is None
        assert slots["deployment_id"] is None


def test_versions_and_where_they_are_in_use(lab: SlotsLab) -> None:
    lab.put(ONE, TWO)
    lab.models.prepare(THREE)
    lab.ask("POST", "/rollouts", {"min_requests": 10})
    found = lab.ask("GET", "/versions")
    assert found["count"] == 3
    assert {item["model_uri"]: item["in_use"] for item in found["versions"]} == {
        THREE: [],
        TWO: ["slot next", "roll-out 1"],
        ONE: ["slot current", "roll-out 1"],
    }
    first = found["versions"][-1]
    assert first["inputs"] == ["sepal_length", "petal_length"]
    assert first["class_names"] == ["setosa", "versicolor", "virginica"]
    assert lab.ask("GET", "/versions?registered_model_name=house")["versions"] == []


def test_the_lifecycle_s_setting_is_not_lost_by_an_accept(lab: SlotsLab) -> None:
    """A model that is set and not trained yet stays set, whatever serves meanwhile."""
    lab.put(ONE)
    rows = "SELECT model_name, model_version_id FROM deployments WHERE slot = 'current' ORDER BY id"
    assert lab.database.rows(rows) == [("flower", lab.version_id(ONE))]
    lab.database.execute(
        "INSERT INTO deployments (slot, action, model_name, hyperparameters, actor, reason,"
        " request_id, current_version_id, next_version_id) SELECT 'current', 'set', 'SVC',"
        " '{\"C\": 2}', 'api', '', '', current_version_id, next_version_id FROM deployments"
        " ORDER BY id DESC LIMIT 1"
    )
    lab.put(TWO)
    assert lab.database.rows(rows)[1:] == [("SVC", None), ("SVC", None)]
    assert lab.ask("GET", "/slots")["current"]["model_uri"] == TWO
