"""Ports: free or taken, and by whom."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.env_file import ensure_env_file, read_env_file
from launcher.errors import LaunchError
from launcher.places import ROOT
from launcher.ports import free_ports, is_free, owner, require_free
from launcher.suite_settings import PROGRAMS, SuiteSettings, port_variable


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_port_that_is_listened_on_is_not_free(taken_port: int) -> None:
    assert not is_free("127.0.0.1", taken_port)


def test_free_ports_are_free_and_differ() -> None:
    ports = free_ports(5)

    assert len(set(ports)) == 5
    assert all(is_free("127.0.0.1", port) for port in ports)


def test_the_owner_is_named(taken_port: int) -> None:
    assert f"(pid {os.getpid()})" in owner(taken_port)


def test_an_address_of_another_machine_is_refused() -> None:
    # TEST-NET-1, of no machine (RFC 5737).
    with pytest.raises(LaunchError) as caught:
        is_free("192.0.2.1", 5001)
    assert "BIND_ADDRESS" in caught.value.advice


def test_a_taken_port_is_named_with_what_to_change(tmp_path: Path, taken_port: int) -> None:
    ports = dict(zip(PROGRAMS, free_ports(len(PROGRAMS)), strict=True))
    ports["tracking"] = taken_port
    changes = {port_variable(name): str(port) for name, port in ports.items()}
    ensure_env_file(tmp_path / ".env", ROOT / ".env.example", changes)
    settings = SuiteSettings.of(read_env_file(tmp_path / ".env"))

    with pytest.raises(LaunchError) as caught:
        require_free(settings, PROGRAMS)
    assert str(caught.value).startswith(f"Port {taken_port} for tracking is taken by ")
    assert "TRACKING_PORT" in caught.value.advice
    assert "MLFLOW_PORT" not in caught.value.advice
    require_free(settings, tuple(name for name in PROGRAMS if name != "tracking"))
