"""The drift check on a real PostgreSQL and a real MLflow server."""

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

import monitoring.app
import monitoring.settings
import simulator.app
import simulator.settings
from mlflowrest.client import Mlflow
from tests.support.databases import TestDatabase
from tests.support.gate import Gate
from tests.support.mlflow_fixture import MlflowServer

COLUMNS = ["length", "width", "colour"]


def rows(count: int, seed: int, shift: float = 0.0) -> list[list[Any]]:
    """Return rows of two numbers and a text."""
    draw = np.random.default_rng(seed)
    return [
        [draw.normal(shift), draw.normal(5 + shift), str(draw.choice(["red", "green"]))]
        for _ in range(count)
    ]


@dataclass
class DriftLab:
    """Monitoring with MLflow behind a gate."""

    database: TestDatabase
    mlflow: Mlflow
    mlflow_gate: Gate
    client: FlaskClient

    def check(self, status: int = 200, **body: Any) -> Any:
        """Ask for a check and return the JSON of an answer with that status."""
        answer = self.client.post(
            "/data-drift", data=json.dumps(body), content_type="application/json"
        )
        assert answer.status_code == status, answer.text
        return answer.get_json()

    def version(
        self, name: str, number: int, *, sample: list[list[Any]] | None = None, **columns: Any
    ) -> int:
        """Record a model version, with a drift sample in the artifact store if one is given."""
        path = None
        if sample is not None:
            path = f"cellar/drift_samples/{secrets.token_hex(8)}.json"
            self.mlflow.artifacts.put_json(
                path, {"columns": COLUMNS, "rows": sample, "target": [0] * len(sample)}
            )
        values = {
            "name": name,
            "number": number,
            "sample": path,
            "dataset": None,
            "hash": None,
        } | columns
        with self.database.session("cellar_ml_model") as session:
            version_id: int = session.execute(
                text(
                    "INSERT INTO model_versions (registered_name, version, model_name,"
                    " hyperparameters, training_run_id, dataset_id, training_content_hash,"
                    " model_uri, drift_sample_id) VALUES (:name, :number, :name, '{}', 'r',"
                    " :dataset, :hash, 'u', :sample) RETURNING id"
                ),
                values,
            ).scalar_one()
            session.commit()
        return version_id

    def serve(self, version_id: int | None) -> None:
        """Put a version into the slot `current`."""
        self.database.execute(
            "INSERT INTO deployments (slot, action, current_version_id, actor, reason, request_id)"
            " VALUES ('current', 'test', %s, 't', 't', 't')",
            (version_id,),
        )

    def stored(self) -> int:
        """Return how many checks are stored."""
        count: int = self.database.rows("SELECT count(*) FROM drift_checks")[0][0]
        return count


@pytest.fixture
def lab(cellar_database: TestDatabase, mlflow_server: MlflowServer) -> Iterator[DriftLab]:
    gate = Gate("127.0.0.1", mlflow_server.port)
    settings = cellar_database.settings(
        monitoring.settings.Settings, mlflow_url=f"http://127.0.0.1:{gate.port}"
    )
    yield DriftLab(
        cellar_database,
        Mlflow(mlflow_server.url),
        gate,
        monitoring.app.create_app(settings).test_client(),
    )
    gate.shut()


def test_rows_against_rows(lab: DriftLab) -> None:
    found = lab.check(data=rows(60, 1), reference=rows(100, 2))
    assert found["verdict"] == "no_drift" and found["drift"] is False
    assert found["share_drifted"] == 0 and found["columns_checked"] == 3
    assert [column["name"] for column in found["columns"]] == ["x0", "x1", "x2"]
    assert found["reference"] == "rows of the request"
    assert (found["registered_model_name"], found["run_id"], found["notes"]) == (None, None, [])
    for column in found["columns"]:
        assert {"statistic", "p_value", "distance", "threshold", "verdict", "drift", "test"} <= set(
            column
        )
    assert found["correction"] == "Benjamini-Hochberg" and found["tests"] == 3


