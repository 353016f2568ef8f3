"""`POST /train`: rows or a stored dataset in, a registered version out."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from sklearn.datasets import load_iris

import ml_model.app
import ml_model.settings
from tests.support.databases import TestDatabase
from tests.support.jobs_lab import JobsLab, jobs_lab
from tests.support.mlflow_fixture import MlflowServer

IRIS = load_iris()
ROWS, TARGET = IRIS.data.tolist(), IRIS.target.tolist()
TREE = {"model_name": "DecisionTree"}


@pytest.fixture(scope="module")
def lab(
    module_database: TestDatabase,
    mlflow_server: MlflowServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[JobsLab]:
    """One program for the tests of this module."""
    with jobs_lab(module_database, mlflow_server.url, tmp_path_factory.mktemp("jobs")) as lab:
        yield lab


def train(lab: JobsLab, **body: Any) -> Any:
    """Train and return the answer."""
    return lab.ask("POST", "/train", body)


def mlflow(lab: JobsLab, path: str, **query: Any) -> Any:
    """Ask MLflow's REST API."""
    url = f"{lab.mlflow_url}/api/2.0/mlflow/{path}"
    answer = requests.get(url, params=query, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def artifact(lab: JobsLab, path: str) -> requests.Response:
    """Read a file through the artifact proxy."""
    return requests.get(f"{lab.mlflow_url}/api/2.0/mlflow-artifacts/artifacts/{path}", timeout=30)


def pairs(items: Any) -> dict[str, Any]:
    """Return MLflow's list of keys and values as a dict."""
    return {item["key"]: item["value"] for item in items}


def versions(lab: JobsLab, name: str) -> list[Any]:
    """Return MLflow's versions of a registered model."""
    found = mlflow(lab, "model-versions/search", filter=f"name = '{name}'")
    return list(found.get("model_versions", []))


def test_rows_give_a_version(lab: JobsLab) -> None:
    answer = train(
        lab,
        data=ROWS,
        target=TARGET,
        columns=IRIS.feature_names,
        model_name="RandomForest",
        hyperparameters={"n_estimators": 7},
        registered_model_name="from_rows",
    )
    assert answer["status"] == "success"
    assert (answer["registered_model_name"], answer["model_version"]) == ("from_rows", "1")
    assert (answer["trained_rows"], answer["drift_sample_rows"]) == (120, 30)
    assert answer["metrics"]["accuracy"] > 0.85

    run = mlflow(lab, "runs/get", run_id=answer["run_id"])["run"]
    assert run["info"]["run_name"] == answer["run_name"]
    assert answer["run_name"].startswith("train_20")
    assert run["info"]["status"] == "FINISHED"
    # Autologging names the steps of the pipeline.
    assert pairs(run["data"]["params"])["model__n_estimators"] == "7"
    measured = pairs(run["data"]["metrics"])
    assert measured["training_f1_score"] > 0.9
    assert measured["accuracy"] == answer["metrics"]["accuracy"]

    version = mlflow(lab, "model-versions/get", name="from_rows", version="1")["model_version"]
    tags = pairs(version["tags"])
    assert tags["drift_sample_id"] == answer["drift_sample_id"]
    logged = mlflow(lab, f"logged-models/{version['source'].removeprefix('models:/')}")
    folder = logged["model"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:").strip("/")
    description = artifact(lab, f"{folder}/MLmodel").text
    assert "sepal length (cm)" in description
    assert "saved_input_example_info" in description

    sample = artifact(lab, answer["drift_sample_id"]).json()
    assert sample["columns"] == IRIS.feature_names
    assert Counter(sample["target"]) == {0: 10, 1: 10, 2: 10}
    assert all(row in ROWS for row in sample["rows"])

    row = lab.database.rows(
        "SELECT v.drift_sample_id, v.dataset_id, v.hyperparameters, s.classes, s.runtime"
        " FROM model_versions v JOIN serving_models s ON s.model_version_id = v.id"
        " WHERE registered_name = 'from_rows'"
    )
    assert row == [(answer["drift_sample_id"], None, {"n_estimators": 7}, [0, 1, 2], "onnx")]
    assert lab.database.rows("SELECT count(*) FROM deployments") == [(0,)]
    assert answer["model_uri"] in answer["message"]


PEOPLE: list[dict[str, Any]] = [
    {
        "born on": None if place % 11 == 5 else f"{1980 + place % 7}-03-{1 + place % 28:02d}",
        "town": None if place % 9 == 4 else ["Lund", "Köln", "東京"][place % 3],
        "member": None if place % 13 == 6 else place % 2 == 0,
        "height": None if place % 10 == 3 else 1.5 + place % 5 / 10,
    }
    for place in range(60)
]
JOINED = [["no", "yes"][place % 3 == 0] for place in range(60)]


@pytest.mark.parametrize("form", ["records", "lists"])
def test_rows_of_several_kinds_give_a_version(lab: JobsLab, form: str) -> None:
    names = list(PEOPLE[0])
    lists = {"data": [list(person.values()) for person in PEOPLE], "columns": names}
    given = {"data": PEOPLE} if form == "records" else lists
    name = f"people from {form}"
    answer = train(lab, **given, target=JOINED, registered_model_name=name, **TREE)
    assert answer["status"] == "success"
    assert answer["trained_rows"] + answer["drift_sample_rows"] == 60
    assert answer["metrics"]["accuracy"] > 0.6
    types = ["datetime", "string", "boolean", "double"]
    if form == "records":
        # As this client writes an object.
        names, types = map(list, zip(*sorted(zip(names, types, strict=True)), strict=True))
    assert lab.job(answer["job_id"])["request"]["types"] == types
    [(columns, sample)] = lab.database.rows(
        "SELECT s.input_schema, v.drift_sample_id FROM serving_models s"
        " JOIN model_versions v ON s.model_version_id = v.id WHERE v.registered_name = %s",
        (name,),
    )
    assert [(column["name"], column["type"]) for column in columns] == list(
        zip(names, types, strict=True)
    )
    # The proxy does not say that it is UTF-8.
    kept = json.loads(artifact(lab, sample).content)
    assert kept["columns"] == names
    assert all(dict(zip(names, row, strict=True)) in PEOPLE for row in kept["rows"])
    body = {"data": [PEOPLE[0], {**PEOPLE[1], "born on": None}], "registered_model_name": name}
    said = lab.ask("POST", "/inference", body)
    assert said["predictions"] == ["yes", "no"]
    body["data"] = [{**PEOPLE[0], "town": 3}]
    status, refused = lab.send("POST", "/inference", body)
    assert (status, refused["details"][0]["path"]) == (400, "data.0.town")


def test_a_stored_dataset_is_loaded_first(lab: JobsLab) -> None:
    answer = train(lab, dataset_name="iris", registered_model_name="from_dataset", **TREE)
    assert (answer["trained_rows"], answer["drift_sample_rows"]) == (72, 18)
    [(name, classes, class_names)] = lab.database.rows(
        "SELECT d.name, s.classes, s.class_names FROM model_versions v"
        " JOIN datasets d ON d.id = v.dataset_id"
        " JOIN serving_models s ON s.model_version_id = v.id"
        " WHERE v.registered_name = 'from_dataset'"
    )
    assert (name, classes, class_names) == (
        "iris",
        [0, 1, 2],
        ["setosa", "versicolor", "virginica"],
    )


def test_text_labels_and_missing_values(lab: JobsLab) -> None:
    rows = [[1.0, None], [None, 2], [3, 4.5], [4, 1]] * 3
    answer = train(
        lab, data=rows, target=["no", "yes", "no", "yes"] * 3, registered_model_name="words", **TREE
    )
    sample = artifact(lab, answer["drift_sample_id"]).json()
    assert sample["columns"] == ["x0", "x1"]
    assert sorted(sample["target"]) == ["no", "yes"]


def test_a_failed_fit_is_told_and_recorded(lab: JobsLab) -> None:
    status, answer = lab.send(
        "POST",
        "/train",
        {
            "data": ROWS,
            "target": TARGET,
            "model_name": "KNN",
            "hyperparameters": {"n_neighbors": 140},
            "registered_model_name": "never",
        },
    )
    assert status == 422, answer
    assert answer["status"] == "failed"
    assert "n_neighbors" in answer["message"]
    run = mlflow(lab, "runs/get", run_id=answer["run_id"])["run"]
    assert run["info"]["status"] == "FAILED"
    folder = run["info"]["artifact_uri"].removeprefix("mlflow-artifacts:").strip("/")
    assert "Traceback" in artifact(lab, f"{folder}/traceback.txt").text
    assert versions(lab, "never") == []
    job = lab.job(answer["job_id"])
    assert (job["state"], job["reason"]) == ("failed", answer["message"])
    assert job["request"]["rows"] == 150
    assert "data" not in job["request"]


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"data": [[1, 2], [3], [4, 5]]}, 400, "data.1"),
        ({"data": [[1, 2], [3, "x"], [4, 5]]}, 400, "data.1.x1"),
        ({"data": [[1, 2], 3, [4, 5]]}, 400, "data.1"),
        ({"data": [[], [], []]}, 400, "data.0"),
        ({"data": []}, 400, "data"),
        ({"data": [{}, {}, {}]}, 400, "data.0"),
        ({"data": [{"": 1}, {"": 2}, {"": 3}]}, 400, "data.0"),
        ({"data": [{"a": 1}, {"b": 2}, {"a": 3}]}, 400, "data.1.a"),
        ({"data": [{"a": 1}, [2], {"a": 3}]}, 400, "data.1"),
        ({"data": [{"a": 1}, {"a": {}}, {"a": 3}]}, 400, "data.1.a"),
        ({"data": [["a"], [True], ["c"]]}, 400, "must be text, not true or false"),
        ({"data": [[True], [1], [False]]}, 400, "must be true or false, not the number 1"),
        ({"data": [["a\0"], ["b"], ["c"]]}, 400, "NUL"),
        ({"data": [{"a": 1}] * 3, "columns": ["b"]}, 400, "data.0.b"),
        ({"target": [0, 1]}, 400, "target"),
        ({"target": [0, None, 1]}, 400, "target.1"),
        ({"target": [None, 1, 0]}, 400, "'target.0 is missing'"),
        ({"target": [0, 1.5, 1]}, 400, "target.1"),
        ({"target": [0, "a", 1]}, 400, "target.1"),
        ({"target": [0, True, 1]}, 400, "target.1"),
        ({"columns": ["a", "a"]}, 400, "columns"),
        ({"columns": ["a"]}, 400, "data.0"),
        ({"dataset_name": "iris"}, 400, "dataset_name"),
        ({"model_name": "Oracle"}, 400, "Model not Found"),
        ({"hyperparameters": {"max_depth": -1}}, 422, "max_depth"),
        ({"registered_model_name": "a/b"}, 400, "registered_model_name"),
        ({"registered_model_name": " "}, 400, "registered_model_name"),
        ({"unknown": 1}, 400, "unknown"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    lab: JobsLab, change: dict[str, Any], status: int, named: str
) -> None:
    jobs = lab.database.rows("SELECT count(*) FROM jobs")
    body = {"data": [[1, 2], [3, 4], [5, 6]], "target": [0, 1, 0], **TREE, **change}
    found, answer = lab.send("POST", "/train", body)
    assert found == status, answer
    assert named in str(answer)
    # What the estimator refuses is a training that failed, if before it began.
    assert answer.get("status") == ("failed" if status == 422 else None)
    assert lab.database.rows("SELECT count(*) FROM jobs") == jobs


