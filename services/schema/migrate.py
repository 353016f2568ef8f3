"""Bring the dataset database to the newest migration: `python -m schema.migrate`.

Run by the owner of the database before its service starts. Several starters at once wait for one
another; each step is one transaction, so that a killed starter leaves the state it found.
"""

import sys
from typing import ClassVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from schema.grants import grant_all
from schema.head import MIGRATIONS, current_revision, head_revision
from servicekit.settings import PREFIX, ServiceSettings, SettingsError

LOCK_KEY = 0x43454C4C4152
"""Of the advisory lock that starters queue for ("CELLAR")."""


class MigrationSettings(ServiceSettings):
    """What a migration needs: the database and its owner; it listens nowhere."""

    checked_prefix: ClassVar[str] = f"{PREFIX}DATABASE_"
    """It runs in the environment of the service that starts next, which checks its own."""

    port: int = 5004
    """Unused here."""


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for our migrations, on `connection` where one is given."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Migrate to the newest version and grant the services their rights; may be repeated."""
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    connection.commit()
    try:
        command.upgrade(alembic_config(connection), "head")
        connection.commit()
        grant_all(connection)
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
        connection.commit()


def main() -> None:
    """Migrate the database that the environment names; one line says what was done."""
    try:
        settings = MigrationSettings.load()
        engine = create_engine(settings.database_url())
        with engine.connect() as connection:
            before = current_revision(connection)
            connection.rollback()
            upgrade(connection)
    except SettingsError as error:
        sys.exit(f"schema.migrate: {error}")
    except SQLAlchemyError as error:
        sys.exit(f"schema.migrate: {str(error).splitlines()[0]}")
    state = "already at" if before == head_revision() else "migrated to"
    sys.stdout.write(f"schema.migrate: {settings.database_name} {state} {head_revision()}\n")


if __name__ == "__main__":
    main()
