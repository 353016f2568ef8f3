"""Which slot answers, what the log gets, and who waits for whom."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from ml_model.errors import PredictionFailed, PredictionLogged
from ml_model.prediction_metrics import PredictionMetrics
from ml_model.repository.prediction_log import LoggedAnswer
from ml_model.service.group_commit import GroupCommit
from ml_model.service.prediction import BULK_ROWS, Answer, PredictionService
from ml_model.service.serving_state import LoadedVersion, ServingSnapshot
from modelkit.input_rows import InputColumn, InputRows
from modelkit.servable import Predicted

PATIENCE_S = 10


class SignModel:
    """Says 1 where a row's sum is above 0, else 0; may fail, or wait for its gate."""

    task = "classification"
    classes = (0, 1)
    class_names = ("down", "up")
    name_of = {0: "down", 1: "up"}

    def __init__(self) -> None:
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()
        inputs = InputRows([InputColumn("a", "double"), InputColumn("b", "double")])
        self.rows_from_lists, self.json_rows = inputs.from_lists, inputs.as_json

    def predict(self, rows: Any) -> Predicted:
        assert self.gate.wait(PATIENCE_S)
        if self.broken:
            raise RuntimeError("no kernel for this row")
        labels = [int(total > 0) for total in rows.sum(axis=1)]
        return Predicted(labels, np.array([[1.0 - label, label] for label in labels]))


@dataclass
class Log:
    """Takes lines as the prediction log does: an answered row once."""

    rows: list[list[str]] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def write(self, lines: str) -> None:
        new = [line.split("\t") for line in lines.splitlines()]
        taken = {tuple(row[:2]) for row in self.rows if answered(row)}
        if any(tuple(row[:2]) in taken for row in new if answered(row)):
            raise PredictionLogged()
        with self.came:
            self.rows.extend(new)
            self.came.notify_all()

    def wait_for(self, count: int, slot: str) -> list[list[str]]:
        """Return the rows of a slot once there are so many."""

        def found() -> list[list[str]]:
            return [row for row in self.rows if row[2] == slot]

        with self.came:
            assert self.came.wait_for(lambda: len(found()) >= count, PATIENCE_S), self.rows
        return found()

    def find_answered(self, request_id: str) -> list[LoggedAnswer]:
        return [
            LoggedAnswer(row[2], int(row[3]), json.loads(row[4]), row[5], None, None)
            for row in self.rows
            if row[0] == request_id and answered(row)
        ]


def answered(row: Sequence[str]) -> bool:
    return row[2] != "shadow" and row[9] == "\\N"


class State:
    """What serves, as the test says."""

    def __init__(self, snapshot: ServingSnapshot) -> None:
        self.snapshot = snapshot

    def is_behind(self) -> bool:
        return False

    def fresh(self) -> ServingSnapshot:
        return self.snapshot

    def version(self, id_: int) -> LoadedVersion:
        (found,) = (v for v in (self.snapshot.current, self.snapshot.next) if v and v.id == id_)
        return found


@dataclass
class Lab:
    """The service over two models and three ways into one log."""

    current: SignModel
    next: SignModel
    log: Log
    apart: list[str]
    service: PredictionService
    state: State

    def serve(self, *, canary_probability: float = 1.0, shadow: bool = False) -> None:
        self.state.snapshot = ServingSnapshot(
            1, version(1, self.current), version(7, self.next), canary_probability, shadow
        )

    def predict(self, rows: list[list[float]], request_id: str) -> Answer:
        return self.service.predict(lambda model: model.rows_from_lists(rows), request_id)

    def predict_hot(self, rows: list[list[float]], request_id: str) -> Answer | None:
        async def ask() -> Answer | None:
            loop = asyncio.get_running_loop()
            return await self.service.predict_hot(rows, request_id, None, loop)

        return asyncio.run(ask())


def version(id_: int, model: Any) -> LoadedVersion:
    return LoadedVersion(id_, "sign", id_, f"models:/sign/{id_}", model, True)


