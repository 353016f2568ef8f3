"""The suite in its five containers, with a project name, ports and passwords of its own.

Nothing here is skipped where Docker is missing: whoever runs these tests asks for containers.
"""

import hashlib
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.compose_suite import ROOT, ComposeSuite

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def suite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposeSuite]:
    """Start the suite on empty volumes; at the end leave nothing behind."""
    # The same name at each run from this folder: what an aborted run left is cleared away.
    project = "cellar-test-" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    suite = ComposeSuite.prepare(project, tmp_path_factory.mktemp("compose"))
    suite.remove()
    try:
        started = time.monotonic()
        suite.compose("build", timeout_s=1800)
        built = time.monotonic()
        suite.up()
        note = request.config.stash[FIGURES].append
        note(f"images built in {built - started:.0f} s")
        note(f"five containers healthy in {time.monotonic() - built:.1f} s")
        yield suite
        if request.session.testsfailed:
            capture = request.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                print(f"\n{suite.state_of_all()}")
    finally:
        suite.remove()


@pytest.fixture
def note_figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that puts a measured figure into the closing summary."""
    return request.config.stash[FIGURES].append


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []
    config.addinivalue_line("markers", "containers: needs a Docker engine with Compose V2")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.stash[FIGURES]:
        terminalreporter.section("containers: measured")
        for figure in config.stash[FIGURES]:
            terminalreporter.write_line(figure)