@pytest.mark.parametrize(
    ("data", "target", "named"),
    [
        ([[1], [2], [3]], [0, 0, 0], "one class"),
        ([[1], [2]], [0, 1], "too few"),
    ],
)
def test_rows_that_cannot_be_trained_on(
    lab: JobsLab, data: list[Any], target: list[Any], named: str
) -> None:
    status, answer = lab.send("POST", "/train", {"data": data, "target": target, **TREE})
    assert (status, answer["status"]) == (422, "failed")
    assert named in answer["message"]
    run = mlflow(lab, "runs/get", run_id=answer["run_id"])["run"]
    assert run["info"]["status"] == "FAILED"


def test_unknown_datasets_are_not_found(lab: JobsLab) -> None:
    status, answer = lab.send("POST", "/train", {"dataset_name": "tulips"})
    assert status == 404, answer
    status, answer = lab.send("POST", "/train", {"dataset_name": "iris", "dataset_version": 77})
    assert status == 404, answer


def test_trainings_at_once_give_a_version_each(lab: JobsLab) -> None:
    body = {"data": ROWS, "target": TARGET, "registered_model_name": "at_once", **TREE}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: lab.ask("POST", "/train", body), range(4)))
    assert sorted(answer["model_version"] for answer in answers) == ["1", "2", "3", "4"]
    assert len({answer["run_id"] for answer in answers}) == 4
    assert len({answer["drift_sample_id"] for answer in answers}) == 4


