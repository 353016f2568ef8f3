"""The suite in containers, through docker compose."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence

from launcher.errors import LaunchError
from launcher.local_suite import version_of
from launcher.places import ROOT, Places
from launcher.ports import require_free
from launcher.readiness import ask_ready, wait_until_ready
from launcher.suite import Row, one_at_a_time
from launcher.suite_settings import (
    JOB_PROGRAMS,
    JOBS,
    PROGRAMS,
    SEARCHES,
    SERVICE_OF,
    SuiteSettings,
)
from launcher.terminal import console, step

READY_DEADLINE_S = 300.0
BUILD_WAIT_S = 600

SUPERVISED_AS = {JOBS: "programs:jobs", SEARCHES: "searches"}
"""What a container's supervisor calls the program."""

# What a shell has exported must not win over .env, which is the one place to look.
_OURS = re.compile(r"CELLAR_|COMPOSE_|POSTGRES_|BIND_ADDRESS$|\w+_PORT$")


def compose_command() -> list[str] | None:
    """Return `docker compose`, or `docker-compose` from 1.29; None without a working engine."""
    if shutil.which("docker") is None or _quiet(["docker", "info"]) is None:
        return None
    if _quiet(["docker", "compose", "version"]) is not None:
        return ["docker", "compose"]
    old = (
        _quiet(["docker-compose", "version", "--short"]) if shutil.which("docker-compose") else None
    )
    if old is not None:
        numbers = [int(part) for part in re.findall(r"\d+", old)[:2]]
        if numbers >= [1, 29]:
            return ["docker-compose"]
    return None


def _quiet(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


class DockerSuite:
    """The suite as five containers."""

    kind = "docker"

    def __init__(self, settings: SuiteSettings, places: Places, compose: Sequence[str]) -> None:
        self.settings = settings
        self.places = places
        self._compose = [
            *compose,
            *("--env-file", str(places.env_file), "--file", str(ROOT / "docker-compose.yml")),
        ]

    def is_running(self) -> bool:
        """Tell whether any container of it runs."""
        return bool(self._ask("ps", "--quiet", check=False).strip())

    def up(self) -> None:
        """Build what changed, start what does not run; return when all is ready.

        Raises
        ------
        LaunchError
            A port is taken, an image cannot be built, or a container is not ready in time.
        """
        with one_at_a_time(self.places):
            if not self.is_running():
                require_free(self.settings, PROGRAMS)
            # V1 builds one image after the other and cannot wait; readiness is asked below anyhow.
            is_v2 = self._compose[0] == "docker"
            waiting = ("--wait", "--wait-timeout", str(BUILD_WAIT_S)) if is_v2 else ()
            console.print("Building and starting the containers")
            done = subprocess.run(  # noqa: S603 - our own command line
                [*self._compose, "up", "--detach", "--build", "--remove-orphans", *waiting],
                cwd=ROOT,
                env=self._environment(),
                check=False,
            )
            if done.returncode and not self.is_running():
                raise LaunchError(
                    "docker compose could not start the containers.", "The reason stands above."
                )
            wait_until_ready(
                self.settings,
                deadline_s=READY_DEADLINE_S,
                given_up=dict,
                log_of=self._log_end,
                lack_of_jobs=self.lack_of_jobs,
            )

    def down(self, *, volumes: bool = False) -> None:
        """Stop and remove the containers; `volumes` removes what they stored as well."""
        with one_at_a_time(self.places), step("Stopping the containers"):
            self._ask("down", "--remove-orphans", *(("--volumes",) if volumes else ()))

    def follow_logs(self, program: str | None, *, lines: int, follow: bool) -> None:
        """Print the last `lines` of one container's log or of all, and go on when `follow`."""
        container = SERVICE_OF.get(program, program) if program else None
        subprocess.run(  # noqa: S603 - our own command line
            [
                *self._compose,
                *("logs", "--tail", str(lines)),
                *(("--follow",) if follow else ()),
                *((container,) if container else ()),
            ],
            cwd=ROOT,
            env=self._environment(),
            check=False,
        )

    def status(self) -> list[Row]:
        """Return one line for each program; MLflow and the jobs run in containers of services."""
        running = set(self._ask("ps", "--services", check=False).split())
        rows = []
        for name in PROGRAMS:
            if name == "postgres":
                version = self.postgres_version()
                address = f"{self.settings.address}:{self.settings.ports[name]}"
                rows.append(Row(name, "ready" if version else "stopped", address, version))
                continue
            container = SERVICE_OF[name]
            lack = ask_ready(self.settings, name) if container in running else "stopped"
            version = "" if lack else version_of(self.settings, name)
            rows.append(Row(name, lack or "ready", self.settings.url(name), version))
        rows += [Row(name, self.lack_of_jobs(name) or "ready", "", "") for name in JOB_PROGRAMS]
        return rows

    def lack_of_jobs(self, program: str) -> str:
        """Return "" when a program that runs jobs does, else what it lacks."""
        container = SERVICE_OF[program]
        asked = ("supervisorctl", "--configuration", f"/opt/cellar/{container}/supervisord.conf")
        # In words: `programs:jobs   RUNNING   pid 9, uptime 0:01:02`.
        answer = self._ask(
            *("exec", "-T", container, *asked, "status", SUPERVISED_AS[program]), check=False
        ).split()
        state = answer[1].lower() if len(answer) > 1 else "stopped"
        return "" if state == "running" else state

    def postgres_version(self) -> str:
        """Return the version of the running database server, "" when it does not answer."""
        asked = ("psql", "--username", "postgres", "--tuples-only", "--no-align")
        answer = self._ask(
            *("exec", "-T", "postgres", *asked, "--command", "SHOW server_version"), check=False
        )
        return answer.split()[0] if answer.split() else ""

    def _log_end(self, name: str) -> str:
        container = SERVICE_OF.get(name, name)
        return self._ask("logs", "--no-color", "--tail", "25", container, check=False)

    def _environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not _OURS.match(name)}

    def _ask(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(  # noqa: S603 - our own command line
            [*self._compose, *arguments],
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise LaunchError(
                f"docker compose {arguments[0]} failed.",
                "The reason stands below.",
                done.stderr.strip()[-3000:],
            )
        return done.stdout if done.returncode == 0 else ""
