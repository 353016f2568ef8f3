"""What each service's role may do in the dataset database.

The simulator's role owns everything. Rights are granted after every migration, so that a new table
needs a line here and no migration of its own. A role that the server does not know (a test that
needs one service only) is passed over.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, text

from schema.tables import JOBS_SCHEMA, SAMPLES_SCHEMA, SEARCHES_SCHEMA

OWNER = "cellar_simulator"
READERS = ("cellar_ml_model", "cellar_tracking", "cellar_monitoring")

WRITES: Mapping[str, Mapping[str, str]] = {
    "cellar_ml_model": {
        "model_versions": "INSERT, UPDATE",
        "deployments": "INSERT",
        "serving_models": "INSERT, UPDATE",
        "prediction_log": "INSERT, DELETE",
        "labels": "INSERT, UPDATE, DELETE",
        "training_rows": "INSERT, UPDATE",
        "jobs": "INSERT, UPDATE",
        "rollouts": "INSERT, UPDATE",
        "rollout_decisions": "INSERT",
        "scorings": "INSERT, UPDATE, DELETE",
        "predictions": "INSERT, UPDATE, DELETE",
        # SELECT ... FOR SHARE on the loaded set asks for UPDATE on some column.
        "set_loads": "UPDATE (loaded_at)",
    },
    "cellar_tracking": {
        "searches": "INSERT, UPDATE",
        "jobs": "INSERT, UPDATE",
        "search_candidates": "INSERT, DELETE",
    },
    "cellar_monitoring": {
        "monitoring_results": "INSERT, UPDATE, DELETE",
        "drift_checks": "INSERT, UPDATE",
        "set_statistics": "INSERT, DELETE",
    },
}

QUEUES = {"cellar_ml_model": JOBS_SCHEMA, "cellar_tracking": SEARCHES_SCHEMA}
"""Who makes the tables of its job queue itself, in a schema of their own."""


def grant_all(connection: Connection) -> None:
    """Give every known role its rights; the caller commits."""
    known = set(
        connection.scalars(
            text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names)"),
            {"names": list(READERS)},
        )
    )
    for role in READERS:
        if role not in known:
            continue
        for statement in (
            f"GRANT USAGE ON SCHEMA public, {SAMPLES_SCHEMA} TO {role}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public, {SAMPLES_SCHEMA} TO {role}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {SAMPLES_SCHEMA} GRANT SELECT ON TABLES TO {role}",
        ):
            connection.execute(text(statement))
        for table, rights in WRITES[role].items():
            connection.execute(text(f"GRANT {rights} ON {table} TO {role}"))
        if role in QUEUES:
            connection.execute(text(f"GRANT USAGE, CREATE ON SCHEMA {QUEUES[role]} TO {role}"))
