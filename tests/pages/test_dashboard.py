"""The live page in a real browser: what it shows, its buttons, its commands, its troubles."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.conftest import ROW, Visit, show_instead
from tests.pages.test_pages import host
from tests.support.running_suite import OwnSuite, RunningSuite

KEEP_WHAT_IS_COPIED = """
Object.defineProperty(navigator, "clipboard", {
  value: { writeText: async (text) => { window.copied = text; } },
});
"""


@pytest.fixture
def page(serving: RunningSuite, visit: Visit) -> Page:
    """The page, live."""
    visit.page.add_init_script(KEEP_WHAT_IS_COPIED)
    visit.page.goto(f"{serving.monitoring_url}/dashboard")
    expect(visit.page.locator("#connection-text")).to_have_text("Live")
    expect(visit.page.locator("#slot-current")).to_contain_text("RandomForest")
    return visit.page


def split_of(suite: RunningSuite) -> float:
    """Return the share that current answers."""
    return float(suite.ask("GET", "ml_model", "/")["canary_probability"])


def test_it_shows_what_there_is_and_asks_nobody_else(
    serving: RunningSuite, visit: Visit, page: Page, picture: Path
) -> None:
    expect(page.locator("#slot-next")).to_contain_text("LogisticRegression v")
    expect(page.locator("#history-rows tr").first).to_contain_text("class_")
    expect(page.locator("#drift-rows tr").first).to_contain_text("drift")
    expect(page.locator("#version-rows")).to_contain_text("equal labels")
    expect(page.locator("#ledger-rows tr").first).to_contain_text("serves now")
    expect(page.locator("#use")).to_contain_text("RandomForest")
    page.screenshot(path=picture, full_page=True)
    assert visit.errors == []
    assert visit.hosts == {host(serving.monitoring_url)}


def test_one_check_stands_in_the_middle_of_an_hour(serving: RunningSuite, visit: Visit) -> None:
    page = visit.page

    def keep_the_newest(sections: dict[str, Any]) -> None:
        del sections["drift"]["data"]["drift_checks"][1:]

    show_instead(page, serving, keep_the_newest)
    chart = page.locator("#drift-chart .u-over")
    expect(page.locator("#drift-rows tr")).to_have_count(1)
    chart.hover()
    box, point = (
        chart.bounding_box(),
        page.locator("#drift-chart .u-cursor-pt").first.bounding_box(),
    )
    assert box is not None and point is not None
    middle = (point["x"] + point["width"] / 2 - box["x"]) / box["width"]
    assert middle == pytest.approx(0.5, abs=0.02)


def test_the_ml_service_leads_to_it(serving: RunningSuite, visit: Visit) -> None:
    answer = serving.call("GET", "ml_model", "/dashboard", allow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["Location"].endswith("/dashboard")


def test_it_is_live(serving: RunningSuite, page: Page) -> None:
    answer = serving.ask("POST", "ml_model", "/predict", {"features": ROW})
    shown = page.locator("#history-rows tr").first
    expect(shown).to_contain_text(answer["request_id"][:7])


def test_the_split_is_set_by_keyboard_alone(serving: RunningSuite, page: Page) -> None:
    page.locator("#probability").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("70")
    page.keyboard.press("Enter")
    expect(page.locator("#notice-text")).to_contain_text("current 70.0%")
    assert split_of(serving) == 0.7
    expect(page.locator("#split")).to_have_attribute("aria-label", re.compile("70"))
    expect(page.locator("#ledger-rows tr").first).to_contain_text("70 %")
    page.locator("#shadow").focus()
    page.keyboard.press("Space")
    expect(page.locator("#shadow")).to_have_attribute("aria-checked", "true")
    page.keyboard.press("Space")
    expect(page.locator("#shadow")).to_have_attribute("aria-checked", "false")


def test_what_cannot_be_undone_is_asked_about(serving: RunningSuite, page: Page) -> None:
    before = split_of(serving)
    page.locator("#rollback").click()
    expect(page.locator("#confirm")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#confirm")).to_be_hidden()
    assert split_of(serving) == before
    page.locator("#rollback").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#notice")).to_be_visible()
    expect(page.locator("#ledger-rows tr").first).to_contain_text("rollback")
    expect(page.locator("#rollback")).to_be_disabled()
    expect(page.locator("#rollback")).to_be_focused()


def test_a_refusal_is_said(page: Page) -> None:
    page.locator("#model-uri").fill("models:/nobody/7")
    page.locator("#next-form button[type=submit]").first.click()
    expect(page.locator("#notice")).to_be_visible()
    expect(page.locator("#notice-text")).to_contain_text("nknown")


def test_a_roll_out_is_started_and_cancelled(serving: RunningSuite, page: Page) -> None:
    page.locator("#rollout-start summary").click()
    page.locator("input[name=min_accuracy_difference]").fill("-5")
    page.locator("input[name=min_labels]").fill("30")
    page.locator("#rollout-form button[type=submit]").first.click()
    expect(page.locator("#rollout-now")).to_contain_text("running")
    expect(page.locator("#rollout-now")).to_contain_text("≥ -5 %")
    expect(page.locator("#decisions")).to_contain_text("start")
    page.get_by_role("button", name="Cancel the roll-out").first.click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#rollout-now")).to_contain_text("cancelled")
    (newest,) = serving.ask("GET", "ml_model", "/rollouts?limit=1")["rollouts"]
    assert newest["state"] == "cancelled"
    assert newest["plan"]["min_accuracy_difference"] == -0.05
    assert newest["plan"]["min_labels"] == 30


def test_every_reading_command_works_as_pasted(page: Page) -> None:
    buttons = page.locator("button.curl:visible")
    seen = set()
    for number in range(buttons.count()):
        button = buttons.nth(number)
        if not (button.text_content() or "").startswith("GET "):
            continue
        button.click()
        command = str(page.evaluate("window.copied"))
        if command in seen:
            continue
        seen.add(command)
        done = subprocess.run(  # noqa: S602 - as a person would paste it
            command, shell=True, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        assert "error" not in json.loads(done.stdout), command
    assert len(seen) >= 8


def test_a_changing_command_works_as_pasted(serving: RunningSuite, page: Page) -> None:
    page.locator("#probability").fill("40")
    page.locator("#split-form button.curl").click()
    command = str(page.evaluate("window.copied"))
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=60)  # noqa: S602
    assert split_of(serving) == 0.4
    serving.ask("POST", "ml_model", "/set-canary-probability", {"probability": 1.0})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_can_be_read(
    serving: RunningSuite, browser: Browser, picture: Path, scheme: str, width: int
) -> None:
    page = browser.new_page(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto(f"{serving.monitoring_url}/dashboard")
    expect(page.locator("#slot-current")).to_contain_text("RandomForest")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    text, ground = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(text, ground) >= 4.5
    assert (luminance(ground) < 0.2) == (scheme == "dark")
    page.screenshot(path=picture, full_page=True)
    page.close()


def luminance(colour: str) -> float:
    """Return the relative luminance of `rgb(r, g, b)` (WCAG 2.2)."""
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_without_a_stream_it_asks(serving: RunningSuite, visit: Visit) -> None:
    page = visit.page
    page.route("**/dashboard/events", lambda route: route.fulfill(status=503, body="{}"))
    page.goto(f"{serving.monitoring_url}/dashboard")
    expect(page.locator("#connection-text")).to_contain_text("asking")
    expect(page.locator("#slot-current")).to_contain_text("RandomForest")


def test_it_says_that_monitoring_is_away(own_suite: OwnSuite, page: Page) -> None:
    expect(page.locator("#connection-text")).to_contain_text("Live")
    own_suite.kill("monitoring")
    try:
        # The browser tries again every two seconds, which must not count as a sign of life.
        expect(page.locator("#connection-text")).to_contain_text("not answer", timeout=30_000)
    finally:
        own_suite.start("monitoring")
    expect(page.locator("#connection-text")).to_contain_text("Live", timeout=60_000)


def test_it_goes_on_while_the_ml_service_is_away(own_suite: OwnSuite, page: Page) -> None:
    own_suite.kill("ml_model")
    try:
        expect(page.locator("#away")).to_be_visible()
        expect(page.locator("#slot-current")).to_contain_text("RandomForest")
    finally:
        own_suite.start("ml_model")
    expect(page.locator("#away")).to_be_hidden()