def test_a_repeated_request_is_the_same_job(lab: JobsLab) -> None:
    body = {"data": ROWS, "target": TARGET, "registered_model_name": "repeated", **TREE}
    first = lab.send("POST", "/train", body, request_id="train-once")
    assert first[0] == 200
    assert lab.send("POST", "/train", body, request_id="train-once") == first
    assert len(versions(lab, "repeated")) == 1
    other = lab.send("POST", "/train", {**body, "columns": list("abcd")}, request_id="train-once")
    assert other[1]["job_id"] != first[1]["job_id"]


def test_who_does_not_wait_gets_the_job(lab: JobsLab, module_database: TestDatabase) -> None:
    settings = module_database.settings(
        ml_model.settings.Settings, mlflow_url=lab.mlflow_url, train_wait_s=0
    )
    body = {"data": ROWS, "target": TARGET, "registered_model_name": "later", **TREE}
    answer = ml_model.app.create_app(settings).test_client().post("/train", json=body)
    assert answer.status_code == 202
    job = lab.wait(answer.get_json()["job_id"])
    assert job["state"] == "succeeded"
    assert job["result"]["registered_model_name"] == "later"
    listed = lab.ask("GET", "/jobs?limit=1")
    assert (listed["jobs"][0], listed["next_cursor"]) == (job, job["id"])
    older = lab.ask("GET", f"/jobs?cursor={job['id']}&state=failed&kind=train")
    assert {item["state"] for item in older["jobs"]} <= {"failed"}


def test_unknown_jobs_are_not_found(lab: JobsLab) -> None:
    for path in ("/jobs/999999", f"/jobs/{10**30}", "/jobs/nothing"):
        assert lab.send("GET", path)[0] == 404
    assert lab.send("POST", "/jobs/999999/cancel")[0] == 404
