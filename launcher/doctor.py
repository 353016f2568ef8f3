"""`doctor`: look at everything that usually goes wrong, and say what to do about it."""

import platform
import shutil
import stat
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import psutil
import requests

from launcher.docker_suite import compose_command
from launcher.errors import LaunchError
from launcher.ports import is_free, owner
from launcher.readiness import session
from launcher.suite import Suite
from launcher.suite_settings import JOB_PROGRAMS, JOBS, PROGRAMS, SERVICES, port_variable
from launcher.terminal import console

GIB = 1024**3
LITTLE_DISK = 3 * GIB
NO_DISK = GIB // 2
LITTLE_MEMORY = 2 * GIB

SIGNS = {"good": "[green]✓[/]", "note": "[yellow]![/]", "bad": "[red]✗[/]"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    grade: Literal["good", "note", "bad"]
    text: str
    advice: str = ""
    """What to do about it; empty when it is good."""


def examine(suite: Suite) -> int:
    """Look at everything, print a line for each thing; return 1 when something is bad, else 0."""
    bad = 0
    running = suite.is_running()
    console.print(f"The suite ({suite.kind}) is {'running' if running else 'stopped'}.")
    for name, look in _looks(suite, running):
        with console.status(f"Looking at {name}"):
            findings = list(look())
        for finding in findings:
            console.print(f"{SIGNS[finding.grade]} {name}: {finding.text}")
            if finding.advice:
                console.print(f"    [bold]→[/] {finding.advice}")
            bad += finding.grade == "bad"
    console.print(f"\n{bad} to put right." if bad else "\nNothing to put right.")
    return 1 if bad else 0


def _looks(suite: Suite, running: bool) -> list[tuple[str, Callable[[], Iterator[Finding]]]]:
    looks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", _versions),
        ("settings", lambda: _settings(suite)),
        ("disk", lambda: _disk(suite)),
        ("memory", _memory),
        ("ports", lambda: _ports(suite, running)),
    ]
    if running:
        looks += [
            ("database", lambda: _database(suite)),
            *((name, lambda name=name: _service(suite, name)) for name in SERVICES),
            *((name, lambda name=name: _jobs(suite, name)) for name in JOB_PROGRAMS),
            ("artifacts", lambda: _artifacts(suite)),
        ]
    return looks


def _versions() -> Iterator[Finding]:
    yield Finding("good", f"Python {platform.python_version()} on {platform.platform(terse=True)}")
    if sys.version_info >= (3, 14):
        yield Finding(
            "note",
            "the suite is tested on Python 3.11, 3.12 and 3.13",
            "If something is odd: PYTHON=/path/to/python3.13 ./launch.sh up",
        )
    compose = compose_command()
    if compose is None:
        yield Finding("good", "no Docker engine with compose answers; the suite runs locally")
    else:
        yield Finding("good", f"a Docker engine answers, with {' '.join(compose)}")


def _settings(suite: Suite) -> Iterator[Finding]:
    path = suite.places.env_file
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding("bad", f"others may read the passwords in {path}", f"chmod 600 {path}")
    else:
        yield Finding("good", f"{path} is its owner's alone")
    if suite.settings.bind_address not in {"127.0.0.1", "::1", "localhost"}:
        yield Finding(
            "note",
            f"every port is open on {suite.settings.bind_address}, and no service asks for a"
            " password",
            "BIND_ADDRESS=127.0.0.1 in .env, unless the network is yours",
        )


def _disk(suite: Suite) -> Iterator[Finding]:
    free = shutil.disk_usage(suite.places.state).free
    text = f"{free / GIB:.1f} GiB free at {suite.places.state}"
    if free < NO_DISK:
        yield Finding("bad", text, "Make room: PostgreSQL stops when the disk is full.")
    elif free < LITTLE_DISK:
        yield Finding("note", text, "The packages alone take about 2 GiB; make room soon.")
    else:
        yield Finding("good", text)


