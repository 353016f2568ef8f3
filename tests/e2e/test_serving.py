"""Serving under load: what is answered is committed, and swaps cost no request."""

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.support.lifecycle_client import Client
from tests.support.running_suite import OwnSuite

ROW = [13.2, 1.78, 2.14, 11.2, 100.0, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050.0]
CALLERS = 8


@pytest.fixture(scope="module")
def serving(own_suite: OwnSuite, client: Client) -> OwnSuite:
    """Two versions of one model: the second serves, and the first is in `next`."""
    client.load_all()
    versions = []
    for strength in (0.5, 2.0):
        client.set_model("LogisticRegression", C=strength)
        client.score("training")
        versions.append(own_suite.ask("GET", "ml_model", "/root/ml")["model_version"])
    uri = f"models:/LogisticRegression/{versions[0]}"
    own_suite.ask("POST", "ml_model", "/update-model", {"model_uri": uri})
    return own_suite


@dataclass
class Load:
    """Callers that predict without a pause, each request with an id of its own."""

    url: str
    answered: list[tuple[str, int, str]] = field(default_factory=list)
    others: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    _end: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, count: int) -> None:
        """Wait until so many more are answered."""
        wanted, deadline = len(self.answered) + count, time.monotonic() + 60
        while len(self.answered) < wanted:
            assert time.monotonic() < deadline, (len(self.answered), self.others, self.lost)
            time.sleep(0.01)

    def _call(self) -> None:
        session = requests.Session()
        while not self._end.is_set():
            request_id = uuid.uuid4().hex
            try:
                answer = session.post(
                    f"{self.url}/predict",
                    json={"data": [ROW]},
                    headers={"X-Request-ID": request_id},
                    timeout=30,
                )
            except requests.RequestException:
                # Whether it is in the log nobody can say, and nobody was told.
                self.lost += 1
                session = requests.Session()
                time.sleep(0.02)
                continue
            if answer.status_code == 200:
                body = answer.json()
                assert body["request_id"] == request_id
                assert body["logged"] is True
                self.answered.append((request_id, body["predictions"][0], body["model_used"]))
            else:
                self.others[answer.status_code] += 1
                time.sleep(0.02)


@pytest.fixture
def load(serving: OwnSuite) -> Load:
    return Load(serving.ml_model_url)


def logged(suite: OwnSuite) -> dict[str, int]:
    """Return how often each row of each request id is in the log as answered."""
    return dict(
        suite.rows(  # type: ignore[arg-type]
            "SELECT request_id, count(*) / count(DISTINCT row_number) FROM prediction_log"
            " WHERE slot <> 'shadow' AND error IS NULL GROUP BY 1"
        )
    )


@pytest.mark.parametrize("name", ["ml_model", "postgres"])
def test_every_acknowledged_prediction_survives_a_kill(
    serving: OwnSuite, load: Load, name: str
) -> None:
    with load:
        load.wait_for(200)
        serving.kill(name)
        time.sleep(0.3)
        serving.start(name)
        load.wait_for(200)
    assert load.lost or load.others, "nobody noticed the kill"
    # While Postgres is away there is nothing but that answer.
    assert set(load.others) <= {503}
    found = logged(serving)
    assert all(found.get(request_id) == 1 for request_id, _, _ in load.answered)
    assert set(found.values()) == {1}


def test_a_repeated_request_is_logged_once_and_answered_alike(serving: OwnSuite) -> None:
    headers = {"X-Request-ID": f"again-{uuid.uuid4().hex}"}
    first, second = (
        serving.call("POST", "ml_model", "/predict", json={"data": [ROW, ROW]}, headers=headers)
        for _ in range(2)
    )
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert logged_rows(serving, headers["X-Request-ID"]) == [0, 1]


def logged_rows(suite: OwnSuite, request_id: str) -> list[int]:
    """Return the row numbers that are logged of a request."""
    found = suite.rows(
        "SELECT row_number FROM prediction_log WHERE request_id = %s ORDER BY 1", request_id
    )
    return [number for (number,) in found]