def test_drift_makes_a_run_with_its_data(lab: DriftLab) -> None:
    version_id = lab.version("iris", 3, sample=rows(100, 1))
    data = rows(60, 2, shift=2.0)
    data[0][0] = None
    found = lab.check(data=data, registered_model_name="iris", model_version="3")
    assert found["drift"] is True and found["columns_drifted"] == 2
    assert found["message"] == "Drift: 2 of 3 columns have drifted (length, width)."
    assert found["reference"] == "drift sample of iris version 3"
    assert found["run_name"].startswith("drift_iris_3_20")
    run = lab.mlflow.runs.get(found["run_id"])
    assert (run.name, run.status) == (found["run_name"], "FINISHED")
    assert run.tags["registered_model_name"] == "iris" and run.tags["model_version"] == "3"
    assert json.loads(run.tags["columns_drifted"]) == ["length", "width"]
    assert run.metrics["share_drifted"] == pytest.approx(2 / 3)
    assert run.metrics["distance.length"] > 0.5
    kept = lab.mlflow.artifacts.get_json(f"{run.artifact_path}/data.json")
    assert kept == {"columns": COLUMNS, "rows": data, "row_count": 60}
    reference = lab.mlflow.artifacts.get_json(f"{run.artifact_path}/reference.json")
    assert reference["rows"] == rows(100, 1)
    result = lab.mlflow.artifacts.get_json(f"{run.artifact_path}/result.json")
    assert result["verdict"] == "drift" and len(result["columns"]) == 3
    stored = lab.database.rows(
        "SELECT model_version_id, registered_name, version, verdict, run_id FROM drift_checks"
    )
    assert stored == [(version_id, "iris", 3, "drift", found["run_id"])]


def test_without_a_name_it_is_the_version_that_serves(lab: DriftLab) -> None:
    assert "No model serves yet" in lab.check(409, data=rows(3, 1))["message"]
    serving = lab.version("iris", 1, sample=rows(100, 1))
    lab.version("iris", 2, sample=rows(100, 1, shift=9))
    lab.serve(serving)
    found = lab.check(data=rows(60, 2))
    assert found["reference"] == "drift sample of iris version 1"
    assert found["model_version"] == "1" and found["verdict"] == "no_drift"
    # By its name too; another name gives the newest, a number that one.
    assert lab.check(data=rows(60, 2), registered_model_name="iris")["model_version"] == "1"
    assert lab.check(data=rows(60, 2), registered_model_name="iris", model_version=2)["drift"]
    lab.version("other", 7, sample=rows(100, 1))
    lab.version("other", 8, sample=rows(100, 1))
    assert lab.check(data=rows(60, 2), registered_model_name="other")["model_version"] == "8"


def test_records_are_read_by_name(lab: DriftLab) -> None:
    lab.serve(lab.version("iris", 1, sample=rows(100, 1)))
    records = [dict(reversed(list(zip(COLUMNS, row, strict=True)))) for row in rows(60, 2)]
    assert lab.check(data=records)["columns"] == lab.check(data=rows(60, 2))["columns"]
    records[4]["petal"] = 1
    del records[7]["colour"]
    refused = lab.check(400, data=records)
    assert [item["path"] for item in refused["details"]] == ["data.4.petal", "data.7.colour"]


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ([], "data"),
        ([[1, 2]], "data.0"),
        ([[1, 2, "red"], [1, "x", "red"]], "data.1.width"),
        ([["a", 2, "red"]], "data.0.length"),
        ([[1, 2, {"a": 1}]], "data.0.colour"),
        ([5], "data.0"),
    ],
)
def test_what_cannot_be_compared_is_named_and_nothing_is_stored(
    lab: DriftLab, data: Any, path: str
) -> None:
    lab.serve(lab.version("iris", 1, sample=rows(100, 1)))
    refused = lab.check(400, data=data)
    assert refused["details"][0]["path"] == path
    assert lab.stored() == 0


def test_unknown_versions_and_odd_numbers(lab: DriftLab) -> None:
    assert lab.check(404, data=rows(3, 1), registered_model_name="nobody")
    lab.version("iris", 1, sample=rows(9, 1))
    assert lab.check(404, data=rows(3, 1), registered_model_name="iris", model_version=2)
    for odd in ("x", -1, 1.5, True, 2**31, "١٢"):
        answer = lab.client.post(
            "/data-drift",
            json={"data": [[1]], "registered_model_name": "iris", "model_version": odd},
        )
        assert answer.status_code in (400, 404), (odd, answer.text)
    assert "registered_model_name" in lab.check(400, data=rows(3, 1), model_version=1)["message"]


def test_a_version_without_reference_says_what_to_do(lab: DriftLab) -> None:
    lab.version("foreign", 1)
    refused = lab.check(409, data=rows(3, 1), registered_model_name="foreign")
    assert 'Send rows as "reference"' in refused["message"]
    # With rows of its own it is that version's check all the same.
    found = lab.check(data=rows(60, 1), reference=rows(60, 2), registered_model_name="foreign")
    assert (found["registered_model_name"], found["model_version"]) == ("foreign", "1")


