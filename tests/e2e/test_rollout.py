"""A guarded roll-out on the running suite: traffic in, decisions out, no request fails."""

import time
from typing import Any

from sklearn.datasets import load_wine

from tests.support.lifecycle_client import Client

ROWS = load_wine().data.tolist()
DEADLINE_S = 120


def state_after_traffic(client: Client, rollout_id: int) -> Any:
    """Predict until the roll-out is over and return it."""
    path = f"/rollouts/{rollout_id}"
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        for number in range(20):
            client.suite.ask("POST", "ml_model", "/predict", {"data": [ROWS[number]]})
        found = client.suite.ask("GET", "ml_model", path)
        if found["state"] != "running":
            return found
    raise AssertionError(found)


def test_next_becomes_current_step_by_step_and_back_in_one_call(client: Client) -> None:
    client.load_all()
    client.set_model("LogisticRegression", C=0.5)
    client.score("training")
    ask = client.suite.ask
    first = ask("GET", "ml_model", "/slots")["current"]["model_uri"]
    client.set_model("LogisticRegression", C=0.6)
    client.score("training")
    second = ask("GET", "ml_model", "/slots")["current"]["model_uri"]
    ask("POST", "ml_model", "/rollback", {})
    ask("POST", "ml_model", "/update-model", {"model_uri": second})
    before = ask("GET", "ml_model", "/slots")["deployment_id"]
    plan = {"steps": [0.2, 0.8], "min_requests": 10, "max_latency_ratio": 1000}
    rollout_id = ask("POST", "ml_model", "/rollouts", plan, status=201)["rollout_id"]
    found = state_after_traffic(client, rollout_id)
    assert found["state"] == "completed", found
    assert [item["decision"] for item in found["decisions"] if item["decision"] != "hold"] == [
        "start",
        "advance",
        "complete",
    ]
    assert all(item["numbers"]["requests"] >= 10 for item in found["decisions"][-1:])
    # The program that runs the jobs made the change; every worker follows within a second.
    time.sleep(1)
    used = {
        ask("POST", "ml_model", "/predict", {"data": ROWS[:1]})["model_version"] for _ in range(20)
    }
    assert used == {second.rpartition("/")[2]}
    answer = ask("POST", "ml_model", "/rollback", {"deployment_id": before})
    assert answer["state"]["current"]["model_uri"] == first
