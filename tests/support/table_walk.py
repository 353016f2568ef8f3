"""One walk through the whole lifecycle for any table, and the steps it is made of."""

import csv
import io
import re
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.lifecycle_client import EXPERIMENTS, SETS, Client

DATASETS = "/root/simulator/datasets"
DEADLINE_S = 240.0
DAY = re.compile(r"\d{4}/\d\d/\d\d")


@dataclass(frozen=True)
class Table:
    """A table as its owner knows it, and what is to come of it.

    `content` is CSV; `form` says the target and what else is told of it. `grids` are what is
    searched, of which `chosen` is set, and `served` answers `examples`: rows by column with the
    label that a person would give, None for any. Without `fouled` production is as it was.
    `drifted` are columns that a drift check must find.
    """

    name: str
    content: bytes
    form: Mapping[str, str]
    rows: int
    types: Mapping[str, str]
    grids: Mapping[str, dict[str, list[Any]]]
    chosen: str
    served: str
    examples: Sequence[tuple[dict[str, Any], Any]]
    classes: Sequence[Any] = ()
    scoring: str = "accuracy"
    split: str = "stratified"
    fouled: bool = True
    drifted: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Walked:
    """What the walk was told: the dataset, the search's `data`, the scores, the verdict."""

    name: str
    found: dict[str, Any]
    scores: dict[str, float]
    verdict: dict[str, Any]


def new_name(prefix: str) -> str:
    """Return a dataset name that nobody has."""
    return f"{prefix}_{uuid.uuid4().hex[:8]}"


def bring(client: Client, content: bytes | str, **form: str) -> dict[str, Any]:
    """Bring a table that is new, or a new version."""
    files = {"file": ("table.csv", content)}
    answer = client.suite.call("POST", "simulator", DATASETS, data=form, files=files)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def predict(client: Client, body: dict[str, Any], status: int = 200) -> Any:
    """Ask whatever serves."""
    return client.suite.ask("POST", "ml_model", "/predict", body, status=status)


def serve(client: Client, model_uri: str) -> None:
    """Put a model into both slots."""
    client.suite.ask("POST", "ml_model", "/update-model", {"model_uri": model_uri})
    client.suite.ask("POST", "ml_model", "/accept-next-model")


def finished(client: Client, job_id: int) -> dict[str, Any]:
    """Return a job of the ML service when it has ended."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        job = client.suite.ask("GET", "ml_model", f"/jobs/{job_id}")
        if job["state"] not in ("queued", "running"):
            return dict(job)
        time.sleep(0.2)
    raise AssertionError(f"still {job}")


def rows_of(client: Client, name: str, set_name: str) -> list[dict[str, Any]]:
    """Return up to 200 rows of a set by column."""
    path = f"{DATASETS}/{name}/rows?limit=200&set_name={set_name}"
    page = client.suite.ask("GET", "simulator", path)
    return [dict(zip(page["columns"], row, strict=True)) for row in page["rows"]]


def scores_of(client: Client, name: str) -> dict[str, float]:
    """Train, and score the other two sets; every answer names the dataset."""
    found = {}
    for set_name in SETS:
        body = {"dataset": set_name, "dataset_name": name}
        answer = client.suite.ask("POST", "ml_model", "/root/ml", body)
        assert answer["dataset_name"] == name
        found[set_name] = answer["score"]
    return found


def exported(client: Client, name: str, set_name: str | None = None) -> list[dict[str, str]]:
    """Return a dataset's rows, or those of a set, as its CSV has them."""
    path = f"{DATASETS}/{name}/export?format=csv" + (f"&set_name={set_name}" if set_name else "")
    answer = client.suite.call("GET", "simulator", path)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def walk(client: Client, table: Table) -> Walked:
    """Take a table through the lifecycle, from the upload to the refusal to delete it."""
    walked = train_and_judge(client, table)
    serve_what_was_found(client, table, walked)
    return walked


