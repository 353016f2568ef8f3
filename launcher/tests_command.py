"""`test`: every check of the project, in one go or a part of it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from launcher.env_file import ensure_env_file, read_env_file
from launcher.errors import LaunchError
from launcher.local_suite import LocalSuite
from launcher.npm_packages import install_npm_packages, npm_packages_are_there
from launcher.packages import ensure_packages
from launcher.places import ROOT, Places
from launcher.ports import free_ports
from launcher.suite_settings import PROGRAMS, SuiteSettings, port_variable
from launcher.terminal import console

CHECKS = ("lint", "types")
FOLDERS = ("e2e", "contract", "integration", "unit", "docs", "pages")
"""The longest first: where several run side by side, short files fill up the end."""
PARTS = (*CHECKS, *FOLDERS, "postman", "containers")
DEFAULT_PARTS = tuple(part for part in PARTS if part != "containers")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

MOST_WORKERS = 4
"""Each starts a suite of some 1.5 GiB."""

SHARED = ("TEST_POSTGRES_URL", *(f"SUITE_{name.upper()}_URL" for name in PROGRAMS))
"""Variables that name a server for the tests: one of them can be told to do one thing at a time."""


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split what stands after `test` into our parts and pytest's arguments."""
    parts: list[str] = []
    for number, argument in enumerate(arguments):
        if argument not in PARTS:
            return parts, list(arguments[number:])
        parts.append(argument)
    return parts, []


def run_tests(places: Places, arguments: Sequence[str]) -> int:
    """Run the parts that were asked for, all by default; return 0 when all of them passed.

    Arguments for pytest alone (`-k`, a path) run the tests and none of the other checks. Where a
    tool is missing its part is left out and named at the end; with CI=true that is a failure.
    """
    parts, further = split_arguments(arguments)
    if not parts:
        parts = list(FOLDERS if further else DEFAULT_PARTS)
    ensure_packages(places, "test")
    with _Run() as run:
        _run_parts(run, parts, further)
        return run.close()


def _run_parts(run: "_Run", parts: Sequence[str], further: Sequence[str]) -> None:
    several_cores = (os.cpu_count() or 1) > 1
    if "lint" in parts:
        run.program("ruff", "ruff", "check", ".")
        run.program("ruff format", "ruff", "format", "--check", ".")
    folders = [folder for folder in (*FOLDERS, "containers") if folder in parts]
    if "types" in parts:
        if several_cores and folders:
            run.begin("mypy", _command("mypy"))
        else:
            run.program("mypy", "mypy")
    if "pages" in folders and not _first_program(BROWSERS):
        folders.remove("pages")
        run.leave_out("pages", "no Chromium or Chrome was found")
    if "containers" in folders and not _engine_answers():
        folders.remove("containers")
        run.leave_out("containers", "no Docker engine with compose answers")
    # A path among pytest's arguments says which tests; folders beside it would add to them.
    named = [
        path for path in (argument.split("::")[0] for argument in further) if Path(path).exists()
    ]
    pages = any("pages" in Path(path).parts for path in named or folders)
    if pages or "postman" in parts:
        _have_npm_packages(run)
    where = [] if named else [f"tests/{folder}" for folder in folders if _has_tests(folder)]
    several = not further and folders != ["containers"]
    if len(where) > 1 and "tests/pages" in where and not further:
        # On a suite of their own: what a page shows is not to depend on what other tests left.
        where.remove("tests/pages")
        run.program("pytest", "pytest", *_workers(), *where)
        where = ["tests/pages"]
    # A browser keeps its core busy; other tests, of killed and restarted programs, mostly wait.
    workers = _workers(beyond_cores=0 if where == ["tests/pages"] else 1) if several else ()
    newman = _newman() if "postman" in parts else None
    beside = several_cores and where == ["tests/pages"]
    if "postman" in parts and newman is None:
        run.leave_out("postman", "newman is missing: npm ci --prefix tests/tools")
    elif newman is not None and beside:
        # Both wait a lot: the browser for the suite, newman for Evidently.
        run.begin("postman", [str(ROOT / "launch.sh"), "test", "postman"])
    if where or named:
        run.program("pytest", "pytest", *workers, *where, *further)
    if newman is not None and not beside:
        run.step("postman", lambda: _run_collection(newman))


