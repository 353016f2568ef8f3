"""The live page at any width and with any name: nothing is cut off, and all of it is text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.conftest import (
    ROW,
    Visit,
    open_dashboard,
    show_instead,
    unfold_everything,
)
from tests.support.running_suite import RunningSuite

WIDTHS = [420, 1000, 1400]
HOSTILE = (
    '<img src=x onerror="document.title=\'run\'"> it\'s "so" `code` ${1} \u202eabc שלום 🍷 '
    + "W" * 80
)
# Of what turns the text after it around the page shows the number.
SHOWN = HOSTILE.replace("\u202e", "\\u202e")

CUT_OFF = """() => {
  const found = [];
  const wide = document.documentElement;
  if (wide.scrollWidth > innerWidth) found.push(`the page: ${wide.scrollWidth} of ${innerWidth}`);
  for (const item of document.querySelectorAll("body *")) {
    if (!item.checkVisibility() || item.closest(".unseen, .skip, .uplot, thead, svg")) continue;
    const style = getComputedStyle(item);
    const name = `${item.tagName} ${item.className} ${item.textContent.trim().slice(0, 60)}`;
    const over = item.scrollWidth - item.clientWidth;
    if (/hidden|clip/.test(style.overflowX) && over > 1) found.push(`cut off: ${name}`);
    if (style.textOverflow === "ellipsis" && over > 0) found.push(`shortened: ${name}`);
    if (item.matches(".scroll") && over > 1) found.push(`wider than its box by ${over}: ${name}`);
    const box = item.getBoundingClientRect();
    const scrolls = item.closest(".scroll, .sections");
    if (!scrolls && box.right > innerWidth + 1) found.push(`outside: ${name}`);
  }
  return found;
}"""

OVERLAPS = """() => {
  const what = ["button", "input", "select", "h2", "h3", "a", ".badge"];
  const boxes = [...document.querySelectorAll(what.map((name) => `:is(main, .bar) ${name}`))]
    .filter((item) => item.checkVisibility() && !item.closest(".scroll"))
    .map((item) => [item.outerHTML.slice(0, 90), item.getBoundingClientRect()]);
  const found = [];
  boxes.forEach(([one, a], place) => {
    for (const [other, b] of boxes.slice(place + 1)) {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 1 && down > 1) found.push(`${one} and ${other}`);
    }
  });
  return found;
}"""


@pytest.fixture(params=WIDTHS)
def sized(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page of some width."""
    page = browser.new_page(viewport={"width": request.param, "height": 1000})
    yield page
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off(
    full: RunningSuite, sized: Page, picture: Path, scheme: Literal["light", "dark"]
) -> None:
    sized.emulate_media(color_scheme=scheme)
    open_dashboard(sized, full)
    sized.screenshot(path=picture, full_page=True)
    assert sized.evaluate(CUT_OFF) == []
    assert sized.evaluate(OVERLAPS) == []
    unfold_everything(sized)
    assert sized.evaluate(CUT_OFF) == []
    assert sized.evaluate(OVERLAPS) == []


def nothing_yet(sections: dict[str, Any]) -> None:
    """Empty every list, as before the first request."""
    sections["slots"]["data"].update(current=None, next=None, canary_probability=1.0, shadow=False)
    sections["metrics"]["data"].update(total_requests=0, model_versions={}, per_minute=[])
    for section in sections.values():
        for name, value in (section["data"] or {}).items():
            if isinstance(value, list):
                section["data"][name] = []


def test_nothing_is_cut_off_where_there_is_nothing(
    full: RunningSuite, sized: Page, picture: Path
) -> None:
    show_instead(sized, full, nothing_yet)
    expect(sized.locator("#history-rows")).to_contain_text("No prediction yet")
    sized.screenshot(path=picture, full_page=True)
    assert sized.evaluate(CUT_OFF) == []
    assert sized.evaluate(OVERLAPS) == []


