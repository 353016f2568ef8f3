"""Alembic's entry: runs our migrations on the connection that `schema.migrate` hands over."""

from typing import Any

from alembic import context

from schema.tables import JOBS_SCHEMA, SAMPLES_SCHEMA, SEARCHES_SCHEMA, Base


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Leave out what is made at run time: a table per dataset version, and the job queue."""
    return not (kind == "schema" and name in (SAMPLES_SCHEMA, JOBS_SCHEMA, SEARCHES_SCHEMA))


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    include_name=include_name,
    compare_type=True,
    compare_server_default=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
