"""The REST client against a real MLflow server."""

import math
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from mlflowrest.client import Mlflow
from mlflowrest.errors import MlflowNotFound, MlflowRefused, MlflowUnavailable
from mlflowrest.runs import Run
from tests.support.gate import Gate
from tests.support.mlflow_fixture import MlflowServer


@pytest.fixture
def mlflow(mlflow_server: MlflowServer) -> Mlflow:
    return Mlflow(mlflow_server.url)


@pytest.fixture
def name() -> str:
    """A name that nobody else takes, with what may not break a URL."""
    return f"a b/ü'\"%{secrets.token_hex(6)}"


@pytest.fixture
def run(mlflow: Mlflow, name: str) -> Run:
    return mlflow.runs.create(mlflow.experiments.ensure(name), "a run", tags={"kind": "test"})


def call(server: MlflowServer, path: str, **body: object) -> dict[str, object]:
    answer = requests.post(f"{server.url}/api/2.0/mlflow/{path}", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    content: dict[str, object] = answer.json()
    return content


def test_an_experiment_is_made_once_also_at_the_same_time(mlflow: Mlflow, name: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(mlflow.experiments.ensure, [name] * 8))
    assert len(found) == 1


def test_a_deleted_experiment_is_restored_also_at_the_same_time(
    mlflow: Mlflow, mlflow_server: MlflowServer, name: str
) -> None:
    first = mlflow.experiments.ensure(name)
    call(mlflow_server, "experiments/delete", experiment_id=first)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(mlflow.experiments.ensure, [name] * 4)) == {first}
    mlflow.runs.create(first, "it takes runs again")


def test_a_run_keeps_what_is_logged(mlflow: Mlflow, run: Run) -> None:
    assert (run.name, run.status, run.end_ms) == ("a run", "RUNNING", None)
    mlflow.runs.log(
        run.id,
        params={"rows": 106, "text": "ä" * 7000},
        metrics={"share": 0.25, "nan": math.nan, "low": -math.inf},
        tags={"verdict": "drift", "long": "x" * 9000},
    )
    mlflow.runs.terminate(run.id)
    found = mlflow.runs.get(run.id)
    assert found.status == "FINISHED" and found.end_ms is not None
    assert found.end_ms >= found.start_ms
    assert found.params == {"rows": "106", "text": "ä" * 6000}
    assert found.metrics["share"] == 0.25 and math.isnan(found.metrics["nan"])
    assert found.metrics["low"] < -1e300
    assert found.tags["verdict"] == "drift" and found.tags["kind"] == "test"
    assert len(found.tags["long"]) == 8000


def test_more_than_one_call_holds_is_logged_in_several(mlflow: Mlflow, run: Run) -> None:
    params = {f"p{number}": "ü" * 6000 for number in range(130)}
    tags = {f"t{number}": number for number in range(101)}
    metrics = {f"m{number}": float(number) for number in range(1100)}
    mlflow.runs.log(run.id, params=params, metrics=metrics, tags=tags)
    found = mlflow.runs.get(run.id)
    assert found.params == params
    assert found.metrics == metrics
    assert {key: str(value) for key, value in tags.items()}.items() <= found.tags.items()


def test_nothing_to_log_is_no_call(name: str) -> None:
    Mlflow("http://127.0.0.1:9").runs.log("no run", params={}, metrics=None)


def test_a_param_does_not_change(mlflow: Mlflow, run: Run) -> None:
    mlflow.runs.log(run.id, params={"rows": 1})
    with pytest.raises(MlflowRefused) as refused:
        mlflow.runs.log(run.id, params={"rows": 2})
    assert refused.value.code == "INVALID_PARAMETER_VALUE"
    assert "rows" in refused.value.message


def test_runs_are_found_by_tag_newest_first(mlflow: Mlflow, run: Run) -> None:
    later = mlflow.runs.create(
        run.experiment_id, "later", tags={"kind": "test"}, start_ms=run.start_ms + 1
    )
    mlflow.runs.create(run.experiment_id, "other", tags={"kind": "other"})
    found = mlflow.runs.search([run.experiment_id], "tags.kind = 'test'")
    assert [item.id for item in found] == [later.id, run.id]
    assert len(mlflow.runs.search([run.experiment_id], max_results=2)) == 2


def test_an_unknown_run_is_not_found(mlflow: Mlflow) -> None:
    for ask in (
        lambda: mlflow.runs.get("0" * 32),
        lambda: mlflow.runs.terminate("0" * 32),
        lambda: mlflow.runs.log("0" * 32, tags={"a": "b"}),
    ):
        with pytest.raises(MlflowNotFound):
            ask()


def test_a_file_comes_back_and_is_listed(mlflow: Mlflow, run: Run) -> None:
    content = bytes(range(256)) * 5000
    mlflow.artifacts.put(f"{run.artifact_path}/deep/a b.bin", content)
    mlflow.artifacts.put_json(f"{run.artifact_path}/data.json", {"rows": [[1.5, None, "ä"]]})
    assert mlflow.artifacts.get(f"{run.artifact_path}/deep/a b.bin") == content
    assert mlflow.artifacts.get_json(f"{run.artifact_path}/data.json") == {
        "rows": [[1.5, None, "ä"]]
    }
    found = mlflow.artifacts.list(run.artifact_path)
    assert [(entry.path.rpartition("/")[2], entry.is_folder) for entry in found] == [
        ("data.json", False),
        ("deep", True),
    ]
    (file,) = mlflow.artifacts.list(found[1].path)
    assert (file.path, file.bytes) == (f"{run.artifact_path}/deep/a b.bin", len(content))
    mlflow.artifacts.delete(f"{run.artifact_path}/data.json")
    with pytest.raises(MlflowNotFound):
        mlflow.artifacts.get(f"{run.artifact_path}/data.json")
    mlflow.artifacts.delete(f"{run.artifact_path}/data.json")