def test_an_id_that_others_used_gets_another(serving: OwnSuite) -> None:
    headers = {"X-Request-ID": f"shared-{uuid.uuid4().hex}"}
    first = serving.call("POST", "ml_model", "/predict", json={"data": [ROW]}, headers=headers)
    other = [ROW[0] + 1, *ROW[1:]]
    second = serving.call("POST", "ml_model", "/predict", json={"data": [other]}, headers=headers)
    assert first.json()["request_id"] == headers["X-Request-ID"]
    assert second.status_code == 200
    assert second.headers["X-Request-ID"] == headers["X-Request-ID"]
    assert logged_rows(serving, second.json()["request_id"]) == [0]
    assert second.json()["request_id"] != headers["X-Request-ID"]


@pytest.fixture
def restored(serving: OwnSuite) -> Iterator[OwnSuite]:
    """All requests go to `current` again afterwards."""
    yield serving
    change(serving, "/set-shadow", {"shadow": False})
    change(serving, "/set-canary-probability", {"probability": 1.0})


def change(suite: OwnSuite, path: str, body: dict[str, Any]) -> Any:
    """Change what serves."""
    return suite.ask("POST", "ml_model", path, body)


def test_no_request_fails_while_slots_change(restored: OwnSuite, load: Load) -> None:
    with load:
        load.wait_for(50)
        for probability in (0.0, 0.5, 1.0) * 3:
            change(restored, "/set-canary-probability", {"probability": probability})
            load.wait_for(20)
        change(restored, "/rollback", {})
        load.wait_for(50)
    assert not load.others
    assert load.lost == 0
    assert {slot for _, _, slot in load.answered} == {"current", "next"}


def test_every_request_after_a_change_sees_it(restored: OwnSuite) -> None:
    session = requests.Session()
    for probability, slot in ((0.0, "next"), (1.0, "current")) * 5:
        change(restored, "/set-canary-probability", {"probability": probability})
        # A connection stays with one worker: old ones and new ones together meet them all.
        for call in (session.post, *[requests.post] * 6):
            answer = call(f"{restored.ml_model_url}/predict", json={"data": [ROW]}, timeout=30)
            assert answer.json()["model_used"] == slot


def test_the_routing_key_decides(restored: OwnSuite) -> None:
    change(restored, "/set-canary-probability", {"probability": 0.5})
    used: dict[str, set[str]] = {}
    for number in range(40):
        key = f"customer-{number}"
        calls: list[Callable[[], requests.Response]] = [
            lambda key=key: restored.call(  # type: ignore[misc]
                "POST", "ml_model", "/predict", json={"data": [ROW]}, headers={"X-Routing-Key": key}
            ),
            lambda key=key: restored.call(  # type: ignore[misc]
                "POST", "ml_model", "/predict", json={"data": [ROW], "routing_key": key}
            ),
            lambda key=key: restored.call(  # type: ignore[misc]
                "POST",
                "ml_model",
                "/invocations",
                json={"inputs": [ROW]},
                headers={"X-Routing-Key": key},
            ),
        ]
        used[key] = {call().json()["model_used"] for call in calls * 2}
    assert all(len(slots) == 1 for slots in used.values())
    assert set.union(*used.values()) == {"current", "next"}


def test_the_shadow_answers_unseen(restored: OwnSuite) -> None:
    change(restored, "/set-shadow", {"shadow": True})
    answers = [restored.ask("POST", "ml_model", "/predict", {"features": ROW}) for _ in range(20)]
    assert {answer["model_used"] for answer in answers} == {"current"}
    deadline = time.monotonic() + 30
    wanted = {answer["request_id"] for answer in answers}
    while True:
        found = {
            request_id
            for (request_id,) in restored.rows(
                "SELECT request_id FROM prediction_log WHERE slot = 'shadow'"
            )
        }
        if wanted <= found:
            break
        assert time.monotonic() < deadline, len(wanted - found)
        time.sleep(0.05)
    slots = restored.ask("GET", "ml_model", "/slots")
    assert slots["compared"] >= 20
    assert slots["agreement"] is not None


