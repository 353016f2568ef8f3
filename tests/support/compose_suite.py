"""The suite as one compose project: its commands, its containers, its answers over HTTP."""

import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.running_suite import ROOT, SERVICES, RunningSuite, free_ports

COMPOSE_FILE = ROOT / "docker-compose.yml"


def run(*command: str, timeout_s: float = 120, check: bool = True) -> str:
    """Run a command and return what it printed; a failure carries its own words."""
    # What a developer has exported must not win over the project's own settings.
    ours = re.compile(r"CELLAR_|COMPOSE_|POSTGRES_|BIND_ADDRESS$|\w+_PORT$")
    environment = {name: value for name, value in os.environ.items() if not ours.match(name)}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode != 0:
        shown = " ".join(command)
        raise AssertionError(f"`{shown}` ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout


def wait_until(
    what: str, true: Callable[[], bool], *, timeout_s: float, every_s: float = 0.5
) -> None:
    """Ask until the answer is yes; an answer that never comes fails, saying what was awaited."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {timeout_s:.0f} s in vain for: {what}")
        time.sleep(every_s)


@dataclass
class ComposeSuite(RunningSuite):
    """The five containers of one compose project, with ports and passwords of its own."""

    project: str
    env_file: Path
    variables: dict[str, str]

    @classmethod
    def prepare(cls, project: str, folder: Path) -> "ComposeSuite":
        """Give every variable that the compose file names a value: a new password, a free port."""
        text = COMPOSE_FILE.read_text()
        variables = {name: secrets.token_hex(16) for name in re.findall(r"\$\{(\w+):\?", text)}
        names = sorted(set(re.findall(r"\$\{(\w+)_PORT:-", text)))
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        variables |= {f"{name}_PORT": str(port) for name, port in ports.items()}
        env_file = folder / "env"
        env_file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        urls = {name: f"http://127.0.0.1:{ports[name.upper()]}" for name in (*SERVICES, "mlflow")}
        return cls(urls, project, env_file, variables)

    def compose(self, *arguments: str, timeout_s: float = 300, check: bool = True) -> str:
        """Run `docker compose` on this project."""
        return run(
            *("docker", "compose", "--ansi", "never", "--project-name", self.project),
            *("--env-file", str(self.env_file), "--file", str(COMPOSE_FILE), *arguments),
            timeout_s=timeout_s,
            check=check,
        )

    def up(self) -> None:
        """Start what does not run, and return when all five are healthy."""
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", "300", timeout_s=400)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.state_of_all()}") from None

    def remove(self) -> None:
        """Remove its containers, networks, volumes and images, and see that nothing stays."""
        self.compose("down", "--volumes", "--remove-orphans")
        label = ("--quiet", "--filter", f"label=com.docker.compose.project={self.project}")
        for listing in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
            assert run("docker", *listing, *label) == ""
        images = set(run("docker", "image", "ls", *label).split())
        if images:
            run("docker", "image", "rm", "--force", *images)

    def state_of_all(self) -> str:
        """Return the state and the latest log lines of every container, for a person."""
        return self.compose("ps", "--all", check=False) + self.compose(
            "logs", "--no-color", "--timestamps", "--tail", "150", check=False
        )

    def container(self, service: str) -> str:
        """Return the id of the service's one container."""
        return self.compose("ps", "--all", "--quiet", service).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of the service's container."""
        described: dict[str, Any] = json.loads(run("docker", "inspect", self.container(service)))[0]
        return described

    def health(self, service: str) -> str:
        """Return `starting`, `healthy` or `unhealthy`; the state where it does not run."""
        state = self.inspect(service)["State"]
        return str(state["Health"]["Status"] if state["Status"] == "running" else state["Status"])

    def wait_healthy(self, service: str, timeout_s: float = 180) -> None:
        """Wait until the service's own health check passes."""
        wait_until(
            f"{service} healthy",
            lambda: self.health(service) == "healthy",
            timeout_s=timeout_s,
        )

    def inside(self, service: str, *command: str) -> str:
        """Run a command in the service's container, as the user that the service runs as."""
        return self.compose("exec", "--no-TTY", service, *command)

    def sql(self, statement: str, database: str = "cellar") -> str:
        """Return what the database answers, unaligned, one line per row."""
        psql = ("psql", "--username", "postgres", "--no-psqlrc", "--tuples-only", "--no-align")
        return self.inside("postgres", *psql, "--dbname", database, "--command", statement).strip()

    def crash(self, service: str) -> None:
        """End the service as a power cut would, wait until it is back by itself and healthy.

        The program below the container's first process is killed from inside, not by `docker
        kill`: that counts as a wish of the operator, after which the restart policy does nothing.
        """
        before = self.inspect(service)
        kill = "for p in $(cat /proc/1/task/1/children); do kill -9 $p; done"
        # The shell may go down with its container before it can report.
        self.compose("exec", "--no-TTY", service, "sh", "-c", kill, check=False)

        def is_back() -> bool:
            now = self.inspect(service)
            return bool(
                now["RestartCount"] == before["RestartCount"] + 1
                and now["State"]["Status"] == "running"
            )

        wait_until(f"{service} restarted", is_back, timeout_s=60)
        self.wait_healthy(service)

    def started_at(self) -> dict[str, str]:
        """Return when each container's present process was started."""
        names = self.compose("config", "--services").split()
        return {name: str(self.inspect(name)["State"]["StartedAt"]) for name in names}