def test_a_lost_sample_is_a_409(lab: DriftLab) -> None:
    version_id = lab.version("iris", 1, sample=rows(9, 1))
    lab.database.execute(
        "UPDATE model_versions SET drift_sample_id = 'cellar/nothing.json' WHERE id = %s",
        (version_id,),
    )
    refused = lab.check(409, data=rows(3, 1), registered_model_name="iris")
    assert "no longer in the artifact store" in refused["message"]


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b"{}", b'{"columns": ["a"], "rows": []}'])
def test_a_sample_that_is_none_is_a_409(lab: DriftLab, content: bytes) -> None:
    lab.mlflow.artifacts.put("cellar/test_no_sample.json", content)
    version_id = lab.version("iris", 1)
    lab.database.execute(
        "UPDATE model_versions SET drift_sample_id = 'cellar/test_no_sample.json' WHERE id = %s",
        (version_id,),
    )
    refused = lab.check(409, data=rows(3, 1), registered_model_name="iris")
    assert "cannot be read" in refused["message"]


def test_without_mlflow_a_check_stands_without_its_run(lab: DriftLab) -> None:
    lab.serve(lab.version("iris", 1, sample=rows(100, 1)))
    with lab.mlflow_gate.outage():
        found = lab.check(data=rows(60, 2, shift=3), reference=rows(60, 3))
        assert found["drift"] is True and found["run_id"] is None
        assert "There is no MLflow run of this check" in found["notes"][0]
        # Whose sample is in MLflow has to wait for it.
        assert lab.check(503, data=rows(60, 2))["error"] == "MLflow does not answer"
    assert lab.stored() == 1
    assert lab.check(data=rows(60, 2, shift=3))["run_id"]


def test_the_training_set_stands_in_for_a_sample(lab: DriftLab) -> None:
    loader = simulator.app.create_app(
        lab.database.settings(simulator.settings.Settings)
    ).test_client()
    for body in ({"set_name": "training"}, {"set_name": "production", "scenario": "shift"}):
        assert loader.post("/root/simulator", json=body).status_code == 200
    ((dataset_id, content_hash),) = lab.database.rows(
        "SELECT dataset_id, content_hash FROM set_loads WHERE set_name = 'training'"
    )
    lab.serve(lab.version("RandomForest", 1, dataset=dataset_id, hash=content_hash))
    names = [
        item["name"]
        for item in lab.database.rows("SELECT columns FROM datasets")[0][0]
        if item["name"] != lab.database.rows("SELECT target FROM datasets")[0][0]
    ]
    listed = ", ".join(f'"{name}"' for name in names)
    query = f"SELECT {listed} FROM samples.wine_v1 WHERE set_name = %s"  # noqa: S608
    fouled = [list(row) for row in lab.database.rows(query, ("production",))]
    found = lab.check(data=fouled)
    assert found["reference"] == "training set of RandomForest version 1"
    assert found["drift"] is True and found["reference_rows"] == 106
    clean = [list(row) for row in lab.database.rows(query, ("training",))]
    assert lab.check(data=clean[:60])["verdict"] == "no_drift"
    assert loader.post("/root/simulator", json={"set_name": "training", "seed": 7}).status_code
    refused = lab.check(409, data=clean)
    assert "no longer loaded" in refused["message"] and "/root/simulator" in refused["message"]


def test_the_time_line_is_newest_first_and_goes_on(lab: DriftLab) -> None:
    empty = lab.client.get("/drift-checks").get_json()
    assert empty == {"drift_checks": [], "count": 0, "next_cursor": None}
    for shift in (0.0, 3.0, 0.0):
        lab.check(data=rows(60, 2, shift=shift), reference=rows(60, 3))
    lab.check(data=rows(2, 2), reference=rows(60, 3))
    found = lab.client.get("/drift-checks?limit=3").get_json()
    assert found["count"] == 3
    assert [item["verdict"] for item in found["drift_checks"]] == [
        "too_few_rows",
        "no_drift",
        "drift",
    ]
    assert found["drift_checks"][2]["columns_drifted"] == ["x0", "x1"]
    assert found["drift_checks"][2]["run_id"]
    rest = lab.client.get(f"/drift-checks?limit=3&cursor={found['next_cursor']}").get_json()
    assert rest["count"] == 1 and rest["next_cursor"] is None
    for odd in ("limit=0", "limit=x", "limit=1001", "cursor=0", "unknown=1"):
        assert lab.client.get(f"/drift-checks?{odd}").status_code == 400


def test_checks_at_the_same_time_are_each_stored(lab: DriftLab) -> None:
    app = lab.client.application
    body = {"data": rows(60, 2, shift=3), "reference": rows(60, 3)}
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda _: app.test_client().post("/data-drift", json=body), range(8))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.get_json()["drift_check_id"] for answer in answers}) == 8
    assert len({answer.get_json()["run_id"] for answer in answers}) == 8
    assert lab.stored() == 8
