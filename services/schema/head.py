"""The migration that this version of the code needs, and the one a database stands at.

What every service asks for its readiness. Without Alembic, which takes 14 MiB of memory and which
only the program that migrates needs (`schema.migrate`).
"""

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text

from servicekit.errors import Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaNotAtHead(Unavailable):
    """The database's tables are of another version."""

    advice = "Run `python -m schema.migrate` with this version; the simulator does so at its start."


@cache
def head_revision() -> str:
    """Return the newest migration's id in this version of the code.

    The files of the migrations begin with their ids, which count up: `0002_serving.py` is `0002`.
    """
    ids = [path.stem.partition("_")[0] for path in MIGRATIONS.glob("versions/[0-9]*.py")]
    if not ids:
        raise LookupError(f"No migration under {MIGRATIONS}")
    return max(ids)


def current_revision(connection: Connection) -> str | None:
    """Return the migration the database stands at, None before the first."""
    # Not by Alembic's MigrationContext: it writes two log lines each time, and readiness is asked
    # every few seconds.
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def check_head(connection: Connection) -> None:
    """Raise `SchemaNotAtHead` unless the database stands at this code's newest migration."""
    found = current_revision(connection)
    if found != head_revision():
        raise SchemaNotAtHead(
            f"The database is at migration {found or 'none'}, this version needs "
            f"{head_revision()}. {SchemaNotAtHead.advice}"
        )
