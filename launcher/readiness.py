"""Wait until every program of the suite is ready, showing what is still awaited."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import requests

from launcher.errors import LaunchError
from launcher.suite_settings import JOB_PROGRAMS, SERVICES, SuiteSettings
from launcher.terminal import console

POLL_S = 0.2
ANSWER_TIMEOUT_S = 10.0

session = requests.Session()
# A proxy of this machine's environment has nothing to do with programs on this machine.
session.trust_env = False


def ask_ready(settings: SuiteSettings, program: str) -> str:
    """Return "" when a service or the MLflow server is ready, else what it lacks."""
    path = "/health" if program == "mlflow" else "/ready"
    try:
        answer = session.get(settings.url(program) + path, timeout=ANSWER_TIMEOUT_S)
    except requests.RequestException:
        return "does not answer yet"
    if answer.status_code == 200:
        return ""
    try:
        checks = answer.json().get("checks", {})
    except ValueError:
        return f"answers {answer.status_code}"
    failed = [f"{name}: {outcome}" for name, outcome in checks.items() if outcome != "ok"]
    return "; ".join(failed) or f"answers {answer.status_code}"


def wait_until_ready(
    settings: SuiteSettings,
    *,
    deadline_s: float,
    given_up: Callable[[], Mapping[str, str]],
    log_of: Callable[[str], str],
    lack_of_jobs: Callable[[str], str],
) -> None:
    """Return when all are ready.

    Parameters
    ----------
    deadline_s : seconds to wait in all.
    given_up : programs that will not come up any more, with the reason; asked again and again.
    log_of : the end of a program's log, for the error.
    lack_of_jobs : what a program that runs jobs lacks, "" when nothing; it has no port.

    Raises
    ------
    LaunchError
        A program has given up or is not ready in time; names it, why, and the end of its log.
    """
    waiting = {
        **dict.fromkeys(("mlflow", *SERVICES), "does not answer yet"),
        **dict.fromkeys(JOB_PROGRAMS, "does not run"),
    }
    began = time.monotonic()

    def ask(program: str) -> str:
        return lack_of_jobs(program) if program in JOB_PROGRAMS else ask_ready(settings, program)

    with (
        console.status("Starting") as shown,
        ThreadPoolExecutor(len(waiting)) as pool,
    ):
        while waiting:
            asked = list(waiting)
            lacks = pool.map(ask, asked)
            for program, lack in zip(asked, lacks, strict=True):
                if lack:
                    waiting[program] = lack
                else:
                    del waiting[program]
                    took = time.monotonic() - began
                    place = "" if program in JOB_PROGRAMS else f" at {settings.url(program)}"
                    console.print(f"[green]✓[/] {program} is ready{place} [dim]{took:.1f} s[/]")
            dead = {name: why for name, why in given_up().items() if name in waiting}
            if dead or (waiting and time.monotonic() - began > deadline_s):
                raise _not_ready(dead or waiting, deadline_s, log_of)
            shown.update(f"Waiting for {', '.join(waiting)}")
            time.sleep(POLL_S)


def _not_ready(
    programs: Mapping[str, str], deadline_s: float, log_of: Callable[[str], str]
) -> LaunchError:
    lines = [f"{name}: {why}" for name, why in programs.items()]
    logs = [f"--- the end of {name}'s log\n{log_of(name)}" for name in programs]
    return LaunchError(
        f"Not ready after {deadline_s:.0f} s at most: " + "; ".join(lines),
        "The logs below say why; ./launch.sh doctor looks at the usual causes.",
        "\n".join(logs),
    )
