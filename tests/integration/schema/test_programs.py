"""The two programs that make the database: the roles' script, and `python -m schema.migrate`."""

import os
import subprocess
import sys

import pytest

from schema.head import head_revision
from simulator.settings import Settings
from tests.support.databases import DatabaseServer, TestDatabase
from tests.support.running_suite import ROOT, SERVICES, Postgres

SCRIPT = ROOT / "services/postgres/initdb/10-databases.sh"
ROLES = """
    SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication
    FROM pg_roles WHERE rolname LIKE 'cellar%%' ORDER BY 1
"""


def script_environment(server: DatabaseServer) -> dict[str, str]:
    """The environment in which the script reaches the server, with the passwords it has."""
    client = str(Postgres._binary("psql")).rsplit("/", 1)[0]
    return (
        {"PATH": f"{client}:{os.environ['PATH']}"}
        | {"PGHOST": server.host, "PGPORT": str(server.port)}
        | {"PGUSER": server.superuser, "PGPASSWORD": server.passwords[server.superuser]}
        | {
            f"CELLAR_{name.upper()}_DATABASE_PASSWORD": server.passwords[f"cellar_{name}"]
            for name in SERVICES
        }
    )


def run_script(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_script_can_be_run_again(
    database_server: DatabaseServer, cellar_database: TestDatabase
) -> None:
    before = cellar_database.rows(ROLES)
    assert before == [
        (f"cellar_{name}", True, False, False, False, False)
        for name in ("ml_model", "monitoring", "simulator", "tracking")
    ]
    done = run_script(script_environment(database_server))
    assert done.returncode == 0, done.stderr
    assert cellar_database.rows(ROLES) == before
    owners = cellar_database.rows(
        "SELECT datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding),"
        " datacl::text NOT LIKE '%%{=%%' AND datacl::text NOT LIKE '%%,=%%'"
        " FROM pg_database WHERE datname IN ('cellar', 'mlflow') ORDER BY 1"
    )
    assert owners == [
        ("cellar", "cellar_simulator", "UTF8", True),
        ("mlflow", "cellar_tracking", "UTF8", True),
    ]


def test_no_password_is_printed_or_logged(
    database_server: DatabaseServer, cellar_database: TestDatabase
) -> None:
    with cellar_database.connection() as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("ALTER SYSTEM SET log_statement = 'all'")
        cursor.execute("SELECT pg_reload_conf()")
        try:
            done = run_script(script_environment(database_server))
        finally:
            cursor.execute("ALTER SYSTEM RESET log_statement")
            cursor.execute("SELECT pg_reload_conf()")
    assert done.returncode == 0
    said = done.stdout + done.stderr
    if database_server.embedded is not None:
        said += database_server.embedded.program.log()
    for name in SERVICES:
        # Quotes and backslashes are doubled in SQL; the random part stays as it is.
        password = database_server.passwords[f"cellar_{name}"]
        assert password.removeprefix("it's ").split("@")[0] not in said


@pytest.mark.parametrize("name", SERVICES)
def test_the_script_names_the_password_that_is_missing(
    database_server: DatabaseServer, name: str
) -> None:
    environment = script_environment(database_server)
    variable = f"CELLAR_{name.upper()}_DATABASE_PASSWORD"
    missing = {key: value for key, value in environment.items() if key != variable}
    for without in (environment | {variable: ""}, missing):
        done = run_script(without)
        assert done.returncode == 1
        assert variable in done.stderr


def migrate(database: TestDatabase, **changes: str) -> "subprocess.CompletedProcess[str]":
    server = database.server
    return subprocess.run(
        [sys.executable, "-m", "schema.migrate"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "services"),
            "CELLAR_DATABASE_HOST": server.host,
            "CELLAR_DATABASE_PORT": str(server.port),
            "CELLAR_DATABASE_NAME": database.name,
            "CELLAR_DATABASE_USER": "cellar_simulator",
            "CELLAR_DATABASE_PASSWORD": server.passwords["cellar_simulator"],
        }
        | changes,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_migrating_says_what_it_did(database_server: DatabaseServer) -> None:
    with database_server.new_database("template0") as database:
        first, second = migrate(database), migrate(database)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert f"migrated to {head_revision()}" in first.stdout
    assert f"already at {head_revision()}" in second.stdout


def test_migrating_runs_in_the_simulators_environment(cellar_database: TestDatabase) -> None:
    settings = {
        f"CELLAR_{name}".upper(): str(field.default)
        for name, field in Settings.model_fields.items()
        if not name.startswith("database_")
    }
    done = migrate(cellar_database, **settings)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"CELLAR_DATABASE_PORT": "1"}, "refused"),
        ({"CELLAR_DATABASE_PASSWORD": "wrong-horse"}, "password authentication failed"),
        ({"CELLAR_DATABASE_PROT": "5432"}, "CELLAR_DATABASE_PROT"),
        ({"CELLAR_DATABASE_PORT": "many"}, "CELLAR_DATABASE_PORT"),
    ],
    ids=["server away", "wrong password", "misspelt variable", "malformed variable"],
)
def test_migrating_in_vain_says_why_in_one_line(
    cellar_database: TestDatabase, changes: dict[str, str], said: str
) -> None:
    done = migrate(cellar_database, **changes)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert "wrong-horse" not in done.stderr
