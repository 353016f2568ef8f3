"""The live page under axe-core: WCAG 2.2 A and AA and its best practices, in both themes.

axe-core is an npm package of `tests/tools`; `./launch.sh test pages` installs it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.conftest import open_dashboard, show_instead, unfold_everything
from tests.support.running_suite import ROOT, OwnSuite, RunningSuite

AXE = ROOT / "tests" / "tools" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
THEMES: list[Literal["light", "dark"]] = ["light", "dark"]

# Nothing scrolls away and nothing lies over anything: axe cannot tell the colours behind it then.
SPREAD_OUT = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    .tall, .short { max-height: none !important; }
    .sections, thead th { position: static !important; }
    .sections ul { flex-wrap: wrap !important; }
  `);
  document.adoptedStyleSheets = [sheet];
}"""


@pytest.fixture(scope="session")
def axe() -> str:
    """Axe-core's script; the page's own rules let no test load it by an address."""
    if not AXE.exists():
        pytest.fail("axe-core is missing: npm ci --prefix tests/tools")
    return AXE.read_text(encoding="utf-8")


def audit(page: Page, axe: str) -> list[str]:
    """Return a line per element that breaks a rule, or whose colours axe cannot tell apart."""
    page.evaluate(SPREAD_OUT)
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate(
        """(rules) => axe.run(document, {
          runOnly: rules, resultTypes: ["violations", "incomplete"],
        })""",
        RULES,
    )
    unsure = [rule for rule in found["incomplete"] if rule["id"] == "color-contrast"]
    for rule in unsure:
        # What lies behind the text of a drawing axe never knows.
        rule["nodes"] = [node for node in rule["nodes"] if not node["html"].startswith("<text ")]
    assert len(found["passes"]) > 10, "axe has looked at nothing"
    return [
        f"{rule['id']}: {node['target']} {node['html'][:200]} {node['failureSummary']}"
        for rule in (*found["violations"], *unsure)
        for node in rule["nodes"]
    ]


@pytest.fixture(params=THEMES)
def themed(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page of a person who likes it dark, or light."""
    page = browser.new_page(color_scheme=request.param, viewport={"width": 1400, "height": 1000})
    yield page
    page.close()


def test_an_empty_suite(own_suite: OwnSuite, themed: Page, axe: str, picture: Path) -> None:
    own_suite.empty()
    themed.goto(f"{own_suite.monitoring_url}/dashboard")
    expect(themed.locator("#connection-text")).to_have_text("Live")
    expect(themed.locator("#slot-current")).to_contain_text("No model serves yet")
    expect(themed.locator("#history-rows")).to_contain_text("No prediction yet")
    unfold_everything(themed)
    assert audit(themed, axe) == []
    themed.screenshot(path=picture, full_page=True)


@pytest.mark.parametrize("width", [420, 1400])
def test_a_full_one_with_every_fold_open(
    full: RunningSuite, themed: Page, axe: str, width: int
) -> None:
    themed.set_viewport_size({"width": width, "height": 1000})
    open_dashboard(themed, full)
    unfold_everything(themed)
    assert audit(themed, axe) == []


def test_while_it_asks_and_after_it_was_refused(full: RunningSuite, themed: Page, axe: str) -> None:
    open_dashboard(themed, full)
    themed.locator("#model-uri").fill("models:/nobody/7")
    themed.get_by_role("button", name="Load into next", exact=True).click()
    expect(themed.locator("#notice")).to_be_visible()
    assert audit(themed, axe) == []
    themed.locator("#rollback").click()
    expect(themed.locator("#confirm")).to_be_visible()
    assert audit(themed, axe) == []


def test_while_something_is_away(full: RunningSuite, themed: Page, axe: str) -> None:
    def away(sections: dict[str, Any]) -> None:
        for name, section in sections.items():
            section["error"] = "404: Not found" if name == "jobs" else "It cannot be reached."

    show_instead(themed, full, away)
    expect(themed.locator(".problem:visible").first).to_be_visible()
    assert audit(themed, axe) == []

    def all_away(sections: dict[str, Any]) -> None:
        for section in sections.values():
            section["error"] = "It cannot be reached."

    show_instead(themed, full, all_away)
    expect(themed.locator("#away")).to_be_visible()
    assert audit(themed, axe) == []


def test_it_would_find_a_field_without_a_label(full: RunningSuite, themed: Page, axe: str) -> None:
    open_dashboard(themed, full)
    themed.evaluate("document.querySelector('label[for=probability]').remove()")
    themed.evaluate("document.body.style.color = 'gray'")
    broken = "\n".join(audit(themed, axe))
    assert "label: ['#probability']" in broken
    assert "color-contrast" in broken
