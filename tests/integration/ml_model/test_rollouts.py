"""Guarded roll-outs on a real database: every step, every way to end, every decision stored."""

import threading
from typing import Any

import pytest

from tests.integration.ml_model.slots_lab import SlotsLab, make_slots_lab
from tests.support.databases import TestDatabase

ONE, TWO, THREE = "models:/flower/1", "models:/flower/2", "models:/flower/3"
PLAN = {"steps": [0.1, 0.5, 1.0], "min_requests": 50}


@pytest.fixture
def lab(cellar_database: TestDatabase) -> SlotsLab:
    """Version 1 in current, 2 in next."""
    lab = make_slots_lab(cellar_database)
    lab.put(ONE, TWO)
    return lab


def start(lab: SlotsLab, **changes: Any) -> Any:
    return lab.ask("POST", "/rollouts", PLAN | changes)


def decisions(lab: SlotsLab, rollout_id: int = 1) -> list[tuple[str, int, float]]:
    found = lab.ask("GET", f"/rollouts/{rollout_id}")["decisions"]
    return [(item["decision"], item["step"], item["next_share"]) for item in found]


def traffic(lab: SlotsLab, number: int = 60, **of_next: Any) -> None:
    """Log requests that both slots answered well, with what is told of next instead."""
    taken = lab.database.rows("SELECT count(*) FROM prediction_log")[0][0]
    lab.log(ONE, "current", [0] * number, first=taken)
    lab.log(TWO, "shadow", [0] * number, first=taken)
    lab.log(TWO, "next", of_next.pop("predictions", [0] * number), first=taken + number, **of_next)


def split(lab: SlotsLab) -> tuple[float, bool]:
    slots = lab.ask("GET", "/slots")
    return slots["canary_probability"], slots["shadow"]


def test_a_good_model_becomes_current(lab: SlotsLab) -> None:
    answer = start(lab)
    assert answer["state"] == "running"
    assert (answer["step"], answer["next_share"]) == (0, 0.1)
    assert answer["current"]["model_uri"] == ONE and answer["next"]["model_uri"] == TWO
    assert split(lab) == (0.9, True)
    shares = []
    for _ in range(3):
        lab.tick()
        traffic(lab)
        lab.tick()
        shares.append(split(lab))
    assert shares == [(0.5, True), (0.0, True), (1.0, False)]
    answer = lab.ask("GET", "/rollouts/1")
    assert answer["state"] == "completed" and answer["finished_at"]
    slots = lab.ask("GET", "/slots")
    assert slots["current"]["model_uri"] == slots["next"]["model_uri"] == TWO
    assert decisions(lab) == [
        ("start", 0, 0.1),
        ("hold", 0, 0.1),
        ("advance", 1, 0.5),
        ("hold", 1, 0.5),
        ("advance", 2, 1.0),
        ("hold", 2, 1.0),
        ("complete", 2, 1.0),
    ]
    assert [entry[1:] for entry in lab.ledger()[3:]] == [
        ("rollout_start", "rollout"),
        ("rollout_advance", "rollout 1"),
        ("rollout_advance", "rollout 1"),
        ("rollout_complete", "rollout 1"),
    ]
    assert lab.tick() is False


def test_every_decision_keeps_its_numbers(lab: SlotsLab) -> None:
    start(lab)
    traffic(lab)
    lab.tick()
    item = lab.ask("GET", "/rollouts/1")["decisions"][-1]
    assert item["decision"] == "advance"
    numbers = item["numbers"]
    assert (numbers["requests"], numbers["errors"], numbers["compared"]) == (60, 0, 60)
    assert (numbers["p95_ms"], numbers["current_p95_ms"]) == (10.0, 10.0)
    assert numbers["latency_ratio"] == 1.0 and numbers["disagreement"] == 0.0
    deployments = lab.ask("GET", "/deployments")["deployments"]
    assert item["deployment_id"] == deployments[0]["deployment_id"]


def test_a_hold_is_stored_once_for_each_reason(lab: SlotsLab) -> None:
    start(lab)
    for _ in range(3):
        lab.tick()
        traffic(lab, 5)
    assert [name for name, *_ in decisions(lab)] == ["start", "hold"]
    traffic(lab, predictions=[0] * 59 + [ValueError("no")])
    lab.tick()
    lab.tick()
    found = lab.ask("GET", "/rollouts/1")
    assert [item["decision"] for item in found["decisions"]] == ["start", "hold", "hold"]
    # Nor when another one came in between.
    lab.database.execute("UPDATE rollouts SET reason = 'another'")
    lab.tick()
    assert [name for name, *_ in decisions(lab)] == ["start", "hold", "hold"]
    found = lab.ask("GET", "/rollouts/1")
    assert "error rate" in found["reason"] and "chance" in found["reason"]


