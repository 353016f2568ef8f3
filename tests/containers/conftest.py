"""The suite in its five containers, with a project name, ports and passwords of its own.

Nothing here is skipped where Docker is missing: whoever runs these tests asks for containers.
"""

import hashlib
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from compose_suite import COMPOSE_FILE, ROOT, Suite

FIGURES = pytest.StashKey[list[str]]()


def _settings() -> dict[str, str]:
    """Give every variable of the compose file a value: a new password, a free port."""
    text = COMPOSE_FILE.read_text()
    values = {name: secrets.token_hex(16) for name in re.findall(r"\$\{(\w+):\?", text)}
    open_sockets = []
    for name in sorted(set(re.findall(r"\$\{(\w+_PORT):-", text))):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        open_sockets.append(listener)
        values[name] = str(listener.getsockname()[1])
    for listener in open_sockets:
        listener.close()
    return values


@pytest.fixture(scope="session")
def suite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Suite]:
    """Start the suite on empty volumes; at the end leave nothing behind."""
    variables = _settings()
    env_file = tmp_path_factory.mktemp("compose") / "env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    # The same name at each run from this folder: what an aborted run left is cleared away.
    project = "cellar-test-" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    suite = Suite(project, env_file, variables)
    suite.compose("down", "--volumes", "--remove-orphans")
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
        suite.compose("down", "--volumes", "--remove-orphans")


@pytest.fixture
def note_figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that puts a measured figure into the closing summary."""
    return request.config.stash[FIGURES].append


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.stash[FIGURES]:
        terminalreporter.section("containers: measured")
        for figure in config.stash[FIGURES]:
            terminalreporter.write_line(figure)
