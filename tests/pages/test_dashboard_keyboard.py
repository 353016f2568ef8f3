"""The live page without a mouse: its order, its focus, its switches; pausing and the theme."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.conftest import ROW, Visit, open_dashboard, show_instead
from tests.support.running_suite import RunningSuite

# All that can be operated, in the order of the document; each gets its number.
NUMBER_CONTROLS = """() => {
  const found = [...document.querySelectorAll("a[href], button, input, select, summary, .scroll")]
    .filter((item) => item.checkVisibility());
  found.forEach((item, place) => { item.dataset.place = place; });
  return found.length;
}"""

FOCUSED = """() => {
  const item = document.activeElement;
  const style = getComputedStyle(item);
  const box = item.getBoundingClientRect();
  const nav = document.querySelector(".sections").getBoundingClientRect();
  return {
    place: Number(item.dataset.place ?? -1),
    what: item.outerHTML.slice(0, 160),
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.bottom > (item.closest("main") ? nav.bottom : 0) && box.top < innerHeight,
  };
}"""


def test_every_control_is_reached_in_order_and_its_focus_is_seen(full_page: Page) -> None:
    full_page.emulate_media(reduced_motion="reduce")
    full_page.locator("#pause").press("Space")
    full_page.locator("#rollout-start summary").press("Enter")
    full_page.wait_for_timeout(500)
    count = full_page.evaluate(NUMBER_CONTROLS)
    assert count > 60
    full_page.locator(".skip").focus()
    reached = []
    for _ in range(count):
        focused = full_page.evaluate(FOCUSED)
        assert focused["outlined"], focused["what"]
        assert focused["seen"], focused["what"]
        reached.append(focused["place"])
        full_page.keyboard.press("Tab")
    assert reached == list(range(count))


def test_the_first_stop_leads_past_the_menu(full_page: Page) -> None:
    full_page.keyboard.press("Tab")
    skip = full_page.locator(".skip")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    full_page.keyboard.press("Enter")
    expect(full_page.locator("#main")).to_be_focused()
    full_page.keyboard.press("Tab")
    expect(full_page.locator("#tiles button").first).to_be_focused()


def test_a_question_takes_the_focus_and_gives_it_back(full_page: Page) -> None:
    button = full_page.locator("#rollback")
    button.focus()
    full_page.keyboard.press("Space")
    expect(full_page.get_by_role("dialog", name="Roll back?")).to_be_visible()
    expect(full_page.get_by_role("button", name="Leave it as it is")).to_be_focused()
    full_page.keyboard.press("Escape")
    expect(full_page.locator("#confirm")).to_be_hidden()
    expect(button).to_be_focused()
    full_page.keyboard.press("Enter")
    expect(full_page.locator("#confirm")).to_be_visible()
    full_page.keyboard.press("Enter")
    expect(full_page.locator("#confirm")).to_be_hidden()
    expect(button).to_be_focused()


def test_the_focus_stays_with_its_row_and_goes_to_its_box_when_that_is_gone(
    full: RunningSuite, visit: Visit
) -> None:
    page = visit.page
    sections = show_instead(page, full, lambda _sections: None)
    copies = page.locator("#ledger-rows tr:nth-child(2) button.curl")
    copies.focus()
    entries = sections["deployments"]["data"]["deployments"]
    entries[1]["reason"] = "seen anew"
    expect(page.locator("#ledger-rows")).to_contain_text("seen anew")
    expect(copies).to_be_focused()
    del entries[1]
    expect(page.locator("#ledger-rows")).not_to_contain_text("seen anew")
    expect(page.get_by_role("region", name="Deployment ledger, table")).to_be_focused()


def test_a_button_that_can_do_nothing_stays_where_the_focus_was(
    full: RunningSuite, visit: Visit
) -> None:
    page = visit.page
    sections = show_instead(page, full, lambda _sections: None)
    accept = page.locator("#accept")
    accept.focus()
    sections["slots"]["data"]["next"] = None
    expect(accept).to_be_disabled()
    expect(accept).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    expect(page.locator("#confirm")).to_be_hidden()


def test_live_updates_can_be_paused(full: RunningSuite, full_page: Page) -> None:
    pause = full_page.get_by_role("button", name="Pause updates")
    expect(pause).to_have_attribute("aria-pressed", "false")
    expect(full_page.locator("#history-rows .ago").first).to_be_visible()
    pause.focus()
    full_page.keyboard.press("Space")
    expect(pause).to_have_attribute("aria-pressed", "true")
    expect(full_page.locator("#connection-text")).to_have_text("Paused")
    # How long ago something was would be wrong a second later.
    expect(full_page.locator("#history-rows .ago").first).to_be_hidden()
    before = full_page.locator("#main").inner_text()
    answer = full.ask("POST", "ml_model", "/predict", {"features": ROW})
    full_page.wait_for_timeout(4_000)
    assert full_page.locator("#main").inner_text() == before
    full_page.keyboard.press("Enter")
    expect(pause).to_have_attribute("aria-pressed", "false")
    expect(full_page.locator("#history-rows")).to_contain_text(answer["request_id"][:7])


def ground(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_a_theme_is_chosen_by_keyboard_and_remembered(full: RunningSuite, browser: Browser) -> None:
    page = browser.new_page(color_scheme="light")
    open_dashboard(page, full)
    light = ground(page)
    page.emulate_media(color_scheme="dark")
    dark = ground(page)
    assert light != dark
    select = page.get_by_label("Theme")
    select.focus()
    page.keyboard.type("Light")
    expect(select).to_have_value("light")
    assert ground(page) == light
    open_dashboard(page, full)
    expect(select).to_have_value("light")
    assert ground(page) == light
    select.select_option("dark")
    page.emulate_media(color_scheme="light")
    assert ground(page) == dark
    select.select_option("system")
    assert ground(page) == light
    page.close()


@pytest.mark.parametrize("role", ["status", "alert"])
def test_only_what_matters_is_announced(full_page: Page, role: str) -> None:
    spoken: Any = full_page.locator(f"[role={role}]")
    expect(spoken).to_have_count(1)
    assert re.fullmatch(r"\s*", spoken.inner_text())
    full_page.wait_for_timeout(2_500)
    assert re.fullmatch(r"\s*", spoken.inner_text())
