"""The commands of ./launch.sh on a suite of its own: other ports, other state, the real programs.

One story: every test goes on from where the one before it stopped. Run the file as a whole.
"""

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import requests

from launcher.env_file import ensure_env_file, read_env_file
from launcher.places import ROOT, Places
from launcher.ports import free_ports
from launcher.suite_settings import ALL_PROGRAMS, PROGRAMS, SERVICES, port_variable
from launcher.supervision import Supervisor

PATIENCE_S = 600


@dataclass
class Launch:
    """`./launch.sh --local --state folder`."""

    folder: Path
    ports: dict[str, int]
    facts: dict[str, int] = field(default_factory=dict)

    @property
    def places(self) -> Places:
        return Places.of(str(self.folder))

    def command(self, *arguments: str) -> list[str]:
        return [str(ROOT / "launch.sh"), *arguments, "--local", "--state", str(self.folder)]

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command that must end with `code`; return all it printed."""
        done = subprocess.run(
            self.command(*arguments),
            cwd="/",
            env=os.environ | {"COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """The supervisor and all below it."""
        file = self.places.run / "supervisor.pid"
        if not file.exists():
            return []
        supervisor = psutil.Process(int(file.read_text()))
        return [supervisor, *supervisor.children(recursive=True)]

    def url(self, program: str) -> str:
        return f"http://127.0.0.1:{self.ports[program]}"


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    folder = tmp_path_factory.mktemp("launch")
    ports = dict(zip(PROGRAMS, free_ports(len(PROGRAMS)), strict=True))
    changes = {port_variable(name): str(port) for name, port in ports.items()}
    changes["CELLAR_WORKERS"] = "1"
    ensure_env_file(folder / ".env", ROOT / ".env.example", changes)
    launch = Launch(folder, ports)
    yield launch
    subprocess.run(launch.command("down"), check=True, timeout=PATIENCE_S, capture_output=True)


def test_before_the_start_all_is_stopped(launch: Launch) -> None:
    shown = launch.run("status", code=1)

    assert shown.count("stopped") == len(ALL_PROGRAMS)


def test_a_taken_port_is_named_and_nothing_is_started(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", launch.ports["tracking"])):
        shown = launch.run("up", code=1)

        assert f"Port {launch.ports['tracking']} for tracking is taken by" in shown
        assert f"(pid {os.getpid()})" in shown
        assert "TRACKING_PORT" in shown
        doctor = launch.run("doctor", code=1)
        assert f"{launch.ports['tracking']} (tracking) is taken by" in doctor
    assert not Supervisor(launch.places).is_running()


def test_up_returns_when_all_is_ready(launch: Launch) -> None:
    launch.run("up")

    for service in SERVICES:
        assert requests.get(f"{launch.url(service)}/ready", timeout=30).status_code == 200
    assert requests.get(f"{launch.url('mlflow')}/health", timeout=30).status_code == 200
    launch.facts["supervisor"] = launch.processes()[0].pid


def test_status_shows_each_program_with_port_and_version(launch: Launch) -> None:
    shown = launch.run("status")

    for program in PROGRAMS:
        line = next(line for line in shown.splitlines() if f" {program} " in line)
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells[1] == "ready"
        assert str(launch.ports[program]) in cells[2]
        assert cells[3][0].isdigit(), line


def test_status_and_doctor_know_of_the_program_without_a_port(launch: Launch) -> None:
    line = next(line for line in launch.run("status").splitlines() if " jobs " in line)

    assert [cell.strip() for cell in line.strip("│").split("│")] == ["jobs", "ready", "", ""]
    found = launch.run("doctor")
    assert "jobs: the program that runs trainings is there" in found
    assert "searches: the program that runs searches is there" in found
    assert launch.run("logs", "jobs", "--lines", "5").startswith("jobs ")


def test_up_again_changes_nothing(launch: Launch) -> None:
    before = {process.pid for process in launch.processes()}

    assert "running already" in launch.run("up")
    # The database's backends come and go with the connections.
    after = {process.pid for process in launch.processes() if process.name() != "postgres"}
    assert after <= before


def test_the_demo_tells_the_whole_story(launch: Launch) -> None:
    shown = launch.run("demo")

    assert shown.count("✓") == 15
    assert "LogisticRegression *" in shown and "RandomForest" in shown and "SVC" in shown
    for figure in ("98.1%", "100.0%", "66.7%", "33 passed, 53 failed of 86"):
        assert figure in shown
    assert "Retraining needed: yes" in shown
    assert f"{launch.url('monitoring')}/dashboard" in shown
    page = (launch.places.demo / "report.html").read_text(encoding="utf-8")
    assert "proanthocyanins" in page


def test_no_password_is_on_a_command_line_or_in_a_log(launch: Launch) -> None:
    values = read_env_file(launch.places.env_file)
    secrets = {value for name, value in values.items() if name.endswith("PASSWORD")}
    assert len(secrets) == 5
    written = "".join(path.read_text(errors="replace") for path in launch.places.logs.iterdir())
    lines = " ".join(" ".join(process.cmdline()) for process in launch.processes())

    assert not [secret for secret in secrets if secret in written + lines]
    for private in (launch.places.env_file, launch.places.run / "supervisord.conf"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_doctor_finds_nothing_and_sends_a_file_round(launch: Launch) -> None:
    shown = launch.run("doctor")

    assert "Nothing to put right" in shown
    assert "came back the same" in shown
    assert shown.count("migrations") == len(SERVICES)


def test_logs_of_one_program(launch: Launch) -> None:
    requests.get(f"{launch.url('simulator')}/root/simulator", timeout=30)
    lines = launch.run("logs", "simulator", "--lines", "20").splitlines()

    assert any("/root/simulator" in line for line in lines)
    assert all(line.startswith("simulator ") for line in lines)


def test_what_was_killed_comes_back(launch: Launch) -> None:
    state = Supervisor(launch.places)
    (simulator,) = (
        process
        for process in launch.processes()[0].children()
        if process.cmdline()[-1:] == ["simulator"]
    )
    for process in [*simulator.children(), simulator]:
        process.kill()
    deadline = time.monotonic() + 120
    answer = 0
    while answer != 200:
        assert time.monotonic() < deadline, state.states()["simulator"]
        try:
            answer = requests.get(f"{launch.url('simulator')}/ready", timeout=30).status_code
        except requests.RequestException:
            time.sleep(0.2)


def test_a_wrong_setting_is_named_and_what_runs_goes_on(launch: Launch) -> None:
    file = launch.places.env_file
    text = file.read_text()
    file.write_text(f"{text}\nCELLAR_WROKERS=1\n")
    try:
        assert "CELLAR_WROKERS" in launch.run("up", code=1)
    finally:
        file.write_text(text)
    assert launch.processes()[0].pid == launch.facts["supervisor"]


def test_down_asks_before_it_removes(launch: Launch) -> None:
    # Nobody is there to say yes.
    assert "Nothing was removed" in launch.run("down", "--volumes", code=1)
    assert requests.get(f"{launch.url('simulator')}/ready", timeout=30).status_code == 200


def test_what_a_killed_supervisor_left_is_ended(launch: Launch) -> None:
    processes = launch.processes()
    processes[0].kill()
    psutil.wait_procs(processes[:1], timeout=10)

    assert "left by an earlier start" in launch.run("down")
    _gone, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []


def test_ctrl_c_stops_a_suite_in_the_foreground(launch: Launch) -> None:
    loaded = {"set_name": "training"}
    with subprocess.Popen(
        launch.command("up", "--foreground"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as up:
        assert up.stdout is not None
        try:
            for line in up.stdout:
                if "Ctrl-C" in line:
                    break
            answer = requests.post(
                f"{launch.url('simulator')}/root/simulator", json=loaded, timeout=60
            )
            assert answer.status_code == 200
            processes = launch.processes()
            up.send_signal(signal.SIGINT)
            assert up.wait(PATIENCE_S) == 0
        finally:
            if up.poll() is None:
                os.killpg(up.pid, signal.SIGKILL)
    assert len(processes) > len(PROGRAMS)
    assert psutil.wait_procs(processes, timeout=5)[1] == []


def test_removing_leaves_the_settings_and_nothing_else(launch: Launch) -> None:
    assert launch.places.postgres_data.exists()

    launch.run("down", "--volumes", "--yes")

    assert {path.name for path in launch.folder.iterdir()} == {".env", "lock"}
