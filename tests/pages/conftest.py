"""A real browser, and a page that remembers what it asked for and what it complained about."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.support.lifecycle_client import Client
from tests.support.running_suite import RunningSuite

ROW = [13.2, 1.78, 2.14, 11.2, 100.0, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050.0]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the machine has it; without one these tests are left out, in CI they fail."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("there is no Chromium: install the package `chromium`")
        pytest.skip("there is no Chromium on this machine (set CHROMIUM to its path)")
    # MLflow's page loads megabytes of scripts, on whatever machine this is.
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path,
            # As root, the usual user of a CI container, Chromium has no sandbox.
            args=["--no-sandbox", "--disable-dev-shm-usage"] if os.geteuid() == 0 else [],
        )
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """A page, the hosts it turned to and the errors on its console."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def note_request(self, request: Request) -> None:
        """Remember whom the page asks; data in the page itself is no host."""
        address = urlsplit(request.url)
        if address.scheme in {"http", "https", "ws", "wss"}:
            self.hosts.add(address.netloc)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A fresh page."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    visited = Visit(page)
    page.on("request", visited.note_request)
    page.on(
        "console",
        lambda message: visited.errors.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: visited.errors.append(str(error)))
    yield visited
    page.close()


@pytest.fixture
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a test puts its screenshot: the folder `PAGES_PICTURES`, else a temporary one."""
    folder = Path(os.environ.get("PAGES_PICTURES", tmp_path))
    return folder / f"{request.node.name.replace('/', ' ')}.png"


@pytest.fixture(scope="module")
def serving(suite: RunningSuite) -> RunningSuite:
    """Two versions in the slots, some predictions, labels, and a drift check."""
    client = Client(suite)
    client.load_all()
    for name in ("LogisticRegression", "RandomForest"):
        client.set_model(name)
        client.score("training")
        if name == "LogisticRegression":
            version = suite.ask("GET", "ml_model", "/root/ml")["model_version"]
    uri = f"models:/LogisticRegression/{version}"
    suite.ask("POST", "ml_model", "/update-model", {"model_uri": uri})
    suite.ask("POST", "ml_model", "/set-canary-probability", {"probability": 1.0})
    for _ in range(5):
        answer = suite.ask("POST", "ml_model", "/predict", {"features": ROW})
        label = {"request_id": answer["request_id"], "label": answer["prediction"]}
        suite.ask("POST", "ml_model", "/labels", label)
    rows = [[value * (1 + number / 500) for value in ROW] for number in range(60)]
    suite.ask("POST", "monitoring", "/data-drift", {"data": rows})
    return suite


@pytest.fixture(scope="module")
def full(serving: RunningSuite) -> Iterator[RunningSuite]:
    """Something in every section: what `serving` has, a roll-out under way, a job, a verdict."""
    suite = serving
    client = Client(suite)
    for name in ("testing", "production"):
        client.score(name)
    suite.ask("POST", "monitoring", "/root/monitoring", {"metric": "summary"})
    target = int(suite.ask("POST", "ml_model", "/predict", {"features": ROW})["prediction"])
    labelled = {"dataset_name": "wine", "features": ROW, "target": target}
    suite.ask("POST", "ml_model", "/add_training_data", labelled)
    plan = {"steps": [0.05, 1.0], "min_requests": 1_000_000, "step_s": 600}
    rollout = suite.call("POST", "ml_model", "/rollouts", json=plan)
    rollout.raise_for_status()
    suite.ask("POST", "ml_model", "/set-shadow", {"shadow": True})
    body = {"dataset_name": "wine", "force_retrain": True}
    job = suite.ask("POST", "ml_model", "/trigger_retrain", body, status=202)["job_id"]
    yield suite
    suite.call("POST", "ml_model", f"/jobs/{job}/cancel")
    number = rollout.json()["rollout_id"]
    suite.call("POST", "ml_model", f"/rollouts/{number}/cancel")


@pytest.fixture
def full_page(full: RunningSuite, visit: Visit) -> Page:
    """The page with something in every section, live."""
    return open_dashboard(visit.page, full)


def open_dashboard(page: Page, suite: RunningSuite) -> Page:
    """Open the page and wait until it has something in its slots and its first list."""
    page.goto(f"{suite.monitoring_url}/dashboard")
    expect(page.locator("#connection-text")).to_have_text("Live")
    expect(page.locator("#slot-next .model")).to_be_visible()
    expect(page.locator("#rollouts tr").first).to_be_visible()
    return page


def unfold_everything(page: Page) -> None:
    """Open every fold, those inside the tables as well."""
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")


def show_instead(
    page: Page, suite: RunningSuite, change: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """Let the page ask, and see the suite's state as `change` has altered its sections.

    Returns the sections; what a test does to them later the page sees when it next asks.
    """
    state = page.request.get(f"{suite.monitoring_url}/dashboard/state").json()
    change(state["sections"])
    page.route("**/dashboard/events", lambda route: route.fulfill(status=503, body="{}"))
    page.route("**/dashboard/state", lambda route: route.fulfill(json=state))
    page.goto(f"{suite.monitoring_url}/dashboard")
    expect(page.locator("#connection-text")).to_contain_text("asking")
    sections: dict[str, Any] = state["sections"]
    return sections
