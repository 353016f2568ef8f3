"""Searches on the live page, in a real browser: started, followed, cancelled, at their end."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Client
from tests.pages.conftest import Visit, show_instead
from tests.pages.test_dashboard import KEEP_WHAT_IS_COPIED
from tests.pages.test_dashboard_audit import audit, axe, themed
from tests.pages.test_dashboard_layout import CUT_OFF, HOSTILE, OVERLAPS, SHOWN, sized
from tests.support.running_suite import OwnSuite, RunningSuite

__all__ = ["axe", "sized", "themed"]

JOBS = "/root/tracking/jobs"
NAME = '<b>"One"</b> & another'
PATIENCE_MS = 240_000
"""For a search to end, on whatever machine this is."""


def start(suite: RunningSuite, name: str, candidates: int, trees: int) -> int:
    """Hand a search of two models in, the second of which takes its time; return its id."""
    body = {
        "request_information": "optimization",
        "experiment_name": name,
        "experiment_description": "for the page",
        "experiment_owner": "somebody",
        "models": ["LogisticRegression", "RandomForest"],
        "hyperparameters": {
            "LogisticRegression": {"C": [0.01, 1]},
            "RandomForest": {"n_estimators": {"low": trees, "high": trees + 100}},
        },
        "strategy": "random",
        "n_candidates": candidates,
        "scoring": "accuracy",
        "cv": 3,
        "wait": False,
    }
    answer = suite.ask("POST", "tracking", "/root/tracking/model_management", body, status=202)
    return int(answer["id"])


@pytest.fixture(scope="module")
def loaded(suite: RunningSuite) -> Iterator[RunningSuite]:
    """A suite with wine's training set, and no search left running."""
    Client(suite).load_all()
    yield suite
    for state in ("queued", "running"):
        for job in suite.ask("GET", "tracking", f"{JOBS}?state={state}")["jobs"]:
            suite.call("POST", "tracking", f"{JOBS}/{job['id']}/cancel")


def follow(page: Page, suite: RunningSuite) -> Page:
    """Open the page, live."""
    page.goto(f"{suite.monitoring_url}/dashboard")
    expect(page.locator("#connection-text")).to_have_text("Live")
    return page


def row_of(page: Page, number: int) -> Locator:
    """Return the row of a search."""
    return page.locator("#search-rows tr").filter(
        has=page.locator("td:first-child", has_text=re.compile(rf"^{number}$"))
    )


def points(page: Page) -> int:
    """Return how many candidates are drawn."""
    found = page.evaluate(
        """[...document.querySelectorAll("#scores-chart :is(.dots, .lower, .failed)")]
          .map((path) => (path.getAttribute("d").match(/M/g) ?? []).length)"""
    )
    return int(sum(found))


def test_a_search_is_seen_to_progress_and_to_end(
    loaded: RunningSuite, visit: Visit, picture: Path
) -> None:
    page = follow(visit.page, loaded)
    number = start(loaded, NAME, candidates=8, trees=150)
    expect(row_of(page, number)).to_contain_text(NAME)
    expect(page.locator("#search-now")).to_contain_text(f"Search {number}, {NAME}")
    expect(page.locator("#search-now .badge")).to_have_text("running")
    expect(page.locator("#search-models")).to_contain_text(re.compile("RandomForest[1-7] of 8"))
    # What is drawn grows by itself.
    during = points(page)
    assert 0 < during < 10
    expect(page.locator("#search-now .progress-line")).to_contain_text(re.compile("s left|known"))
    page.screenshot(path=picture, full_page=True)
    expect(page.locator("#search-now .badge")).to_have_text("succeeded", timeout=PATIENCE_MS)
    expect(page.locator("#search-now")).to_contain_text("10 of 10 candidates")

    job = loaded.ask("GET", "tracking", f"{JOBS}/{number}")
    models = job["result"]["models"]
    assert points(page) == sum(len(model["scores"]) for model in models.values()) == 10
    assert all(
        model["best_scores"][-1] == pytest.approx(model["best_score"], abs=1e-6)
        for model in models.values()
    )
    best = max(model["best_score"] for model in models.values())
    shown = f"{best:.5g}"
    expect(row_of(page, number)).to_contain_text(shown)
    chart = page.locator("#scores-chart svg")
    expect(chart).to_have_attribute("aria-label", re.compile(f"10 candidates.*{shown}"))
    run = job["result"]["run_ids"]["RandomForest"]
    link = page.get_by_role("link", name=re.compile(r"MLflow\s+run of RandomForest"))
    assert link.get_attribute("href") == (
        f"{loaded.mlflow_url}/#/experiments/{job['result']['experiment_id']}/runs/{run}"
    )
    assert page.locator("#searches b").count() == 0
    assert visit.errors == []


