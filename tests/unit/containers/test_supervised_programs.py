"""Programs that share a container: all run, the one that dies comes back, all end in order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from launcher.docker_suite import SUPERVISED_AS
from launcher.suite_settings import JOB_PROGRAMS, SERVICE_OF

SERVICES = Path(__file__).parents[3] / "services"
DEADLINE_S = 30.0

PROGRAMS = {
    "ml_model": {"ml_model": "servicekit.serve ml_model", "jobs": "ml_model.jobs"},
    "tracking": {
        "tracking": "servicekit.serve tracking",
        "mlflow": "tracking.mlflow_server",
        "searches": "tracking.jobs",
    },
}

# Stands for Python: notes its process, and that it was asked to end.
STAND_IN = """\
#!/bin/sh
shift
trap 'echo "$*" >> "$NOTES/ended"; exit 0' TERM
echo $$ > "$NOTES/$*"
while :; do sleep 0.05; done
"""


Found = TypeVar("Found")


def until(ask: Callable[[], Found]) -> Found:
    """Return what `ask` gives as soon as it is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


class Container:
    """A container's supervisor with stand-ins for its programs."""

    def __init__(self, service: str, folder: Path) -> None:
        self.notes = folder / "notes"
        self.notes.mkdir()
        python = folder / "python"
        python.write_text(STAND_IN)
        python.chmod(0o755)
        text = (SERVICES / service / "supervisord.conf").read_text()
        self.configuration = folder / "supervisord.conf"
        self.configuration.write_text(text.replace("/tmp/", f"{folder}/"))
        self.environment = {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "NOTES": str(self.notes),
        }
        with (folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "supervisor.supervisord", "--nodaemon"),
                    *("--configuration", str(self.configuration)),
                ],
                env=self.environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def pid(self, command: str) -> int | None:
        """Return the process of a program, None while there is none."""
        note = self.notes / command
        text = note.read_text() if note.exists() else ""
        return int(text) if text and psutil.pid_exists(int(text)) else None

    def wait_for(self, command: str, other_than: int | None = None) -> int:
        """Return the process of a program as soon as there is one, or another one."""

        def found() -> int | None:
            pid = self.pid(command)
            return None if pid == other_than else pid

        pid = until(found)
        assert pid is not None
        return pid

    def ended(self) -> set[str]:
        """Return the programs that were asked to end."""
        note = self.notes / "ended"
        return set(note.read_text().splitlines()) if note.exists() else set()

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE_S)


@pytest.fixture(params=PROGRAMS)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def container(service: str, tmp_path: Path) -> Iterator[Container]:
    container = Container(service, tmp_path)
    try:
        yield container
    finally:
        container.close()


def test_all_run_the_one_that_dies_comes_back_and_all_end(
    service: str, container: Container
) -> None:
    commands = set(PROGRAMS[service].values())

    for command in commands:
        first = container.wait_for(command)
        os.kill(first, signal.SIGKILL)
        assert container.wait_for(command, other_than=first) != first

    container.process.terminate()
    assert container.process.wait(DEADLINE_S) == 0
    assert container.ended() == commands
    assert not any(container.pid(command) for command in commands)


@pytest.mark.parametrize("program", JOB_PROGRAMS)
def test_the_launcher_can_ask_how_the_jobs_are(program: str, tmp_path: Path) -> None:
    container = Container(SERVICE_OF[program], tmp_path)
    try:
        until(lambda: container.pid(JOB_PROGRAMS[program]))
        asked = [sys.executable, "-m", "supervisor.supervisorctl"]
        asked += ["--configuration", str(container.configuration), "status"]
        asked.append(SUPERVISED_AS[program])

        def running() -> bool:
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            return done.stdout.split()[1:2] == ["RUNNING"]

        assert until(running)
    finally:
        container.close()


def test_every_program_is_one_that_there_is() -> None:
    for service, commands in PROGRAMS.items():
        text = (SERVICES / service / "supervisord.conf").read_text()
        for name, command in commands.items():
            assert f"[program:{name}]\ncommand=python -m {command}\n" in text
            module = SERVICES / command.split()[0].replace(".", "/")
            assert module.with_suffix(".py").exists() or (module / "__main__.py").exists()