def train_and_judge(client: Client, table: Table) -> Walked:
    """Bring and load a table, search, train, score, and ask for the verdict."""
    suite, task = client.suite, "classification" if table.classes else "regression"
    name, target = new_name(table.name), table.form["target"]
    brought = bring(client, table.content, dataset_name=name, **table.form)
    types = {column["name"]: column["type"] for column in brought["columns"]}
    assert {column: types[column] for column in table.types} == table.types
    assert (brought["task"], brought["classes"]) == (task, list(table.classes))
    # What has no classes to keep the shares of is cut at random.
    by_class = "stratified" if table.split == "random" else table.split
    assert brought["default_split"] == by_class
    brought_in = [_plain(row) for row in csv.DictReader(io.StringIO(table.content.decode()))]
    assert [_plain(row) for row in exported(client, name)] == brought_in

    scenario = {} if table.fouled else {"scenario": "clean"}
    loaded = [client.load(set_name, dataset_name=name, **scenario) for set_name in SETS]
    assert sum(one["rows"] for one in loaded) == table.rows == len(brought_in)
    assert {one["split"] for one in loaded} == {table.split}

    found = client.search(name, dict(table.grids), dataset_name=name, cv=3, scoring=table.scoring)
    of_it = {"dataset_name": name, "dataset_version": 1}
    experiments = suite.ask("GET", "tracking", EXPERIMENTS)["data"]
    [experiment] = [one for one in experiments if one["name"] == name]
    runs = client.runs(found["experiment_id"])
    assert len(runs) == len(table.grids)
    for answer in (found, experiment, *runs):
        assert {key: answer[key] for key in of_it} == of_it

    client.deploy(found["run_ids"][table.chosen])
    scores = scores_of(client, name)
    state = suite.ask("GET", "ml_model", "/root/ml")
    assert {key: state[key] for key in of_it} == of_it
    # What says the commonest label each time, or the mean, is no use to anybody.
    labels = Counter(row[target] for row in exported(client, name, "testing"))
    naive = max(labels.values()) / labels.total() if table.classes else 0.0
    assert scores["testing"] > naive + 0.1
    evaluated = suite.ask("POST", "ml_model", "/evaluate", {"dataset_name": name})
    metric = "accuracy" if table.classes else "r2"
    assert evaluated["metrics"][metric] == pytest.approx(scores["testing"])

    body = {"metric": "verdict", "dataset_name": name}
    verdict = suite.ask("POST", "monitoring", "/root/monitoring", body)
    for answer in (verdict, suite.ask("GET", "monitoring", "/root/monitoring")):
        assert {key: answer[key] for key in of_it} == of_it
    moved = {column for signal in verdict["signals"] for column in signal["columns"]}
    assert set(table.drifted) <= moved
    if table.fouled:
        assert verdict["retraining_needed"] is True
        assert scores["production"] < scores["testing"]
    return Walked(name, found, scores, verdict)


def serve_what_was_found(client: Client, table: Table, walked: Walked) -> None:
    """Serve what the search itself logged, which is a version too; the dataset has to stay."""
    suite, path = client.suite, f"{DATASETS}/{walked.name}"
    serve(client, f"runs:/{walked.found['run_ids'][table.served]}/model")
    records = [row for row, _ in table.examples]
    predicted = predict(client, {"records": records})["predictions"]
    for answer, (_, label) in zip(predicted, table.examples, strict=True):
        assert label is None or answer == label
    history = suite.ask("GET", "ml_model", f"/predictions/history?limit={len(records)}")
    assert [entry["inputs"] for entry in reversed(history["history"])] == records

    body = {"metric": "verdict", "dataset_name": walked.name}
    refusal = suite.ask("POST", "monitoring", "/root/monitoring", body, status=409)
    assert "/root/ml/set_model" in refusal["message"]
    refusal = suite.ask("DELETE", "simulator", path, status=409)
    assert "a model version" in refusal["message"]


def _plain(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a row of CSV with numbers, days and gaps in one way of writing."""
    return {column: _value(text) for column, text in row.items()}


def _value(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        if text == "NA":
            return ""
        return text.replace("/", "-") if DAY.fullmatch(text) else text
