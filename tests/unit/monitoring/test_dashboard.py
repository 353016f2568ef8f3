"""What the live page shows: gathered once for everyone, kept while the ML service is away."""

import json
from contextlib import nullcontext
from typing import Any

import pytest
import requests

from monitoring.service import dashboard
from monitoring.service.dashboard import ActionService, DashboardService
from monitoring.service.searches import looked_at
from servicekit.clients import ServiceUnavailable

LIST = "/root/tracking/jobs?limit=12"


class Peer:
    """Another service: answers what it is told to, or not at all."""

    def __init__(self, name: str = "ML model") -> None:
        self.name = name
        self.asked: list[str] = []
        self.away = False
        self.answers: dict[str, tuple[int, str]] = {}

    def get(self, path: str) -> requests.Response:
        """As `ServiceClient.get`."""
        self.asked.append(path)
        return self._answer(path)

    def post(self, path: str, json: dict[str, Any]) -> requests.Response:
        """As `ServiceClient.post`."""
        self.asked.append(f"{path} {json}")
        return self._answer(path)

    def _answer(self, path: str) -> requests.Response:
        if self.away:
            raise ServiceUnavailable(
                f"The {self.name} service does not answer; try again in a moment."
            )
        response = requests.Response()
        response.status_code, content = self.answers.get(path, (200, "{}"))
        response._content = content.encode()
        return response


