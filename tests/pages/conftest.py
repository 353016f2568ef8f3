"""A real browser, and a page that remembers what it asked for and what it complained about."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

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