def _memory() -> Iterator[Finding]:
    available = psutil.virtual_memory().available
    text = f"{available / GIB:.1f} GiB available"
    if available < LITTLE_MEMORY:
        yield Finding("note", text, "The suite takes about 2 GiB; CELLAR_WORKERS=1 makes it less.")
    else:
        yield Finding("good", text)


def _ports(suite: Suite, running: bool) -> Iterator[Finding]:
    settings = suite.settings
    for name in PROGRAMS:
        port = settings.ports[name]
        if name == "postgres" and settings.postgres_host:
            continue
        try:
            free = is_free(settings.bind_address, port)
        except LaunchError as error:
            yield Finding("bad", str(error), error.advice)
            continue
        if running and free:
            yield Finding(
                "bad", f"nobody listens on {port} ({name})", "./launch.sh up starts what is missing"
            )
        elif not running and not free:
            yield Finding(
                "bad",
                f"{port} ({name}) is taken by {owner(port)}",
                f"End that program, or change {port_variable(name)} in .env.",
            )
        else:
            yield Finding("good", f"{port} ({name}) is {'free' if free else 'ours'}")


def _database(suite: Suite) -> Iterator[Finding]:
    version = suite.postgres_version()
    if version:
        yield Finding("good", f"PostgreSQL {version} answers")
    else:
        yield Finding(
            "bad",
            "PostgreSQL does not answer, or not to POSTGRES_PASSWORD of .env",
            "./launch.sh logs postgres says why.",
        )


def _service(suite: Suite, name: str) -> Iterator[Finding]:
    """Every check of its `/ready`: database, migrations, peers."""
    logs = f"./launch.sh logs {name} says why; ./launch.sh up starts what has ended."
    try:
        answer = session.get(f"{suite.settings.url(name)}/ready", timeout=15)
        checks = answer.json()["checks"]
    except (requests.RequestException, ValueError, KeyError) as error:
        yield Finding("bad", f"does not answer ({type(error).__name__})", logs)
        return
    failed = {check: outcome for check, outcome in checks.items() if outcome != "ok"}
    for check, outcome in failed.items():
        advice = logs
        if check == "migrations":
            advice = "./launch.sh down, then up: that brings the tables to this version."
        yield Finding("bad", f"{check}: {outcome}", advice)
    if not failed:
        yield Finding("good", f"ready ({', '.join(checks)})")


def _jobs(suite: Suite, program: str) -> Iterator[Finding]:
    lack = suite.lack_of_jobs(program)
    what = "trainings" if program == JOBS else "searches"
    if lack:
        yield Finding(
            "bad",
            f"{what} wait: the program that runs them is {lack}",
            f"./launch.sh logs {program} says why; ./launch.sh up starts it.",
        )
    else:
        yield Finding("good", f"the program that runs {what} is there")


def _artifacts(suite: Suite) -> Iterator[Finding]:
    """Put a file through MLflow's artifact proxy, read it again, remove it."""
    base = f"{suite.settings.url('mlflow')}/api/2.0/mlflow-artifacts/artifacts"
    url = f"{base}/doctor/{uuid.uuid4().hex}.txt"
    content = uuid.uuid4().bytes * 4096
    try:
        session.put(url, data=content, timeout=15).raise_for_status()
        came_back = session.get(url, timeout=15)
        came_back.raise_for_status()
        session.delete(url, timeout=15).raise_for_status()
    except requests.RequestException as error:
        yield Finding(
            "bad",
            f"the MLflow server does not store files ({error})",
            "./launch.sh logs mlflow says why; is the disk full, are the rights of the folder as"
            " they were, do the CELLAR_S3_... settings in .env name the bucket?",
        )
        return
    if came_back.content == content:
        yield Finding("good", "64 KiB went through MLflow's proxy and came back the same")
    else:
        yield Finding(
            "bad", "a file came back changed from the MLflow server", "Is a proxy in between?"
        )
