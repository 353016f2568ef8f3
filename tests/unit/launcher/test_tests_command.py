"""What `./launch.sh test` runs, and what it says about what it could not run."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from launcher import tests_command
from launcher.errors import LaunchError
from launcher.places import ROOT, Places

Commands = list[list[str]]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The commands that were run; none really is, and no tool is missing."""
    run: Commands = []
    monkeypatch.setattr(tests_command, "ensure_packages", lambda places, wanted: None)
    monkeypatch.setattr(tests_command, "_first_program", lambda names: "/usr/bin/chromium")
    monkeypatch.setattr(tests_command, "npm_packages_are_there", lambda: True)
    monkeypatch.setattr(tests_command, "_newman", lambda: "/usr/bin/newman")
    monkeypatch.setattr(tests_command.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(tests_command, "_run_collection", lambda newman: not run.append([newman]))

    def succeed(command: list[str]) -> bool:
        run.append(command[2:])
        return True

    monkeypatch.setattr(tests_command, "_succeeds", succeed)
    monkeypatch.setattr(tests_command, "_Beside", Beside)
    Beside.begun = []
    return run


class Beside:
    """A program beside others, noted and not run."""

    begun: ClassVar[Commands] = []
    passes = True

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.begun.append(command)

    def wait(self) -> bool:
        return self.passes

    def stop(self) -> None:
        """There is nothing to stop."""


@pytest.fixture
def run_tests(tmp_path: Path) -> Callable[..., int]:
    return lambda *arguments: tests_command.run_tests(Places.of(str(tmp_path)), arguments)


def test_by_default_all_but_the_containers_run(
    commands: Commands, run_tests: Callable[..., int]
) -> None:
    assert run_tests() == 0

    assert [command[0] for command in commands] == [
        "ruff",
        "ruff",
        "mypy",
        "pytest",
        "pytest",
        "/usr/bin/newman",
    ]
    assert "tests/unit" in commands[3]
    assert "tests/containers" not in commands[3] and "tests/pages" not in commands[3]
    assert commands[4] == ["pytest", "tests/pages"]
    assert Beside.begun == []


@pytest.mark.parametrize(("passes", "code"), [(True, 0), (False, 1)])
def test_on_several_cores_types_and_the_collection_run_beside_the_tests(
    commands: Commands,
    run_tests: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    passes: bool,
    code: int,
) -> None:
    monkeypatch.setattr(tests_command.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(Beside, "passes", passes)
    assert run_tests() == code

    assert [command[0] for command in commands] == ["ruff", "ruff", "pytest", "pytest"]
    assert [command[2] for command in commands[2:]] == ["3", "2"]
    assert [command[1:] for command in Beside.begun] == [["-m", "mypy"], ["test", "postman"]]
    assert ("FAILED   mypy" in capsys.readouterr().out) is not passes


def test_what_runs_beside_is_waited_for_and_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with tests_command._Run() as run:
        run.begin("well", ["sh", "-c", "sleep 0.2; echo said [so]"])
        run.begin("badly", ["sh", "-c", "echo and why >&2; exit 3"])
        assert run.close() == 1
    printed = capfd.readouterr().out
    assert "said [so]" in printed and "and why" in printed
    assert "passed   well" in printed and "FAILED   badly" in printed


def test_what_runs_beside_is_ended_with_an_interruption(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    begun = tmp_path / "begun"
    script = f"trap 'touch {ended}; exit' TERM; touch {begun}; while :; do sleep 0.05; done"

    def run_and_interrupt() -> None:
        with tests_command._Run() as run:
            run.begin("long", ["sh", "-c", script])
            while not begun.exists():
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_and_interrupt()
    assert ended.exists()


@pytest.mark.parametrize(
    "arguments, wanted",
    [
        (["unit"], [["pytest", "tests/unit"]]),
        (["unit", "-k", "x", "-q"], [["pytest", "tests/unit", "-k", "x", "-q"]]),
        (["types"], [["mypy"]]),
        (["postman"], [["/usr/bin/newman"]]),
        (["tests/unit/launcher"], [["pytest", "tests/unit/launcher"]]),
    ],
)
def test_parts_and_pytests_arguments(
    commands: Commands, run_tests: Callable[..., int], arguments: list[str], wanted: Commands
) -> None:
    assert run_tests(*arguments) == 0
    assert commands == wanted


def test_a_selection_runs_tests_alone(commands: Commands, run_tests: Callable[..., int]) -> None:
    run_tests("-k", "registry")

    assert [command[0] for command in commands] == ["pytest"]
    assert commands[0][-2:] == ["-k", "registry"]


@pytest.mark.parametrize(
    "cores, arguments, variables, workers",
    [
        (2, ["unit"], {}, "3"),
        (2, ["pages"], {}, "2"),
        (64, ["unit"], {}, "4"),
        (1, ["unit"], {}, None),
        (2, ["unit", "-x"], {}, None),
        (2, ["containers"], {}, None),
        (2, ["unit"], {"TEST_POSTGRES_URL": "postgresql://localhost"}, None),
        (2, ["e2e"], {"SUITE_TRACKING_URL": "http://localhost:5002"}, None),
    ],
)
def test_files_run_side_by_side_where_each_worker_can_have_its_own_suite(
    commands: Commands,
    run_tests: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    arguments: list[str],
    variables: dict[str, str],
    workers: str | None,
) -> None:
    monkeypatch.setattr(tests_command.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(tests_command, "_engine_answers", lambda: True)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    run_tests(*arguments)
    [command] = commands
    assert ("--numprocesses" in command) == (workers is not None)
    if workers:
        assert command[command.index("--numprocesses") + 1] == workers


@pytest.mark.parametrize("ci, code", [("", 0), ("true", 1)])
def test_a_missing_tool_is_named_and_fails_in_ci_only(
    commands: Commands,
    run_tests: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ci: str,
    code: int,
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(tests_command, "_newman", lambda: None)

    assert run_tests("types", "postman") == code
    printed = capsys.readouterr().out
    assert "newman is missing" in printed
    assert "1 passed" in printed


@pytest.mark.parametrize(
    "arguments, wanted",
    [
        (["pages"], True),
        (["postman"], True),
        ([], True),
        (["tests/pages"], True),
        (["unit", "types"], False),
        (["tests/unit"], False),
    ],
)
def test_npm_packages_are_installed_for_the_parts_that_use_them(
    commands: Commands,
    run_tests: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    wanted: bool,
) -> None:
    installed: list[bool] = []
    monkeypatch.setattr(tests_command, "npm_packages_are_there", lambda: False)
    monkeypatch.setattr(tests_command.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(tests_command, "install_npm_packages", lambda: installed.append(True))

    assert run_tests(*arguments) == 0
    assert bool(installed) == wanted


def test_packages_that_cannot_be_had_are_a_failure_that_says_why(
    commands: Commands,
    run_tests: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse() -> None:
        raise LaunchError("They could not be installed.", "Is the registry reachable?", "E404")

    monkeypatch.setattr(tests_command, "npm_packages_are_there", lambda: False)
    monkeypatch.setattr(tests_command.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(tests_command, "install_npm_packages", refuse)

    assert run_tests("pages") == 1
    assert "They could not be installed. Is the registry reachable?" in capsys.readouterr().out
    assert commands == [["pytest", "tests/pages"]]


def test_without_npm_the_missing_packages_are_named(
    commands: Commands,
    run_tests: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tests_command, "npm_packages_are_there", lambda: False)
    monkeypatch.setattr(tests_command.shutil, "which", lambda name: None)

    run_tests("pages")
    assert "npm is missing" in capsys.readouterr().out
    assert commands == [["pytest", "tests/pages"]]


def test_a_failing_step_does_not_stop_the_others(
    commands: Commands, run_tests: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: Commands = []

    def fail(command: list[str]) -> bool:
        ran.append(command)
        return False

    monkeypatch.setattr(tests_command, "_succeeds", fail)

    assert run_tests("lint", "types") == 1
    assert len(ran) == 3


def test_every_part_is_a_check_or_a_folder_of_tests() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.rglob("test_*.py"))}

    assert folders <= set(tests_command.PARTS)


def shown_without_packages(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-S", "-m", "launcher", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_help_needs_no_package() -> None:
    shown = shown_without_packages("--help")

    for command in ("up", "demo", "test", "down", "logs", "status", "doctor"):
        assert f"\n  {command} " in shown


def test_the_help_of_test_is_ours_and_names_the_parts() -> None:
    shown = shown_without_packages("test", "unit", "--help")

    assert shown.startswith("usage: ./launch.sh test")
    assert all(part in shown for part in tests_command.PARTS)


@pytest.mark.parametrize("arguments", [[], ["help"], ["help", "demo"], ["test", "--help"]])
def test_every_way_of_asking_for_help_gets_it(arguments: list[str]) -> None:
    shown = subprocess.run(
        [str(ROOT / "launch.sh"), *arguments], capture_output=True, text=True, check=True
    ).stdout

    assert shown.startswith("usage: ./launch.sh")
