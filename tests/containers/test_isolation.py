"""What a container may do: as little as its work needs."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.compose_suite import SERVICES, ComposeSuite, run

pytestmark = pytest.mark.containers
EVERY_CONTAINER = ("postgres", *SERVICES)

PROBE = """
import json, os, pathlib
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
def writable(folder):
    try:
        pathlib.Path(folder, "probe").write_text("x")
        pathlib.Path(folder, "probe").unlink()
        return True
    except OSError:
        return False
print(json.dumps({
    "user": os.getuid(), "group": os.getgid(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "writable": [f for f in ("/", "/etc", "/opt/cellar", "/opt/venv", "/usr/local/bin", "/tmp")
                 if writable(f)],
}))
"""


def test_the_suite_is_five_containers(suite: ComposeSuite) -> None:
    assert set(suite.compose("ps", "--services").split()) == set(EVERY_CONTAINER)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_without_any_right_and_writes_only_to_its_scratch_folder(
    suite: ComposeSuite, service: str
) -> None:
    found = json.loads(suite.inside(service, "python", "-c", PROBE))

    assert found == {
        "user": 10001,
        "group": 10001,
        "capabilities": 0,
        "no_new_privileges": "1",
        "writable": ["/tmp"],
    }


def test_postgres_runs_as_its_own_user_without_any_capability(suite: ComposeSuite) -> None:
    status = suite.inside("postgres", "cat", "/proc/1/status")

    assert re.search(r"^Uid:\t999\t999\t", status, re.M)
    assert re.findall(r"^Cap(?:Eff|Prm|Bnd):\t(\w+)", status, re.M) == ["0" * 16] * 3
    assert "NoNewPrivs:\t1" in status


@pytest.mark.parametrize("service", EVERY_CONTAINER)
def test_a_container_is_confined_limited_and_restarted(suite: ComposeSuite, service: str) -> None:
    host = suite.inspect(service)["HostConfig"]

    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["Init"] is True
    assert 0 < host["Memory"] <= 4 * 2**30
    assert host["LogConfig"]["Config"]["max-size"]
    bindings = [binding for port in host["PortBindings"].values() for binding in port]
    assert bindings
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


AT_REST_MIB = 250

MEMORY_PROBE = """
import collections, json, os, pathlib
found = collections.Counter()
for folder in pathlib.Path("/proc").iterdir():
    if not folder.name.isdigit() or int(folder.name) == os.getpid():
        continue
    try:
        words = (folder / "cmdline").read_text().split("\\0")
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except OSError:
        continue
    program = words[words.index("-m") + 1] if "-m" in words else os.path.basename(words[0])
    found[program] += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
print(json.dumps({program: round(size / 1024, 1) for program, size in found.items()}))
"""


@pytest.mark.parametrize("service", ["simulator", "ml_model"])
def test_a_service_at_rest_takes_little_memory(
    suite: ComposeSuite, service: str, note_figure: Callable[[str], None]
) -> None:
    """Runs before the walk-through: nothing has been asked of the service but its health.

    What processes share counts once. The ML service's container also holds the program that runs
    its jobs and the supervisor of both; they are noted, the limit is the service's.
    """
    columns = ("--no-stream", "--format", "{{.MemUsage}}")
    whole = run("docker", "stats", *columns, suite.container(service)).split()[0]
    programs = json.loads(suite.inside(service, "python", "-c", MEMORY_PROBE))

    note_figure(f"memory of {service} at rest: {whole}, by program (MiB): {programs}")
    assert 0 < programs["servicekit.serve"] < AT_REST_MIB


def test_only_the_init_scripts_come_from_the_host(suite: ComposeSuite) -> None:
    mounts = {name: suite.inspect(name)["Mounts"] for name in EVERY_CONTAINER}

    from_host = [
        (name, Path(mount["Source"]).name, mount["RW"])
        for name, listed in mounts.items()
        for mount in listed
        if mount["Type"] == "bind"
    ]
    assert from_host == [("postgres", "initdb", False)]
    volumes = sorted(
        mount["Name"].removeprefix(f"{suite.project}_")
        for listed in mounts.values()
        for mount in listed
        if mount["Type"] == "volume"
    )
    assert volumes == ["mlflow_artifacts", "postgres_data", "simulator_uploads"]