def test_a_file_outside_any_run_replaces_itself(mlflow: Mlflow) -> None:
    path = f"cellar/drift_samples/{secrets.token_hex(8)}.json"
    with pytest.raises(MlflowNotFound):
        mlflow.artifacts.get(path)
    mlflow.artifacts.put_json(path, [1])
    mlflow.artifacts.put_json(path, [2])
    assert mlflow.artifacts.get_json(path) == [2]
    assert mlflow.artifacts.list(f"cellar/{secrets.token_hex(4)}") == []


def test_a_path_that_leaves_the_root_is_refused(mlflow: Mlflow) -> None:
    with pytest.raises((MlflowRefused, MlflowNotFound)):
        mlflow.artifacts.get("cellar/../../secret")


def test_versions_by_number_alias_and_newest(
    mlflow: Mlflow, mlflow_server: MlflowServer, run: Run
) -> None:
    name = f"model 'x' {secrets.token_hex(4)}"
    with pytest.raises(MlflowNotFound):
        mlflow.registry.get_latest(name)
    call(mlflow_server, "registered-models/create", name=name)
    with pytest.raises(MlflowNotFound):
        mlflow.registry.get_latest(name)
    source = f"mlflow-artifacts:/{run.artifact_path}/model"
    for _ in range(11):
        call(mlflow_server, "model-versions/create", name=name, source=source, run_id=run.id)
    call(mlflow_server, "registered-models/alias", name=name, alias="champion", version="2")
    assert mlflow.registry.get_latest(name).version == 11
    found = mlflow.registry.get_by_alias(name, "champion")
    assert (found.name, found.version, found.run_id) == (name, 2, run.id)
    assert found.source == source
    assert mlflow.registry.artifact_path(name, 2) == f"{run.artifact_path}/model"
    mlflow.registry.set_tag(name, 2, "cellar.drift_sample", "cellar/drift_samples/a.json")
    mlflow.registry.set_tag(name, 2, "cellar.drift_sample", "cellar/drift_samples/b.json")
    again = mlflow.registry.get(name, 2)
    assert again.tags == {"cellar.drift_sample": "cellar/drift_samples/b.json"}
    assert again.aliases == ("champion",)
    for ask in (
        lambda: mlflow.registry.get(name, 12),
        lambda: mlflow.registry.get_by_alias(name, "nobody"),
        lambda: mlflow.registry.get_by_alias("nobody", "nobody"),
        lambda: mlflow.registry.artifact_path(name, 12),
        lambda: mlflow.registry.set_tag(name, 12, "a", "b"),
    ):
        with pytest.raises(MlflowNotFound):
            ask()


def test_logged_models_of_a_run(mlflow: Mlflow, mlflow_server: MlflowServer, run: Run) -> None:
    made = call(
        mlflow_server,
        "logged-models",
        experiment_id=run.experiment_id,
        name="model",
        source_run_id=run.id,
    )
    model_id = made["model"]["info"]["model_id"]  # type: ignore[index]
    (found,) = mlflow.registry.search_logged_models(run.experiment_id, run.id)
    assert (found.id, found.name, found.run_id) == (model_id, "model", run.id)
    assert found.artifact_path == f"{run.experiment_id}/models/{model_id}/artifacts"
    assert mlflow.registry.get_logged_model(model_id) == found
    for unknown in ("m-0", "m-0/../x"):
        with pytest.raises(MlflowNotFound):
            mlflow.registry.get_logged_model(unknown)


def test_an_outage_is_one_error_that_names_no_address(mlflow_server: MlflowServer) -> None:
    gate = Gate("127.0.0.1", mlflow_server.port)
    mlflow = Mlflow(f"http://user:secret@127.0.0.1:{gate.port}/", connect_timeout_s=1)
    try:
        mlflow.check()
        with gate.outage():
            for ask in (
                mlflow.check,
                lambda: mlflow.experiments.ensure("training"),
                lambda: mlflow.artifacts.get("cellar/a.json"),
                lambda: mlflow.registry.get_latest("wine"),
            ):
                with pytest.raises(MlflowUnavailable) as away:
                    ask()
                assert "secret" not in str(away.value) and "127.0.0.1" not in str(away.value)
        mlflow.check()
    finally:
        gate.shut()


def test_who_is_not_mlflow_is_no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = requests.Response()
    answer.status_code = 200
    answer._content = b"<html>"
    monkeypatch.setattr(requests, "request", lambda *_, **__: answer)
    mlflow = Mlflow("http://mlflow")
    for content in (b"<html>", b"[]"):
        answer._content = content
        with pytest.raises(MlflowUnavailable):
            mlflow.runs.get("0" * 32)
    answer.status_code = 502
    with pytest.raises(MlflowUnavailable, match="502"):
        mlflow.runs.get("0" * 32)
