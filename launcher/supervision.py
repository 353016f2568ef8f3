"""supervisord: its configuration, its start, and what it says about the programs it keeps up."""

import getpass
import http.client
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

from launcher.errors import LaunchError
from launcher.places import Places

SERVICES_GROUP = "services"
START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 120.0

_UNREACHABLE = (OSError, http.client.HTTPException, xmlrpc.client.Error)


@dataclass(frozen=True)
class Program:
    """A program that is kept running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_wait_s: int = 60
    whole_group: bool = False
    """Its children get the signal as well."""


@dataclass(frozen=True)
class ProgramState:
    """What the supervisor says about a program."""

    name: str
    state: str
    """RUNNING, STARTING, BACKOFF, STOPPED, EXITED, FATAL, STOPPING or UNKNOWN."""
    description: str

    @property
    def is_given_up(self) -> bool:
        """Whether it will not come up by itself any more."""
        return self.state in {"FATAL", "EXITED", "UNKNOWN"}


def configuration(places: Places, first: Sequence[Program], services: Sequence[Program]) -> str:
    """Return supervisord's configuration: `first` start with it, `services` when they are told to.

    Stopping goes the other way round. It holds passwords; its file is its owner's alone.
    """
    head = f"""\
[supervisord]
nodaemon=true
logfile={_path(places.logs / "supervisor.log")}
logfile_maxbytes=5MB
logfile_backups=1
loglevel=info
silent=true
pidfile={_path(places.run / "supervisor.pid")}
user={_escaped(getpass.getuser())}

[unix_http_server]
file={_path(places.supervisor_socket)}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    group = ""
    if services:
        names = ",".join(program.name for program in services)
        group = f"\n[group:{SERVICES_GROUP}]\nprograms={names}\npriority=20\n"
    return (
        head
        + "".join(_section(program, places, autostart=True) for program in first)
        + "".join(_section(program, places, autostart=False) for program in services)
        + group
    )


def _section(program: Program, places: Places, *, autostart: bool) -> str:
    lines = {
        "command": " ".join(_quoted(part) for part in program.command),
        "environment": ",".join(
            f'{name}="{_escaped(value)}"' for name, value in program.environment.items()
        ),
        "directory": _path(places.run) if program.user is None else "/",
        "priority": "10",
        "autostart": str(autostart).lower(),
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "5",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_wait_s),
        "stopasgroup": str(program.whole_group).lower(),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _path(places.logs / f"{program.name}.log"),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "2",
    }
    if program.user is not None:
        lines["user"] = program.user
    if not program.environment:
        del lines["environment"]
    return f"\n[program:{program.name}]\n" + "".join(
        f"{name}={value}\n" for name, value in lines.items()
    )


def _escaped(value: str) -> str:
    # supervisord expands %(name)s, and takes " ;" and " #" for the beginning of a comment.
    if set(value) & set("\"'\\\n") or " ;" in value or " #" in value:
        raise LaunchError(
            "A folder or a value of .env holds a quote, a backslash, ' ;' or ' #'.",
            "Remove it, or move the checkout to a folder without.",
        )
    return value.replace("%", "%%")


def _path(path: Path) -> str:
    # It expands some paths once and others twice.
    if "%" in str(path):
        raise LaunchError(
            f"The folder {path} has a percent sign, with which the supervisor cannot be run.",
            "Move the checkout to a folder without.",
        )
    return _escaped(str(path))


def _quoted(part: str) -> str:
    return f'"{_escaped(part)}"'


class Supervisor:
    """The supervisor of one suite, reached over its socket."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        """Tell whether it answers."""
        try:
            self._call("getState")
        except _UNREACHABLE:
            return False
        return True

    def start(self, configuration_text: str, environment: Mapping[str, str]) -> None:
        """Start it apart from this terminal; return when it answers."""
        places = self._places
        config = places.run / "supervisord.conf"
        config.unlink(missing_ok=True)
        config.touch(mode=0o600)
        config.write_text(configuration_text, encoding="utf-8")
        with (places.logs / "supervisor.start.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(config)],
                cwd=places.run,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_DEADLINE_S
        while not self.is_running():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LaunchError(
                    "The process supervisor does not start.",
                    "The reason should stand below.",
                    (places.logs / "supervisor.start.log").read_text(errors="replace")[-2000:],
                )
            time.sleep(0.05)

    def start_services(self) -> None:
        """Start the services that do not run, without waiting for them."""
        self._call("startProcessGroup", SERVICES_GROUP, False)

    def states(self) -> dict[str, ProgramState]:
        """Return the state of every program by its name; empty when nothing runs."""
        try:
            found = cast(list[dict[str, Any]], self._call("getAllProcessInfo"))
        except _UNREACHABLE:
            return {}
        return {
            str(each["name"]): ProgramState(
                str(each["name"]), str(each["statename"]), str(each["description"])
            )
            for each in found
        }

    def stop(self) -> None:
        """Stop the services, then the database, then itself; return when it is gone.

        Raises
        ------
        LaunchError
            It is still there after `STOP_DEADLINE_S`.
        """
        pid_file = self._places.run / "supervisor.pid"
        pid = int(pid_file.read_text()) if pid_file.exists() else None
        try:
            self._call("shutdown")
        except _UNREACHABLE:
            return
        deadline = time.monotonic() + STOP_DEADLINE_S
        while self.is_running() or (pid is not None and self._is_alive(pid)):
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"The suite does not stop within {STOP_DEADLINE_S:.0f} s.",
                    f"Look at {self._places.logs / 'supervisor.log'}.",
                )
            time.sleep(0.05)

    def _call(self, method: str, *arguments: object) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        address = f"unix://{self._places.supervisor_socket}"
        transport = SupervisorTransport(None, None, address)
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def _is_alive(self, pid: int) -> bool:
        if self._process is not None and self._process.pid == pid:
            # As our own child it stays in the list of processes until it is asked for.
            return self._process.poll() is None
        return psutil.pid_exists(pid)
