"""What each endpoint refuses, one line per case; after each the databases are as before."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.contract.conftest import Furnished, Refused, search

HUGE = "9" * 400
UNKNOWN_RUN = "0" * 32
TRICKS = [
    "' OR '1'='1",
    "1; DROP TABLE datasets; --",
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%s%s%s",
    "{{7*7}}",
    "$(id)",
    "\u202e",
    " ",
]
MANAGEMENT = "/root/tracking/model_management"
EXPERIMENTS = "/root/tracking/experiments"
RUNS = "/root/tracking/runs"
TREE = {"DecisionTree": {"max_depth": [2]}}


@dataclass(frozen=True)
class Case:
    """A request that is refused; `names` must stand in the answer."""

    name: str
    service: str
    path: str
    status: int | set[int]
    body: Any = None
    method: str = "POST"
    params: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def simulator(name: str, status: int | set[int] = 400, *names: str, **body: Any) -> Case:
    return Case(f"simulator: {name}", "simulator", "/root/simulator", status, body, names=names)


def set_model(name: str, status: int | set[int], *names: str, **body: Any) -> Case:
    return Case(f"set_model: {name}", "ml_model", "/root/ml/set_model", status, body, names=names)


def score(name: str, status: int | set[int], *names: str, **body: Any) -> Case:
    return Case(f"ml: {name}", "ml_model", "/root/ml", status, body, names=names)


def optimize(name: str, status: int | set[int], *names: str, **changes: Any) -> Case:
    body = search("refused", TREE, **changes)
    return Case(f"optimization: {name}", "tracking", MANAGEMENT, status, body, names=names)


def setting(name: str, status: int | set[int], *names: str, **body: Any) -> Case:
    body = {"request_information": "setting"} | body
    return Case(f"setting: {name}", "tracking", MANAGEMENT, status, body, names=names)


def experiment(name: str, status: int | set[int], *names: str, **changes: Any) -> Case:
    body = {"experiment_id": "$experiment_id", "request_information": "general"} | changes
    return Case(f"experiments: {name}", "tracking", EXPERIMENTS, status, body, names=names)


def run(name: str, status: int | set[int], *names: str, **changes: Any) -> Case:
    body = {
        "experiment_id": "$experiment_id",
        "run_id": "$run_id",
        "request_information": "metrics",
        "type": "model",
    } | changes
    return Case(f"runs: {name}", "tracking", RUNS, status, body, names=names)


def query(
    method: str, path: str, name: str, status: int | set[int], *names: str, **params: str
) -> Case:
    return Case(f"{method} {path}: {name}", "tracking", path, status, None, method, params, names)


def monitoring(name: str, status: int | set[int], *names: str, **body: Any) -> Case:
    return Case(f"monitoring: {name}", "monitoring", "/root/monitoring", status, body, names=names)


PRESETS = (
    "data_drift",
    "data_quality",
    "data_stability",
    "no_target_performance",
    "multi_class_classification",
)
METRICS = (
    "model_accuracy",
    "model_f1_score",
    "model_precision",
    "model_recall",
    "system_cpu_usage",
    "system_execution_time",
)

CASES = [
    # simulator
    simulator("unknown set", 400, "training", "testing", "production", set_name="validation"),
    simulator("other case", 400, set_name="Training"),
    simulator("trailing space", 400, set_name="training "),
    simulator("unknown dataset", 404, set_name="training", dataset_name="beer"),
    simulator("long dataset", {400, 404}, set_name="training", dataset_name="w" * 5000),
    simulator("unknown scenario", 400, "scenario", set_name="production", scenario="chaos"),
    simulator("negative seed", 400, "seed", set_name="training", seed=-1),
    simulator("huge seed", 400, set_name="training", seed=2**64),
    simulator("seed beyond numpy", 400, "seed", set_name="training", seed=2**62),
    simulator("seed with a fraction", 400, "seed", set_name="training", seed=4.2),
    simulator("seed as text", 400, "seed", set_name="training", seed="42"),
    *(simulator(f"trick set {t!r}", 400, set_name=t) for t in TRICKS),
    *(
        simulator(f"trick dataset {t!r}", {400, 404}, set_name="training", dataset_name=t)
        for t in TRICKS
    ),
    # set_model
    set_model("unknown model", 400, "RandomForest", "SVC", model_name="Perceptron"),
    set_model("other case", 400, "RandomForest", model_name="randomforest"),
    set_model("private name", 400, "RandomForest", model_name="__class__"),
    set_model("module path", 400, "RandomForest", model_name="os.system"),
    *(set_model(f"trick {t!r}", 400, model_name=t) for t in TRICKS),
    set_model(
        "unknown hyperparameter", 422, "depth", model_name="SVC", hyperparameters={"depth": 3}
    ),
    set_model("out of range", 422, "C", model_name="SVC", hyperparameters={"C": -1}),
    set_model("wrong type", 422, "kernel", model_name="SVC", hyperparameters={"kernel": 3}),
    set_model("nested", 422, model_name="SVC", hyperparameters={"C": {"a": [1]}}),
    set_model(
        "contradiction",
        422,
        model_name="LogisticRegression",
        hyperparameters={"solver": "liblinear", "l1_ratio": 7},
    ),
    set_model(
        "pipeline steps are not ours to set",
        422,
        model_name="SVC",
        hyperparameters={"scale__with_mean": False},
    ),
    set_model(
        "class weight of nonsense", 422, model_name="SVC", hyperparameters={"class_weight": 5}
    ),
    set_model(
        "run id that is none",
        {400, 404, 422},
        model_name="SVC",
        hyperparameters={},
        run_id="../x" * 50,
    ),
    # scoring
    score("unknown set", 400, "training", dataset="validation"),
    score("list", 400, dataset=["training"]),
    *(score(f"trick {t!r}", 400, dataset=t) for t in TRICKS),
    # optimization
    optimize(
        "unknown model", 400, "RandomForest", "SVC", models=["Perceptron"], hyperparameters={}
    ),
    optimize("model twice", 400, models=["DecisionTree", "DecisionTree"]),
    optimize("no model", 400, "models", models=[], hyperparameters={}),
    optimize("grid without model", 400, "SVC", hyperparameters={**TREE, "SVC": {"C": [1]}}),
    optimize("grid of another", 400, hyperparameters={"SVC": {"C": [1]}}),
    optimize("empty list in grid", {400, 422}, hyperparameters={"DecisionTree": {"max_depth": []}}),
    optimize(
        "grid that is a value", {400, 422}, hyperparameters={"DecisionTree": {"max_depth": 2}}
    ),
    optimize(
        "unknown hyperparameter",
        {400, 422},
        "depth",
        hyperparameters={"DecisionTree": {"depth": [2]}},
    ),
    optimize(
        "no candidate possible",
        422,
        hyperparameters={"DecisionTree": {"max_depth": [-1, -2]}},
    ),
    optimize(
        "far too many candidates",
        {400, 422},
        hyperparameters={
            "DecisionTree": {
                "max_depth": list(range(1, 200)),
                "min_samples_leaf": list(range(1, 200)),
                "min_samples_split": list(range(2, 200)),
            }
        },
    ),
    optimize("unknown scoring", {400, 422}, "scoring", scoring="cleverness"),
    optimize("scoring of regressors", {400, 422}, scoring="neg_mean_squared_log_error"),
    optimize("cv of 1", 400, "cv", cv=1),
    optimize("cv of 0", 400, "cv", cv=0),
    optimize("cv below zero", 400, "cv", cv=-3),
    optimize("cv above the class count", {400, 422}, cv=90),
    optimize("cv above the rows", {400, 422}, cv=1000),
    optimize("cv beyond all", 400, "cv", cv=2**40),
    optimize("cv as text", 400, "cv", cv="5"),
    optimize("cv with a fraction", 400, "cv", cv=2.5),
    optimize("name empty", 400, "experiment_name", experiment_name=""),
    optimize("name of spaces", 400, "experiment_name", experiment_name="   "),
    optimize("name of 10000 letters", 400, "experiment_name", experiment_name="n" * 10_000),
    optimize("description of 100000", 400, "description", experiment_description="d" * 100_000),
    optimize("wrong kind", 400, request_information="optimisation"),
    optimize("no kind", 400, request_information=None),
    # setting
    setting("no run", 400, "run_id"),
    setting("unknown run", 404, run_id=UNKNOWN_RUN),
    setting("deleted run", 404, run_id="$deleted_run_id"),
    setting("empty run", {400, 404}, run_id=""),
    setting("huge run", {400, 404}, run_id=HUGE),
    *(setting(f"trick {t!r}", {400, 404}, run_id=t) for t in TRICKS),
    # experiments
    experiment("unknown", 404, experiment_id="123456789"),
    experiment("not a number", {400, 404}, experiment_id="abc"),
    experiment("below zero", {400, 404}, experiment_id="-1"),
    experiment("huge", {400, 404}, experiment_id=HUGE),
    experiment("beyond 32 bits", {400, 404}, experiment_id=str(2**31)),
    experiment("beyond 64 bits", {400, 404}, experiment_id=str(2**63)),
    experiment("empty id", {400, 404}, experiment_id=""),
    experiment("digits of another alphabet", {400, 404}, experiment_id="١"),
    experiment("deleted", 404, experiment_id="$deleted_experiment_id"),
    experiment("without runs", 404, experiment_id="0"),
    experiment("a run's id", {400, 404}, experiment_id="$run_id"),
    *(experiment(f"trick {t!r}", {400, 404}, experiment_id=t) for t in TRICKS),
    experiment("unknown kind", 400, "general", "best_model", request_information="worst_model"),
    experiment("best_model without filter", 400, *METRICS, request_information="best_model"),
    experiment(
        "best_model with empty filter", 400, *METRICS, request_information="best_model", filter=[]
    ),
    experiment(
        "best_model with unknown metric",
        400,
        *METRICS,
        request_information="best_model",
        filter=["model_beauty"],
    ),
    experiment(
        "best_model: one known, one not",
        400,
        *METRICS,
        request_information="best_model",
        filter=["model_accuracy", "model_beauty"],
    ),
    experiment(
        "best_model: filter as text",
        400,
        "filter",
        request_information="best_model",
        filter="model_accuracy",
    ),
    experiment(
        "statistics with unknown metric", 400, request_information="statistics", filter=["beauty"]
    ),
    experiment(
        "statistics of a deleted experiment",
        404,
        request_information="statistics",
        experiment_id="$deleted_experiment_id",
    ),
    experiment("statistics without runs", 404, request_information="statistics", experiment_id="0"),
    # deleting and listing
    query("DELETE", EXPERIMENTS, "no id", 400, "experiment_id"),
    query("DELETE", EXPERIMENTS, "unknown", 404, experiment_id="123456789"),
    query("DELETE", EXPERIMENTS, "twice", 404, experiment_id="$deleted_experiment_id"),
    query("DELETE", EXPERIMENTS, "huge", {400, 404}, experiment_id=HUGE),
    query("DELETE", EXPERIMENTS, "unknown key", 400, experiment_id="$experiment_id", force="1"),
    *(query("DELETE", EXPERIMENTS, f"trick {t!r}", {400, 404}, experiment_id=t) for t in TRICKS),
    query("GET", RUNS, "no id", 400, "experiment_id"),
    query("GET", RUNS, "unknown", 404, experiment_id="123456789"),
    query("GET", RUNS, "huge", {400, 404}, experiment_id=HUGE),
    query("GET", RUNS, "deleted", 404, experiment_id="$deleted_experiment_id"),
    *(query("GET", RUNS, f"trick {t!r}", {400, 404}, experiment_id=t) for t in TRICKS),
    query("DELETE", RUNS, "no ids", 400, "experiment_id", "run_id"),
    query("DELETE", RUNS, "no run", 400, "run_id", experiment_id="$experiment_id"),
    query("DELETE", RUNS, "unknown run", 404, experiment_id="$experiment_id", run_id=UNKNOWN_RUN),
    query("DELETE", RUNS, "twice", 404, experiment_id="$experiment_id", run_id="$deleted_run_id"),
    query(
        "DELETE",
        RUNS,
        "of another experiment",
        404,
        experiment_id="$other_experiment_id",
        run_id="$run_id",
    ),
    query("DELETE", RUNS, "deployed", 409, experiment_id="$experiment_id", run_id="$run_id"),
    query("DELETE", EXPERIMENTS, "holds the deployed run", 409, experiment_id="$experiment_id"),
    # runs
    run("unknown experiment", 404, experiment_id="123456789"),
    run("unknown run", 404, run_id=UNKNOWN_RUN),
    run("of another experiment", 404, run_id="$other_run_id"),
    run("deleted run", 404, run_id="$deleted_run_id"),
    run("run of a deleted experiment", 404, experiment_id="$deleted_experiment_id"),
    run("huge run", {400, 404}, run_id=HUGE),
    *(run(f"trick {t!r}", {400, 404}, run_id=t) for t in TRICKS),
    run("unknown kind", 400, request_information="models"),
    run("unknown type", 400, type="hardware"),
    run("type of the other kind", 400, type="grid_search"),
    run("no type", 400, "type", type=None),
    run("parameters of type system", 400, request_information="parameters", type="system"),
    # monitoring
    monitoring("unknown metric", 400, "report", "tests", "summary", metric="beauty"),
    monitoring("no test chosen", 400, *PRESETS, metric="tests", tests={}),
    monitoring(
        "every test switched off",
        400,
        *PRESETS,
        metric="tests",
        tests=dict.fromkeys(PRESETS, False),
    ),
    monitoring("unknown test", 400, *PRESETS, metric="tests", tests={"regression": True}),
    monitoring(
        "unknown among known",
        400,
        *PRESETS,
        metric="summary",
        tests={"data_drift": True, "regression": False},
    ),
    monitoring("tests as list", 400, "tests", metric="tests", tests=["data_drift"]),
    monitoring("test as text", 400, "data_drift", metric="tests", tests={"data_drift": "yes"}),
    monitoring("test as number", 400, "data_drift", metric="tests", tests={"data_drift": 1}),
    monitoring("unknown format", 400, "format", metric="report", format="pdf"),
    monitoring("summary as page", 400, "format", metric="summary", format="html"),
]


@pytest.fixture(scope="module")
def latest(furnished: Furnished) -> dict[str, dict[str, str]]:
    """The state after the latest case, which is the state before the next."""
    return {"state": furnished.suite.state()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_refused_and_changes_nothing(
    furnished: Furnished, refused: Refused, latest: dict[str, dict[str, str]], case: Case
) -> None:
    options = {} if case.body is None else {"json": furnished.fill_in(case.body)}
    answer = furnished.suite.call(
        case.method, case.service, case.path, params=furnished.fill_in(case.params), **options
    )
    after = furnished.suite.state()
    before, latest["state"] = latest["state"], after
    body = refused(answer, case.status)
    assert {name for name in after if after[name] != before.get(name)} == set()
    text = json.dumps(body)
    assert [name for name in case.names if name not in text] == []


def test_unknown_model_has_the_text_of_the_contract(furnished: Furnished) -> None:
    answer = furnished.suite.ask(
        "POST",
        "ml_model",
        "/root/ml/set_model",
        {"model_name": "Perceptron", "hyperparameters": {}},
        status=400,
    )
    assert answer["error"] == "Model not Found"
    assert answer["message"].startswith("Please Specify 'RandomForest', 'SVC'")
    assert "'LogisticRegression'" in answer["message"]


@pytest.mark.parametrize("service", ["simulator", "ml_model", "tracking", "monitoring"])
@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/root",
        "/root/nothing",
        "/root//simulator",
        "/root/simulator/../../etc/passwd",
        "/root/simulator%00",
        "/root/ml/set_model/extra",
        "/root/tracking/experiments/1",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/docs/%2e%2e/%2e%2e/app.py",
        "/docs/..%5c..%5capp.py",
        "/openapi.json/x",
        "/favicon.ico",
        "/" + "a" * 3000,
    ],
)
def test_unknown_path_is_404(furnished: Furnished, service: str, path: str) -> None:
    # requests would tidy the path up; the server must see it as it is.
    address = urlsplit(furnished.suite.urls[service])
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    connection.putrequest("GET", path)
    connection.endheaders()
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/json"
    assert set(body) == {"error", "message"}


@pytest.mark.parametrize("service", ["simulator", "ml_model", "tracking", "monitoring"])
def test_address_beyond_the_server_is_414(furnished: Furnished, service: str) -> None:
    answer = furnished.suite.call("GET", service, "/ready?x=" + "9" * 9000)
    assert answer.status_code == 414
    assert set(answer.json()) == {"error", "message"}