class _Run:
    """The steps of one call and how they went."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._passed: list[str] = []
        self._failed: list[str] = []
        self._left_out: list[str] = []
        self._beside: list[_Beside] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for step in self._beside:
            step.stop()

    def program(self, name: str, module: str, *arguments: str) -> None:
        """Run a tool of our environment on the checkout."""
        self.step(name, lambda: _succeeds(_command(module, *arguments)))

    def step(self, name: str, passes: Callable[[], bool]) -> None:
        """Run one step and note how it went."""
        console.rule(name, align="left")
        began_s = time.monotonic()
        note = self._passed if passes() else self._failed
        note.append(f"{name} ({time.monotonic() - began_s:.0f} s)")

    def begin(self, name: str, command: Sequence[str]) -> None:
        """Run a program beside the steps that follow; what it writes is printed at the end."""
        self._beside.append(_Beside(name, command))

    def leave_out(self, part: str, reason: str) -> None:
        """Note a part that cannot run here; in CI that is a failure."""
        note = self._failed if os.environ.get("CI") == "true" else self._left_out
        note.append(f"{part}: {reason}")

    def close(self) -> int:
        """Wait for what runs beside, print the closing lines, return the exit code."""
        for step in self._beside:
            console.rule(step.name, align="left")
            (self._passed if step.wait() else self._failed).append(f"{step.name} (beside others)")
        console.rule("result", align="left")
        for style, sign, steps in (
            ("green", "passed  ", self._passed),
            ("yellow", "left out", self._left_out),
            ("red", "FAILED  ", self._failed),
        ):
            for text in steps:
                console.print(f"[{style}]{sign}[/] {text}")
        console.print(
            f"{len(self._passed)} passed, {len(self._failed)} failed,"
            f" {len(self._left_out)} left out in {time.monotonic() - self._began:.0f} s"
        )
        return 1 if self._failed else 0


class _Beside:
    """A program that runs while others do; what it writes is kept in a file."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - it is written to until `wait`.
        self._process = subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def wait(self) -> bool:
        """Wait for its end, print what it wrote, say whether it succeeded."""
        passed = self._process.wait() == 0
        self._output.seek(0)
        console.out(self._output.read().decode(errors="replace"), end="")
        return passed

    def stop(self) -> None:
        """Have it end in order, if it runs, and wait for that."""
        self._process.terminate()
        self._process.wait()
        self._output.close()


def _workers(beyond_cores: int = 1) -> tuple[str, ...]:
    """Return what has pytest run files side by side, each worker on a suite of its own.

    With one core, or a server from outside, they run one after the other.
    """
    cores = os.cpu_count() or 1
    count = min(MOST_WORKERS, cores + beyond_cores)
    if cores == 1 or any(os.environ.get(name) for name in SHARED):
        return ()
    return ("--numprocesses", str(count), "--dist", "loadfile", "--no-loadscope-reorder")


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, cwd=ROOT, env=_environment(), check=False).returncode == 0  # noqa: S603


def _run_collection(newman: str) -> bool:
    """Start a suite of its own, run the collection top to bottom against it, stop it."""
    with tempfile.TemporaryDirectory(prefix="cellar-postman-") as folder:
        places = Places.of(folder)
        ports = dict(zip(PROGRAMS, free_ports(len(PROGRAMS)), strict=True))
        changes = {port_variable(name): str(port) for name, port in ports.items()}
        ensure_env_file(places.env_file, ROOT / ".env.example", changes)
        suite = LocalSuite(SuiteSettings.of(read_env_file(places.env_file)), places)
        try:
            suite.up()
            addresses = (
                ("--env-var", f"{name}_url={suite.settings.url(name)}")
                for name in PROGRAMS
                if name != "postgres"
            )
            return _succeeds(
                [
                    *(newman, "run", "postman/Cellar.postman_collection.json"),
                    *("--environment", "postman/Cellar.postman_environment.json"),
                    *("--timeout-request", "120000"),
                    *(part for pair in addresses for part in pair),
                ]
            )
        except LaunchError as error:
            console.print(f"{error}\n{error.detail}", markup=False)
            return False
        finally:
            suite.down()


def _have_npm_packages(run: _Run) -> None:
    """Have newman and axe-core; without axe-core the tests that audit the pages fail."""
    if npm_packages_are_there():
        return
    if shutil.which("npm") is None:
        run.leave_out("newman and axe-core", "npm is missing: install Node.js with npm")
        return
    run.step("npm packages", _install_npm_packages)


def _install_npm_packages() -> bool:
    try:
        install_npm_packages()
    except LaunchError as error:
        console.print(f"{error} {error.advice}\n{error.detail}", markup=False)
        return False
    return True


def _newman() -> str | None:
    own = ROOT / "tests" / "tools" / "node_modules" / ".bin" / "newman"
    if shutil.which("node") is None:
        return None
    return str(own) if own.exists() else shutil.which("newman")


def _first_program(names: Iterable[str]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


def _engine_answers() -> bool:
    from launcher.docker_suite import compose_command

    return compose_command() is not None


def _has_tests(folder: str) -> bool:
    return any((ROOT / "tests" / folder).rglob("test_*.py"))
