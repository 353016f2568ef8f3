"""Is a port free, and if not, who has it."""

import errno
import socket
from contextlib import ExitStack

import psutil

from launcher.errors import LaunchError
from launcher.suite_settings import SuiteSettings, port_variable


def is_free(address: str, port: int) -> bool:
    """Tell whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do it: connections that are only waiting to be forgotten do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise LaunchError(
                f"Port {port} of {address} cannot be opened: {error.strerror}.",
                "Look at BIND_ADDRESS and the ports in .env.",
            ) from None
    return True


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 on which nobody listens now."""
    with ExitStack() as probes:
        opened = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in opened:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in opened]


def owner(port: int) -> str:
    """Return who listens on the port, as far as this user may see it: `python (pid 12)`."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another program"
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or connection.pid is None:
            continue
        if not connection.laddr or connection.laddr.port != port:
            continue
        try:
            return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
        except psutil.NoSuchProcess:
            continue
    return "another program"


def require_free(settings: SuiteSettings, programs: tuple[str, ...]) -> None:
    """Raise `LaunchError` naming every port that is taken, by whom, and what to change."""
    taken = [name for name in programs if not is_free(settings.bind_address, settings.ports[name])]
    if not taken:
        return
    lines = [
        f"Port {settings.ports[name]} for {name} is taken by {owner(settings.ports[name])}."
        for name in taken
    ]
    variables = ", ".join(map(port_variable, taken))
    raise LaunchError("\n".join(lines), f"End that program, or change {variables} in .env.")