def test_a_large_batch_is_logged_row_by_row(serving: OwnSuite) -> None:
    answer = serving.ask("POST", "ml_model", "/predict", {"data": [ROW] * 10_000})
    assert len(answer["predictions"]) == len(answer["probabilities"]) == 10_000
    assert logged_rows(serving, answer["request_id"]) == list(range(10_000))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", {"records": [dict.fromkeys(["alcohol"], 1.0)]}),
        ("/predict", {"data": [ROW[:-1]]}),
        ("/predict", {"data": [[*ROW, 1.0]]}),
        ("/predict", {"data": [["13.2", *ROW[1:]]]}),
        ("/predict", {"data": [[True, *ROW[1:]]]}),
        ("/predict", {"data": []}),
        ("/predict", {"features": []}),
        ("/predict", {"features": ROW, "data": [ROW]}),
        ("/predict", {"rows": [ROW]}),
        ("/invocations", {"instances": [ROW[:-1]]}),
        ("/invocations", {"inputs": [ROW], "params": {"temperature": 1}}),
    ],
)
def test_wrong_rows_are_refused_and_not_logged(
    serving: OwnSuite, path: str, body: dict[str, Any]
) -> None:
    request_id = f"wrong-{uuid.uuid4().hex}"
    answer = serving.call("POST", "ml_model", path, json=body, headers={"X-Request-ID": request_id})
    assert answer.status_code == 400
    assert set(answer.json()) >= {"error", "message", "details"}
    assert logged_rows(serving, request_id) == []


def test_not_a_number_is_refused(serving: OwnSuite) -> None:
    for text in ("NaN", "Infinity", "1e999"):
        answer = serving.call(
            "POST",
            "ml_model",
            "/predict",
            data=f'{{"data": [[{text}, {", ".join(map(str, ROW[1:]))}]]}}',
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 400, answer.text


def test_every_way_in_gives_the_same_answer(serving: OwnSuite) -> None:
    by_data = serving.ask("POST", "ml_model", "/predict", {"data": [ROW]})
    by_features = serving.ask("POST", "ml_model", "/predict", {"features": ROW})
    name, version = by_data["registered_model_name"], by_data["model_version"]
    metadata = serving.ask("GET", "ml_model", f"/v2/models/{name}/versions/{version}")
    columns = [column["name"] for column in metadata["inputs"]]
    record = dict(zip(columns, ROW, strict=True))
    by_record = serving.ask("POST", "ml_model", "/predict", {"records": record})
    by_mlflow = serving.ask("POST", "ml_model", "/invocations", {"dataframe_records": [record]})
    tensor = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": ROW}
    by_v2 = serving.ask("POST", "ml_model", f"/v2/models/{name}/infer", {"inputs": [tensor]})
    assert by_features["prediction"] == by_data["predictions"][0]
    assert by_features["confidence"] == max(by_data["probabilities"][0])
    for other in (by_record, by_mlflow):
        assert other["predictions"] == by_data["predictions"]
        assert other["probabilities"] == by_data["probabilities"]
    outputs = {output["name"]: output["data"] for output in by_v2["outputs"]}
    assert outputs == {
        "predict": by_data["predictions"],
        "predict_proba": by_data["probabilities"][0],
    }
    assert serving.call("GET", "ml_model", "/ping").status_code == 200
    for path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{name}/ready"):
        serving.ask("GET", "ml_model", path)
    serving.ask("GET", "ml_model", "/v2/models/nobody", status=404)


def test_the_v2_protocol_as_tritons_clients_send_it(serving: OwnSuite) -> None:
    name = serving.ask("POST", "ml_model", "/predict", {"data": [ROW]})["registered_model_name"]
    url = f"{serving.ml_model_url}/v2/models/{name}/infer"
    tensor = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": ROW}
    wanted = [{"name": "predict", "parameters": {"binary_data": False}}]
    body = json.dumps({"id": "triton-1", "inputs": [tensor], "outputs": wanted}).encode()
    for headers in ({}, {"Content-Type": "application/octet-stream"}):
        answer = requests.post(url, data=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        assert [output["name"] for output in answer.json()["outputs"]] == ["predict"]
    binary = {"Inference-Header-Content-Length": str(len(body))}
    answer = requests.post(url, data=body + bytes(104), headers=binary, timeout=30)
    assert answer.status_code == 400
    assert "binary_data=False" in answer.json()["message"]
    unknown = json.dumps({"inputs": [tensor], "outputs": [{"name": "scores"}]}).encode()
    answer = requests.post(url, data=unknown, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["details"][0]["path"] == "outputs.0.name"


def test_counters_are_right_across_workers(serving: OwnSuite) -> None:
    def count() -> float:
        text = serving.call("GET", "ml_model", "/prometheus_metrics").text
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith("prediction_requests_total{") and 'outcome="answered"' in line
        )

    before = count()
    for _ in range(40):
        # A connection of its own each: both workers get some.
        requests.post(f"{serving.ml_model_url}/predict", json={"data": [ROW]}, timeout=30)
    assert count() - before == 40
