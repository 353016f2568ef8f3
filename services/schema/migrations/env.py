"""Alembic's entry: runs our migrations on the connection that `schema.migrate` hands over."""

from typing import Any

from alembic import context

from schema.tables import SAMPLES_SCHEMA, Base


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Leave the sample tables out: they are made at run time, one per dataset version."""
    return not (kind == "schema" and name == SAMPLES_SCHEMA)


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