@pytest.mark.parametrize(
    ("of_next", "words"),
    [
        ({"predictions": [ValueError("no")] * 20}, "20 of 20 requests failed"),
        ({"latency_ms": 100.0}, "took longer than 1.5 times"),
    ],
)
def test_a_bad_model_is_taken_back(lab: SlotsLab, of_next: dict[str, Any], words: str) -> None:
    lab.ask("POST", "/set-canary-probability", {"probability": 0.8})
    start(lab)
    traffic(lab, **of_next)
    lab.tick()
    found = lab.ask("GET", "/rollouts/1")
    assert found["state"] == "rolled_back"
    assert words in found["reason"]
    slots = lab.ask("GET", "/slots")
    assert (slots["current"]["model_uri"], slots["next"]["model_uri"]) == (ONE, TWO)
    assert split(lab) == (1.0, False)
    assert lab.ledger()[-1] == ("split", "rollout_roll_back", "rollout 1")


def test_a_model_that_disagrees_is_taken_back_by_its_shadow_alone(lab: SlotsLab) -> None:
    start(lab)
    lab.log(ONE, "current", [0] * 100)
    lab.log(TWO, "shadow", [0] * 40 + [1] * 60)
    lab.tick()
    found = lab.ask("GET", "/rollouts/1")
    assert found["state"] == "rolled_back" and "60 of 100 rows" in found["reason"]


def test_labels_decide_where_they_are_asked_for(lab: SlotsLab) -> None:
    start(lab, min_accuracy_difference=-0.05, max_disagreement=1.0, min_labels=30)
    lab.log(ONE, "current", [0] * 200)
    lab.log(TWO, "shadow", [0] * 100 + [1] * 100)
    lab.log(TWO, "next", [0] * 60, first=1_000)
    lab.tick()
    assert "30 labels" in lab.ask("GET", "/rollouts/1")["reason"]
    # By name, as a number of another kind, as text: the class is 0 in every case.
    labels = [
        {"request_id": f"r{number}", "label": ["setosa", 0, 0.0, "0"][number % 4]}
        for number in range(200)
    ]
    answer = lab.ask("POST", "/labels", {"labels": labels})
    assert answer["matched"] == 200
    lab.tick()
    found = lab.ask("GET", "/rollouts/1")
    assert found["state"] == "rolled_back"
    numbers = found["decisions"][-1]["numbers"]
    assert (numbers["labels"], numbers["right"]) == (200, 100)
    assert (numbers["current_labels"], numbers["current_right"]) == (200, 200)


def test_what_happened_before_does_not_count(lab: SlotsLab) -> None:
    traffic(lab, predictions=[ValueError("no")] * 40)
    start(lab)
    lab.tick()
    assert lab.ask("GET", "/rollouts/1")["state"] == "running"
    traffic(lab)
    lab.tick()
    assert decisions(lab)[-1] == ("advance", 1, 0.5)
    # The requests of the first step are not those of the second.
    lab.tick()
    assert decisions(lab)[-1] == ("hold", 1, 0.5)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/set-canary-probability", {"probability": 0.3}),
        ("/update-model", {"model_uri": THREE}),
        ("/accept-next-model", None),
        ("/set-shadow", {"shadow": False}),
        ("/rollback", {}),
    ],
)
def test_a_change_by_somebody_else_ends_it(lab: SlotsLab, path: str, body: Any) -> None:
    start(lab)
    lab.ask("POST", path, body)
    before = split(lab)
    traffic(lab, predictions=[ValueError("no")] * 40)
    lab.tick()
    found = lab.ask("GET", "/rollouts/1")
    assert found["state"] == "superseded"
    assert "Deployment 5 by api" in found["reason"]
    assert decisions(lab)[-1][0] == "supersede"
    assert found["decisions"][-1]["numbers"]["errors"] == 40
    assert split(lab) == before
    # It stands in the way of the next one no longer, not even before anybody looked.
    if path != "/accept-next-model":
        start(lab)


def test_a_superseded_one_does_not_stand_in_the_way(lab: SlotsLab) -> None:
    start(lab)
    lab.ask("POST", "/update-model", {"model_uri": THREE})
    assert start(lab)["rollout_id"] == 2
    assert lab.ask("GET", "/rollouts/1")["state"] == "superseded"
    assert lab.ask("GET", "/rollouts/2")["next"]["model_uri"] == THREE


def test_setting_a_model_to_train_ends_nothing(lab: SlotsLab) -> None:
    start(lab)
    lab.database.execute(
        "INSERT INTO deployments (slot, action, model_name, hyperparameters, actor, reason,"
        " request_id, current_version_id, next_version_id, canary_probability, shadow)"
        " SELECT 'current', 'set', 'SVC', '{}', 'api', '', '', current_version_id,"
        " next_version_id, canary_probability, shadow FROM deployments ORDER BY id DESC LIMIT 1"
    )
    traffic(lab)
    lab.tick()
    assert decisions(lab)[-1] == ("advance", 1, 0.5)