def test_a_search_is_cancelled_by_keyboard_and_the_one_that_waits_as_well(
    loaded: RunningSuite, visit: Visit
) -> None:
    page = follow(visit.page, loaded)
    running = start(loaded, "long", candidates=60, trees=500)
    waiting = start(loaded, "next", candidates=60, trees=500)
    expect(row_of(page, waiting)).to_contain_text("waits its turn")
    expect(page.locator("#search-now")).to_contain_text(f"Search {running}, long")
    expect(page.locator("#search-models")).to_contain_text(re.compile("[1-9] of 60"))
    for number in (waiting, running):
        button = row_of(page, number).get_by_role("button", name=f"Cancel search {number}")
        button.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#confirm-text")).to_contain_text("stay in MLflow")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#notice-text")).to_contain_text(f"Search {number} is being cancelled")
        expect(row_of(page, number).locator(".badge")).to_have_text("cancelled")
    assert loaded.ask("GET", "tracking", f"{JOBS}/{running}")["state"] == "cancelled"
    # It has run; the other never has.
    expect(page.locator("#search-now .badge")).to_have_text("cancelled")
    assert row_of(page, running).get_by_role("button", name="Cancel").count() == 0


def test_the_call_that_starts_one_works_as_pasted(loaded: RunningSuite, visit: Visit) -> None:
    visit.page.add_init_script(KEEP_WHAT_IS_COPIED)
    page = follow(visit.page, loaded)
    page.locator("#searches button.curl[data-method=POST]").click()
    command = str(page.evaluate("window.copied"))
    address, body = re.findall(r"'([^']*)'", command)[0], command.split(" -d ")[1].strip("'")
    assert address == f"{loaded.tracking_url}/root/tracking/model_management"
    answer = loaded.ask(
        "POST", "tracking", "/root/tracking/model_management", json.loads(body), status=202
    )
    expect(row_of(page, answer["id"])).to_contain_text("From the live page")
    expect(row_of(page, answer["id"]).locator(".badge")).to_have_text(
        "succeeded", timeout=PATIENCE_MS
    )


def a_search(number: int, state: str) -> dict[str, Any]:
    """Return a search with the worst of names, failed candidates and one hopeless score."""
    scores = [None, 0.95, -7.0, 0.96, 0.97, 0.955, None]
    best = [None, 0.95, 0.95, 0.96, 0.97, 0.97, 0.97]
    model = {"done": 7, "planned": 9, "best_score": 0.97, "best": {HOSTILE: HOSTILE}}
    return {
        "id": number,
        "kind": "search",
        "state": state,
        "dataset_name": HOSTILE,
        "progress": 0.7,
        "message": HOSTILE,
        "reason": None,
        "cancel_requested": False,
        "started_at": "2026-11-21T12:00:00+00:00",
        "created_at": "2026-11-21T12:00:00+00:00",
        "finished_at": None if state == "running" else "2026-11-21T13:00:00+00:00",
        "request": {
            "experiment_name": HOSTILE,
            "models": ["SVC", HOSTILE],
            "scoring": "accuracy",
            "cv": 5,
            "strategy": "tpe",
            "time_budget_s": 600,
            "dataset_version": 3,
        },
        "result": {
            "experiment_id": "3",
            "run_ids": {"SVC": "a" * 32},
            "models": {
                "SVC": {**model, "scores": scores, "best_scores": best},
                HOSTILE: {**model, "planned": None, "scores": scores, "best_scores": best},
            },
            "time_left_s": 12.3,
        },
    }