class Tables:
    """A database without one."""

    def transaction(self) -> Any:
        """Nothing to commit."""
        return nullcontext()


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, in its one element."""
    clock = [1_000.0]
    monkeypatch.setattr(dashboard.time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def tracking() -> Peer:
    tracking = Peer("tracking")
    tracking.answers[LIST] = (200, '{"jobs": []}')
    return tracking


@pytest.fixture
def service(peer: Peer, tracking: Peer) -> DashboardService:
    peers: dict[str, Any] = {"ml_model": peer, "tracking": tracking}
    return DashboardService(Tables(), peers, {"own": lambda: [1]})  # type: ignore[arg-type]


def test_many_viewers_ask_once_a_second(
    peer: Peer, service: DashboardService, now_s: list[float]
) -> None:
    for _ in range(10):
        service.sections()
    assert peer.asked.count("/slots") == 1
    now_s[0] += 1.0
    service.sections()
    assert peer.asked.count("/slots") == 2
    assert peer.asked.count("/versions") == 1


def test_a_change_is_told_by_its_number(
    peer: Peer, service: DashboardService, now_s: list[float]
) -> None:
    before = service.sections()
    now_s[0] += 1.0
    assert service.sections()["slots"].change == before["slots"].change
    peer.answers["/slots"] = (200, '{"shadow": true}')
    now_s[0] += 1.0
    after = service.sections()
    assert after["slots"].change == before["slots"].change + 1
    assert after["slots"].data == {"shadow": True}


def test_the_newest_roll_out_is_asked_for_its_decisions(
    peer: Peer, service: DashboardService, now_s: list[float]
) -> None:
    service.sections()
    assert not any(path.startswith("/rollouts/") for path in peer.asked)
    peer.answers["/rollouts?limit=20"] = (200, '{"rollouts": [{"rollout_id": 7}]}')
    peer.answers["/rollouts/7"] = (200, '{"rollout_id": 7, "decisions": []}')
    now_s[0] += 2.0
    service.sections()
    now_s[0] += 2.0
    assert service.sections()["rollout"].data == {"rollout_id": 7, "decisions": []}


def test_while_the_ml_service_is_away_what_was_known_stays(
    peer: Peer, service: DashboardService, now_s: list[float]
) -> None:
    peer.answers["/slots"] = (200, '{"shadow": true}')
    known = service.sections()["slots"]
    peer.away = True
    peer.asked.clear()
    now_s[0] += 2.0
    sections = service.sections()
    assert len(peer.asked) == 1
    assert sections["slots"].data == {"shadow": True}
    assert sections["slots"].at == known.at
    assert "does not answer" in (sections["slots"].error or "")
    assert (sections["own"].data, sections["own"].error) == ([1], None)
    peer.away = False
    now_s[0] += 2.0
    assert service.sections()["slots"].error is None


def test_one_call_that_fails_is_said_where_it_belongs(
    peer: Peer, service: DashboardService, now_s: list[float]
) -> None:
    peer.answers["/jobs"] = (503, '{"error": "x", "message": "PostgreSQL is away."}')
    peer.answers["/metrics"] = (200, "<html>")
    sections = service.sections()
    assert sections["jobs"].error == "503: PostgreSQL is away."
    assert sections["metrics"].error == "The ML model service's answer is not JSON."
    assert sections["slots"].error is None


def search(number: int, state: str) -> dict[str, Any]:
    """Return a search as tracking tells of it."""
    model = {"done": 2, "planned": 4, "best_score": 0.9, "best": {"C": 1}}
    scores = {"scores": [0.8, 0.9], "best_scores": [0.8, 0.9]}
    request = {"experiment_name": "E", "strategy": "grid", "hyperparameters": {"SVC": {"C": [1]}}}
    result = {"experiment_id": "3", "models": {"SVC": {**model, **scores}}, "time_left_s": 1.0}
    return {"id": number, "state": state, "request": request, "result": result}


def test_of_the_search_that_runs_the_score_of_each_candidate_is_known(
    tracking: Peer, service: DashboardService, now_s: list[float]
) -> None:
    jobs = [search(9, "queued") | {"result": None}, search(8, "running"), search(7, "succeeded")]
    tracking.answers[LIST] = (200, json.dumps({"jobs": jobs, "count": 3, "next_cursor": None}))
    tracking.answers["/root/tracking/jobs/8"] = (200, json.dumps(jobs[1]))
    service.sections()
    now_s[0] += 1.0
    sections = service.sections()
    listed, near = sections["searches"].data["jobs"], sections["search"].data
    assert [item["id"] for item in listed] == [9, 8, 7]
    assert listed[0]["result"] == {"models": {}}
    assert "scores" not in listed[1]["result"]["models"]["SVC"]
    assert near["result"] == jobs[1]["result"]
    assert near["request"] == {"experiment_name": "E", "strategy": "grid"}


@pytest.mark.parametrize(
    ("states", "looked"),
    [("", None), ("q", 0), ("qs", 1), ("qfr", 2), ("sr", 1), ("rr", 0), ("cs", 0)],
)
def test_looked_at_is_the_newest_that_runs_or_ran(states: str, looked: int | None) -> None:
    named = {"q": "queued", "r": "running", "s": "succeeded", "f": "failed", "c": "cancelled"}
    jobs = [{"id": place, "state": named[letter]} for place, letter in enumerate(states)]
    assert looked_at({"jobs": jobs}) == looked


def test_while_tracking_is_away_the_rest_goes_on(
    peer: Peer, tracking: Peer, service: DashboardService, now_s: list[float]
) -> None:
    service.sections()
    tracking.away = True
    tracking.asked.clear()
    now_s[0] += 1.0
    sections = service.sections()
    assert tracking.asked == [LIST]
    assert sections["searches"].data == {"jobs": []}
    assert "tracking service does not answer" in (sections["searches"].error or "")
    assert sections["slots"].error is None and peer.asked.count("/slots") == 2


def test_a_button_is_passed_on(peer: Peer) -> None:
    peer.answers["/set-shadow"] = (409, '{"error": "no", "message": "why"}')
    peers: Any = {"ml_model": peer}
    answer = ActionService(peers).act("ml_model", "/set-shadow", {"shadow": True})
    assert answer == ({"error": "no", "message": "why"}, 409)
    assert peer.asked == ["/set-shadow {'shadow': True}"]
