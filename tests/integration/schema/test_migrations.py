"""The migrations make the tables, can be repeated, and can be taken back."""

import threading
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from schema import migrate
from schema.grants import READERS
from schema.head import SchemaNotAtHead, check_head, head_revision
from schema.tables import Base
from tests.support.databases import DatabaseServer, TestDatabase

SHAPE = """
    SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema IN ('public', 'samples') ORDER BY 1, 2, 3
"""
RIGHTS = """
    SELECT grantee, table_schema, table_name, privilege_type
    FROM information_schema.role_table_grants
    WHERE table_schema IN ('public', 'samples') ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def empty_database(database_server: DatabaseServer) -> Iterator[TestDatabase]:
    """A database before its first migration."""
    with database_server.new_database("template0") as database:
        yield database


def test_migrations_make_the_tables_of_the_code(cellar_database: TestDatabase) -> None:
    engine = create_engine(cellar_database.url(), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []
        command.check(migrate.alembic_config(connection))


def test_up_down_up_leaves_what_up_leaves(empty_database: TestDatabase) -> None:
    engine = create_engine(empty_database.url(), poolclass=NullPool)
    with engine.connect() as connection:
        migrate.upgrade(connection)
        shape, rights = empty_database.rows(SHAPE), empty_database.rows(RIGHTS)
        assert {row[1] for row in shape} >= set(Base.metadata.tables)

        command.downgrade(migrate.alembic_config(connection), "base")
        connection.commit()
        assert {row[1] for row in empty_database.rows(SHAPE)} <= {"alembic_version"}

        migrate.upgrade(connection)
        assert empty_database.rows(SHAPE) == shape
        assert empty_database.rows(RIGHTS) == rights


def test_sets_from_before_splits_were_noted_get_theirs(empty_database: TestDatabase) -> None:
    engine = create_engine(empty_database.url(), poolclass=NullPool)
    with engine.connect() as connection:
        config = migrate.alembic_config(connection)
        before = ScriptDirectory.from_config(config).get_revision("0008").down_revision
        command.upgrade(config, str(before))
        for name in ("classification", "regression"):
            connection.execute(
                text(
                    "WITH added AS (INSERT INTO datasets (name, version, content_hash, task,"
                    " target, columns, classes, origin)"
                    " VALUES (:name, 1, '', :name, 'y', '[]', '[]', '')"
                    " RETURNING id) INSERT INTO set_loads (dataset_id, set_name, seed, scenario,"
                    " content_hash, row_count) SELECT id, 'training', 42, 'clean', '', 1 FROM added"
                ),
                {"name": name},
            )
        command.upgrade(config, "0008")
        connection.commit()
    query = (
        "SELECT name, split FROM set_loads JOIN datasets ON datasets.id = dataset_id ORDER BY name"
    )
    assert empty_database.rows(query) == [
        ("classification", "stratified"),
        ("regression", "random"),
    ]


def test_starters_at_once_do_not_collide(empty_database: TestDatabase) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            empty_database.server.migrate(empty_database.name)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert empty_database.rows("SELECT count(*) FROM alembic_version") == [(1,)]


def test_the_newest_file_is_the_newest_migration() -> None:
    scripts = ScriptDirectory.from_config(migrate.alembic_config())

    assert head_revision() == scripts.get_current_head()


def test_readiness_sees_a_database_of_another_version(cellar_database: TestDatabase) -> None:
    engine = create_engine(cellar_database.url("cellar_ml_model"), poolclass=NullPool)
    with engine.connect() as connection:
        check_head(connection)
        connection.rollback()
        cellar_database.execute("UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(SchemaNotAtHead, match="0000"):
            check_head(connection)


def test_readiness_sees_a_database_without_tables(empty_database: TestDatabase) -> None:
    with empty_database.session() as session, pytest.raises(SchemaNotAtHead, match="none"):
        check_head(session.connection())


@pytest.mark.parametrize("role", READERS)
def test_a_service_reads_everything_and_changes_no_dataset(
    cellar_database: TestDatabase, role: str
) -> None:
    cellar_database.execute("SET ROLE cellar_simulator; CREATE TABLE samples.later_v1 (a int)")
    with cellar_database.session(role) as session:
        for table in (*Base.metadata.tables, "samples.later_v1"):
            session.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608 - our own names
        for statement in (
            "DELETE FROM datasets",
            "INSERT INTO samples.later_v1 VALUES (1)",
            "CREATE TABLE mine (a int)",
            "CREATE TABLE samples.mine (a int)",
            "DELETE FROM set_loads",
            "UPDATE set_loads SET content_hash = ''",
        ):
            session.rollback()
            with pytest.raises(ProgrammingError, match="permission denied"):
                session.execute(text(statement))


@pytest.mark.parametrize("table", ["deployments", "rollout_decisions"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET reason = 'nicer'", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
def test_not_even_the_owner_changes_what_was_decided(
    cellar_database: TestDatabase, table: str, statement: str
) -> None:
    with (
        cellar_database.session("cellar_simulator") as session,
        pytest.raises(ProgrammingError, match="append-only"),
    ):
        session.execute(text(statement.format(table)))