def show_worst(sections: dict[str, Any]) -> None:
    """Let a search with such names run, and one have ended."""
    sections["searches"]["data"] = {"jobs": [a_search(4, "running"), a_search(3, "failed")]}
    sections["search"]["data"] = a_search(4, "running")


def test_any_name_of_a_search_is_text_and_fits(
    loaded: RunningSuite, sized: Page, picture: Path
) -> None:
    errors: list[str] = []
    sized.on("pageerror", lambda error: errors.append(str(error)))
    show_instead(sized, loaded, show_worst)
    for part in ("#search-now", "#search-models", "#search-rows"):
        expect(sized.locator(part)).to_contain_text(SHOWN)
    expect(sized.locator("#scores-lower")).to_be_visible()
    expect(sized.locator("#scores-failed")).to_be_visible()
    expect(sized.locator("#search-now")).to_contain_text("14 of 9 candidates, more to come")
    assert points(sized) == 14
    sized.locator("#searches").screenshot(path=picture)
    assert sized.evaluate(CUT_OFF) == []
    assert sized.evaluate(OVERLAPS) == []
    texts = sized.evaluate(
        """() => {
          const found = [];
          const boxes = [...document.querySelectorAll("#scores-chart text")]
            .map((item) => [item.textContent, item.getBoundingClientRect()]);
          const edge = document.querySelector("#scores-chart").getBoundingClientRect().right;
          boxes.forEach(([one, a], place) => {
            if (a.right > edge + 1) found.push(`${one} is cut off`);
            for (const [other, b] of boxes.slice(place + 1)) {
              const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
              const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
              if (across > 0 && down > 1) found.push(`${one} and ${other}`);
            }
          });
          return found;
        }"""
    )
    assert texts == []
    assert sized.title() == "Cellar: live" and errors == []


def test_a_running_search_passes_the_audit(loaded: RunningSuite, themed: Page, axe: str) -> None:
    show_instead(themed, loaded, show_worst)
    expect(themed.locator("#scores-chart svg")).to_be_visible()
    assert audit(themed, axe) == []
    # The drawing's text has the colours of the text around it, which the audit has looked at.
    fills = themed.evaluate(
        """[...new Set([...document.querySelectorAll("#scores-chart text")]
          .map((text) => getComputedStyle(text).fill))].sort()"""
    )
    around = themed.evaluate(
        """["#searches .quiet", "#searches h2"]
          .map((name) => getComputedStyle(document.querySelector(name)).color).sort()"""
    )
    assert fills == around


def test_while_tracking_is_away_the_page_says_so_and_goes_on(
    own_suite: OwnSuite, visit: Visit
) -> None:
    own_suite.empty()
    page = follow(visit.page, own_suite)
    expect(page.locator("#search-rows")).to_contain_text("No search in the background yet")
    own_suite.stop("tracking")
    try:
        problem = page.locator(".problem[data-section=searches]")
        expect(problem).to_contain_text("tracking service does not answer")
        expect(page.locator("#away")).to_be_hidden()
        own_suite.ask("POST", "ml_model", "/set-shadow", {"shadow": True})
        expect(page.locator("#shadow")).to_have_attribute("aria-checked", "true")
        own_suite.ask("POST", "ml_model", "/set-shadow", {"shadow": False})
    finally:
        own_suite.start("tracking")
    expect(problem).to_be_hidden()