class TestCancel:
    """A person ends it."""

    def test_current_answers_everything_again(self, lab: SlotsLab) -> None:
        start(lab)
        answer = lab.ask("POST", "/rollouts/1/cancel")
        assert answer["state"] == "cancelled"
        assert split(lab) == (1.0, False)
        entries = lab.ledger()
        assert lab.ask("POST", "/rollouts/1/cancel") == answer
        assert lab.ledger() == entries
        assert decisions(lab)[-1] == ("cancel", 0, 0.0)
        decided = lab.ask("GET", "/rollouts/1")["decisions"][-1]
        assert decided["numbers"]["requests"] == 0

    def test_what_is_over_cannot_be_cancelled(self, lab: SlotsLab) -> None:
        start(lab)
        traffic(lab, predictions=[ValueError("no")] * 40)
        lab.tick()
        status, message = lab.refused("POST", "/rollouts/1/cancel")
        assert status == 409 and "rolled_back" in message

    @pytest.mark.parametrize("rollout_id", ["2", "0", "-1", "x", "1e3", "9" * 30, "%C2%B9"])
    def test_there_is_none_of_that_id(self, lab: SlotsLab, rollout_id: str) -> None:
        start(lab)
        assert lab.refused("POST", f"/rollouts/{rollout_id}/cancel")[0] == 404
        assert lab.refused("GET", f"/rollouts/{rollout_id}")[0] == 404


class TestRefusals:
    """What cannot be rolled out."""

    def test_only_one_at_a_time(self, lab: SlotsLab) -> None:
        start(lab)
        status, message = lab.refused("POST", "/rollouts", PLAN)
        assert status == 409 and "POST /rollouts/1/cancel" in message

    def test_of_many_at_once_one_is_started(self, lab: SlotsLab) -> None:
        gate = threading.Barrier(6)
        found: list[int] = []

        def ask() -> None:
            gate.wait()
            found.append(lab.service.send("POST", "/rollouts", PLAN)[0])

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [201, 409, 409, 409, 409, 409]

    def test_nothing_to_roll_out(self, cellar_database: TestDatabase) -> None:
        lab = make_slots_lab(cellar_database)
        status, message = lab.refused("POST", "/rollouts", PLAN)
        assert status == 409 and "/update-model" in message
        lab.ask("POST", "/update-model", {"model_uri": ONE})
        status, message = lab.refused("POST", "/rollouts", PLAN)
        assert status == 409 and "/accept-next-model" in message
        lab.ask("POST", "/accept-next-model")
        status, message = lab.refused("POST", "/rollouts", PLAN)
        assert status == 409 and "same version" in message
        assert [entry[1] for entry in lab.ledger()] == ["update_next", "accept"]

    @pytest.mark.parametrize(
        "change",
        [
            {"steps": []},
            {"steps": [0.5, 0.5]},
            {"steps": [0.5, 0.1]},
            {"steps": [0, 1]},
            {"steps": [0.5, 1.5]},
            {"min_requests": 0},
            {"max_error_rate": 2},
            {"max_latency_ratio": 0},
            {"min_accuracy_difference": -2},
            {"limit": 3},
        ],
    )
    def test_a_plan_that_cannot_be_meant(self, lab: SlotsLab, change: dict[str, Any]) -> None:
        assert lab.refused("POST", "/rollouts", PLAN | change)[0] == 400


def test_the_list_names_the_newest_first(lab: SlotsLab) -> None:
    for _ in range(3):
        rollout_id = start(lab)["rollout_id"]
        lab.ask("POST", f"/rollouts/{rollout_id}/cancel")
    found = lab.ask("GET", "/rollouts?limit=2")
    assert [item["rollout_id"] for item in found["rollouts"]] == [3, 2]
    assert found["rollouts"][0]["plan"]["min_requests"] == 50
    assert found["count"] == 2


def test_looking_never_takes_most_of_the_time(lab: SlotsLab) -> None:
    start(lab)
    rollouts = lab.make_rollouts()
    with lab.app.app_context():
        assert rollouts.tick() is True
        # A look that takes a millisecond is followed by a pause of nineteen.
        assert rollouts.tick() is False


def test_two_programs_at_once_decide_once(lab: SlotsLab) -> None:
    start(lab)
    traffic(lab)
    gate = threading.Barrier(4)

    def look() -> None:
        gate.wait()
        lab.tick()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [name for name, *_ in decisions(lab)].count("advance") == 1
    assert split(lab)[0] == 0.5


@pytest.mark.parametrize("limit", [{"min_accuracy_difference": -0.1}, {"min_labels": 10}])
def test_a_limit_that_counts_classes_is_refused_for_a_regression(
    cellar_database: TestDatabase, limit: dict[str, Any]
) -> None:
    lab = make_slots_lab(cellar_database)
    lab.put("models:/house/1", "models:/house/2")
    status, message = lab.refused("POST", "/rollouts", PLAN | limit)
    assert status == 422 and "a slot holds a regression" in message
    assert split(lab) == (1.0, False)
    assert start(lab)["state"] == "running"
