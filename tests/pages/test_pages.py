"""The pages for people, in a real browser: API documents, MLflow's UI, Evidently's page."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.pages.conftest import Visit
from tests.support.lifecycle_client import Client
from tests.support.running_suite import SERVICES, RunningSuite

TRIED = {
    "simulator": "/root/simulator",
    "ml_model": "/root/ml",
    "tracking": "/root/tracking/experiments",
    "monitoring": "/root/monitoring",
}


def host(url: str) -> str:
    return urlsplit(url).netloc


@pytest.mark.parametrize("service", SERVICES)
def test_documents_can_be_read_and_tried_out(
    suite: RunningSuite, visit: Visit, picture: Path, service: str
) -> None:
    page = visit.page
    url = suite.urls[service]
    page.goto(f"{url}/docs")
    path = TRIED[service]
    operation = page.locator(".opblock.opblock-get").filter(
        has=page.locator(f'[data-path="{path}"]')
    )
    expect(operation).to_have_count(1)
    described = suite.ask("GET", service, "/openapi.json")
    count = sum(len(operations) for operations in described["paths"].values())
    expect(page.locator(".opblock")).to_have_count(count)
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()
    answered = operation.locator(".live-responses-table .response .response-col_status").first
    expect(answered).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text('"message"')
    page.screenshot(path=picture, full_page=True)
    assert visit.errors == []
    assert visit.hosts == {host(url)}


@dataclass(frozen=True)
class Shown:
    """What the MLflow pages show."""

    experiment_id: str
    name: str
    run_id: str


@pytest.fixture(scope="module")
def shown(suite: RunningSuite) -> Iterator[Shown]:
    """An experiment with two runs, one of them trained and scored."""
    client = Client(suite)
    client.load_all()
    name = f"shown {uuid.uuid4().hex[:8]}"
    data = client.search(
        name, {"LogisticRegression": {"C": [0.1, 1]}, "DecisionTree": {"max_depth": [2, 3]}}
    )
    run_id = data["run_ids"]["LogisticRegression"]
    client.deploy(run_id)
    for set_name in ("training", "testing", "production"):
        client.score(set_name)
    yield Shown(data["experiment_id"], name, run_id)
    client.set_model("DecisionTree")
    # What serves cannot be deleted either.
    client.score("training")
    client.delete_experiment(data["experiment_id"])


def test_mlflow_lists_the_runs(
    suite: RunningSuite, visit: Visit, picture: Path, shown: Shown
) -> None:
    page = visit.page
    page.goto(f"{suite.mlflow_url}/#/experiments/{shown.experiment_id}/runs")
    for model in ("LogisticRegression", "DecisionTree"):
        expect(page.get_by_text(f"{model} Grid_Search_Opt").first).to_be_visible()
    expect(page.get_by_text(shown.name).first).to_be_visible()
    expect(page.get_by_text("wine").first).to_be_visible()
    page.screenshot(path=picture)
    assert visit.hosts == {host(suite.mlflow_url)}


def test_mlflow_shows_metrics_parameters_dataset_and_model(
    suite: RunningSuite, visit: Visit, picture: Path, shown: Shown
) -> None:
    page = visit.page
    page.goto(f"{suite.mlflow_url}/#/experiments/{shown.experiment_id}/runs/{shown.run_id}")
    for text in (
        "model_accuracy",
        "system_execution_time",
        "model_C",
        "grid_search_scoring",
        "data_samples",
    ):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("wine")).first).to_be_visible()
    expect(page.get_by_text("GridSearch_CrossValidation").first).to_be_visible()
    page.screenshot(path=picture, full_page=True)
    assert visit.hosts == {host(suite.mlflow_url)}


def test_mlflow_opens_the_search(
    suite: RunningSuite, visit: Visit, picture: Path, shown: Shown
) -> None:
    page = visit.page
    page.goto(
        f"{suite.mlflow_url}/#/experiments/{shown.experiment_id}/runs/{shown.run_id}/artifacts"
    )
    page.get_by_text("search", exact=True).first.click()
    page.get_by_text("grid.json", exact=True).first.click()
    # The grid that was asked for, read through the server's artifact proxy.
    expect(page.get_by_text(re.compile(r"0\.1")).first).to_be_visible()
    page.screenshot(path=picture)
    assert visit.hosts == {host(suite.mlflow_url)}


def test_mlflow_opens_the_model(
    suite: RunningSuite, visit: Visit, picture: Path, shown: Shown
) -> None:
    found = suite.ask(
        "POST",
        "mlflow",
        "/api/2.0/mlflow/logged-models/search",
        {"experiment_ids": [shown.experiment_id]},
    )
    (model_id,) = [
        model["info"]["model_id"]
        for model in found["models"]
        if model["info"]["source_run_id"] == shown.run_id
    ]
    page = visit.page
    page.goto(f"{suite.mlflow_url}/#/experiments/{shown.experiment_id}/models/{model_id}/artifacts")
    page.get_by_text("MLmodel", exact=True).first.click()
    expect(page.get_by_text("python_function").first).to_be_visible()
    page.screenshot(path=picture)
    assert visit.hosts == {host(suite.mlflow_url)}


def test_mlflow_lists_the_registered_models(
    suite: RunningSuite, visit: Visit, picture: Path, shown: Shown
) -> None:
    page = visit.page
    page.goto(f"{suite.mlflow_url}/#/models/LogisticRegression")
    expect(page.get_by_text(re.compile("Version 1")).first).to_be_visible()
    page.screenshot(path=picture, full_page=True)
    assert visit.hosts == {host(suite.mlflow_url)}


@pytest.mark.parametrize("metric", ["report", "tests"])
def test_evidently_page_works_without_any_network(
    suite: RunningSuite, browser: Browser, picture: Path, tmp_path: Path, shown: Shown, metric: str
) -> None:
    body: dict[str, object] = {"metric": metric, "format": "html"}
    if metric == "tests":
        body["tests"] = {"data_drift": True}
    answer = suite.call("POST", "monitoring", "/root/monitoring", json=body)
    assert answer.status_code == 200
    file = tmp_path / "page.html"
    file.write_text(answer.text, encoding="utf-8")
    context = browser.new_context(offline=True, viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    expect(page.get_by_text(re.compile("drift", re.IGNORECASE)).first).to_be_visible()
    expect(page.get_by_text(re.compile("alcohol", re.IGNORECASE)).first).to_be_visible()
    page.screenshot(path=picture)
    context.close()
    assert errors == []
    assert [url for url in asked if url.startswith(("http:", "https:"))] == []