@pytest.fixture
def lab() -> Iterator[Lab]:
    log, apart = Log(), []
    commits = GroupCommit(log.write)
    database: Any = type("Database", (), {"transaction": lambda self: nullcontext()})()
    state: Any = State(ServingSnapshot())

    def write_unseen(lines: str) -> None:
        apart.append(lines)
        log.write(lines)

    answers: Any = log
    service = PredictionService(
        database,
        state,
        commits,
        answers,
        PredictionMetrics(),
        write_now=log.write,
        write_unseen=write_unseen,
        may_go_unlogged=False,
    )
    lab = Lab(SignModel(), SignModel(), log, apart, service, state)
    lab.serve()
    yield lab
    lab.next.gate.set()
    commits.stop()


def test_an_id_used_for_other_rows_is_replaced_and_nothing_else_is(lab: Lab) -> None:
    """The id is also what other fields of the row hold: the version, a class, a row's number."""
    lab.predict([[1.0, 1.0]], "1")
    other = lab.predict([[2.0, 2.0], [3.0, 3.0]], "1")
    assert other.request_id != "1"
    first, *rest = lab.log.rows
    assert first[:6] == ["1", "0", "current", "1", "[1.0,1.0]", "1"]
    assert [row[:6] for row in rest] == [
        [other.request_id, "0", "current", "1", "[2.0,2.0]", "1"],
        [other.request_id, "1", "current", "1", "[3.0,3.0]", "1"],
    ]


@pytest.mark.parametrize("way", ["predict", "predict_hot"])
def test_an_outcome_that_is_no_number_is_a_failure(lab: Lab, way: str) -> None:
    lab.current.predict = lambda rows: Predicted([0], np.array([[np.nan, np.nan]]))  # type: ignore[method-assign]
    with pytest.raises(PredictionFailed, match="no finite number"):
        getattr(lab, way)([[1e308, 1e308]], "huge")


def test_a_repeated_request_with_large_numbers_is_answered_again(lab: Lab) -> None:
    first = lab.predict([[1e23, 1.0]], "again")
    lab.log.rows[0][4] = "[100000000000000000000000, 1.0]"
    assert lab.predict([[1e23, 1.0]], "again").request_id == first.request_id == "again"


def test_a_shadow_is_waited_for_by_nobody(lab: Lab) -> None:
    lab.serve(shadow=True)
    lab.next.gate.clear()
    for number in range(20):
        assert lab.predict([[1.0, 1.0]], f"slow-{number}").slot == "current"
    assert {row[2] for row in lab.log.rows} == {"current"}
    lab.next.gate.set()
    assert len(lab.log.wait_for(20, "shadow")) == 20


def test_the_shadow_of_a_large_batch_shares_no_commit(lab: Lab) -> None:
    lab.serve(shadow=True)
    lab.predict([[1.0, 1.0]] * BULK_ROWS, "large")
    lab.predict([[1.0, 1.0]], "small")
    lab.log.wait_for(BULK_ROWS + 1, "shadow")
    assert [lines.count("\n") for lines in lab.apart] == [BULK_ROWS]


@pytest.mark.parametrize("way", ["predict", "predict_hot"])
def test_a_canary_that_fails_costs_no_request_and_is_logged_once(lab: Lab, way: str) -> None:
    lab.serve(canary_probability=0.0)
    lab.next.broken = True
    predict: Callable[..., Answer] = getattr(lab, way)
    for number in range(10):
        assert predict([[1.0, 1.0]], f"request-{number}").slot == "current"
    failed = lab.log.wait_for(10, "next")
    assert len(failed) == 10
    assert all("no kernel for this row" in row[9] for row in failed)
    assert len(lab.log.wait_for(10, "current")) == 10


@pytest.mark.parametrize("way", ["predict", "predict_hot"])
def test_a_failure_of_current_is_said_and_logged_once(lab: Lab, way: str) -> None:
    lab.serve(canary_probability=0.5)
    lab.current.broken = lab.next.broken = True
    for number in range(10):
        with pytest.raises(PredictionFailed, match="no kernel"):
            getattr(lab, way)([[1.0, 1.0]], f"request-{number}")
    assert len(lab.log.wait_for(10, "current")) == 10


def test_a_failed_batch_shares_no_commit(lab: Lab) -> None:
    lab.current.broken = True
    with pytest.raises(PredictionFailed):
        lab.predict([[1.0, 1.0]] * BULK_ROWS, "large")
    assert [lines.count("\n") for lines in lab.apart] == [BULK_ROWS]