def test_a_narrow_page_folds_its_tables_and_they_stay_tables(
    full: RunningSuite, browser: Browser
) -> None:
    page = browser.new_page(viewport={"width": 420, "height": 1000})
    open_dashboard(page, full)
    row = page.locator("#history-rows tr").first
    cells = row.locator("td")
    tops = {round(box["y"]) for box in (cell.bounding_box() for cell in cells.all()) if box}
    assert len(tops) >= 3
    table = page.get_by_role("region", name="Prediction history, table").get_by_role("table")
    expect(table.get_by_role("columnheader", name="Confidence")).to_have_count(1)
    expect(row.get_by_role("cell")).to_have_count(8)
    assert cells.nth(4).get_attribute("data-label") == "Confidence"
    page.close()


NAMES = {
    "registered_model_name", "dataset_name", "model_uri", "name", "reason", "message", "actor",
    "reference", "prediction_name", "request_id", "error", "test",
}  # fmt: skip


def rename(value: Any) -> Any:
    """Put the worst of names wherever a name stands."""
    if isinstance(value, list):
        return [rename(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        (HOSTILE if name in {"RandomForest/1", "alcohol"} else name): (
            HOSTILE if name in NAMES and isinstance(item, str) else rename(item)
        )
        for name, item in value.items()
    }


def test_any_name_is_text_and_fits(full: RunningSuite, sized: Page, picture: Path) -> None:
    def rename_all(sections: dict[str, Any]) -> None:
        for section in sections.values():
            section["data"] = rename(section["data"])

    errors: list[str] = []
    sized.on("pageerror", lambda error: errors.append(str(error)))
    show_instead(sized, full, rename_all)
    for part in ("#tiles", "#slot-current", "#history-rows", "#version-rows", "#ledger-rows"):
        expect(sized.locator(part)).to_contain_text(SHOWN)
    for part in ("#drift-rows", "#job-rows", "#rollouts", "#verdicts", "#new-rows"):
        expect(sized.locator(part)).to_contain_text(SHOWN)
    unfold_everything(sized)
    sized.screenshot(path=picture, full_page=True)
    assert sized.evaluate(CUT_OFF) == []
    assert sized.evaluate(OVERLAPS) == []
    sized.locator("#accept").click()
    expect(sized.locator("#confirm-text")).to_contain_text(SHOWN)
    assert sized.evaluate(CUT_OFF) == []
    assert sized.locator("main img, dialog img").count() == 0
    assert "\u202e" not in sized.locator("body").inner_text()
    assert sized.title() == "Cellar: live"
    assert errors == []


def test_a_model_of_that_name_is_served_and_shown(serving: RunningSuite, visit: Visit) -> None:
    found = serving.call(
        "GET", "mlflow", "/api/2.0/mlflow/model-versions/get?name=RandomForest&version=1"
    ).json()["model_version"]
    registry = "/api/2.0/mlflow"
    name = {"name": HOSTILE}
    serving.call("POST", "mlflow", f"{registry}/registered-models/create", json=name)
    source = {"source": found["source"], "model_id": found["source"].removeprefix("models:/")}
    made = serving.ask("POST", "mlflow", f"{registry}/model-versions/create", name | source)
    uri = f"models:/{HOSTILE}/{made['model_version']['version']}"
    serving.ask("POST", "ml_model", "/update-model", {"model_uri": uri})
    page = visit.page
    try:
        open_dashboard(page, serving)
        expect(page.locator("#slot-next")).to_contain_text(SHOWN)
        expect(page.locator("#version-rows")).to_contain_text(SHOWN)
        # What is offered for the next slot is the address itself, to be sent as it is.
        offered = "[...document.querySelectorAll('#known-uris option')].map((item) => item.value)"
        assert uri in page.evaluate(offered)
        serving.ask("POST", "ml_model", "/set-canary-probability", {"probability": 0.0})
        serving.ask("POST", "ml_model", "/predict", {"features": ROW})
        expect(page.locator("#history-rows tr").first).to_contain_text(SHOWN)
        assert page.evaluate(CUT_OFF) == []
        assert page.title() == "Cellar: live"
        assert visit.errors == []
    finally:
        serving.ask("POST", "ml_model", "/set-canary-probability", {"probability": 1.0})
