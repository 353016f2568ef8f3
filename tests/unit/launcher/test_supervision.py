"""The supervisor's configuration, read by the supervisor's own parser."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from launcher.errors import LaunchError
from launcher.places import Places
from launcher.supervision import Program, ProgramState, Supervisor, configuration

ODD = "100% s3cret;#x, =y"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places.of(str(tmp_path / "my suite, the 2nd"))
    for folder in (places.logs, places.run):
        folder.mkdir(parents=True)
    return places


@pytest.fixture
def read(places: Places) -> Callable[[str], dict[str, Any]]:
    """Return a function that gives the process groups of a configuration."""

    def parse(text: str) -> dict[str, Any]:
        file = places.run / "supervisord.conf"
        file.write_text(text)
        options = ServerOptions()
        options.realize(["--configuration", str(file)], doc="")
        return {group.name: group for group in options.process_group_configs}

    return parse


def test_values_reach_the_programs_unchanged(places: Places, read: Any) -> None:
    program = Program("a", ["/bin/echo", "two words", "50%"], {"CELLAR_PASSWORD": ODD})
    groups = read(configuration(places, [program], []))

    (found,) = groups["a"].process_configs
    assert found.environment == {"CELLAR_PASSWORD": ODD}
    assert found.command == '"/bin/echo" "two words" "50%"'
    assert found.stdout_logfile == str(places.logs / "a.log")


def test_services_wait_and_stop_before_what_they_need(places: Places, read: Any) -> None:
    programs = [Program(name, ["/bin/true"]) for name in ("database", "one", "two")]
    groups = read(configuration(places, programs[:1], programs[1:]))

    assert [config.name for config in groups["services"].process_configs] == ["one", "two"]
    assert groups["database"].process_configs[0].autostart
    assert not any(config.autostart for config in groups["services"].process_configs)
    # Started in this order, stopped in the opposite one.
    assert groups["database"].priority < groups["services"].priority


@pytest.mark.parametrize("value", ['a"b', "a'b", "a\\b", "a\nb", "a ;b", "a #b"])
def test_what_supervisord_cannot_read_is_refused(places: Places, value: str) -> None:
    with pytest.raises(LaunchError):
        configuration(places, [Program("a", ["/bin/true"], {"X": value})], [])


def test_a_folder_it_cannot_use_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="50%"):
        configuration(Places.of(str(tmp_path / "50%")), [Program("a", ["/bin/true"])], [])


def test_nothing_runs_without_a_socket(places: Places) -> None:
    assert not Supervisor(places).is_running()
    assert Supervisor(places).states() == {}


def test_programs_start_are_listed_and_end(places: Places) -> None:
    supervisor = Supervisor(places)
    first = Program("first", ["/bin/sleep", "600"])
    service = Program("service", ["/bin/sleep", "600"], {"NAME": ODD})
    supervisor.start(configuration(places, [first], [service]), dict(os.environ))
    try:
        states = supervisor.states()
        assert set(states) == {"first", "service"}
        assert states["service"].state == "STOPPED"
        supervisor.start_services()
        assert supervisor.states()["service"].state in {"STARTING", "RUNNING"}
    finally:
        supervisor.stop()
    assert not supervisor.is_running()
    assert not (places.run / "supervisor.pid").exists()


def test_its_file_with_passwords_is_its_owners_alone(places: Places) -> None:
    supervisor = Supervisor(places)
    supervisor.start(configuration(places, [], [Program("a", ["/bin/true"])]), dict(os.environ))
    supervisor.stop()

    assert (places.run / "supervisord.conf").stat().st_mode & 0o077 == 0


def test_a_supervisor_that_cannot_start_says_why(places: Places) -> None:
    with pytest.raises(LaunchError) as caught:
        Supervisor(places).start("[supervisord]\nloglevel=nonsense\n", dict(os.environ))
    assert "nonsense" in caught.value.detail


@pytest.mark.parametrize(
    "state, given_up",
    [("RUNNING", False), ("STARTING", False), ("BACKOFF", False), ("FATAL", True)],
)
def test_only_what_does_not_come_back_is_given_up(state: str, given_up: bool) -> None:
    assert ProgramState("a", state, "").is_given_up is given_up


def test_a_socket_path_is_never_too_long(tmp_path: Path) -> None:
    deep = Places.of(str(tmp_path / ("x" * 90)))
    other = Places.of(str(tmp_path / ("y" * 90)))

    assert len(os.fsencode(deep.supervisor_socket)) <= 100
    assert deep.supervisor_socket != other.supervisor_socket
