"""Searches may be jobs: their queue, and the candidates that an interrupted one has tried."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "search_candidates",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("candidate", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("scores", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_search_candidates_job_id_jobs")
        ),
        sa.PrimaryKeyConstraint("job_id", "model_name", "key", name=op.f("pk_search_candidates")),
    )
    op.add_column("searches", sa.Column("job_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(op.f("fk_searches_job_id_jobs"), "searches", "jobs", ["job_id"], ["id"])
    op.create_unique_constraint(op.f("uq_searches_job_id"), "searches", ["job_id"])
    op.drop_constraint(op.f("ck_searches_state"), "searches", type_="check")
    op.create_check_constraint(
        op.f("ck_searches_state"),
        "searches",
        "state IN ('running', 'finished', 'failed', 'cancelled')",
    )
    # The job queue's own tables are made by the program that runs the searches.
    op.execute("CREATE SCHEMA IF NOT EXISTS searches_queue")


def downgrade() -> None:
    """Take back."""
    op.execute("DROP SCHEMA IF EXISTS searches_queue CASCADE")
    op.drop_constraint(op.f("ck_searches_state"), "searches", type_="check")
    op.execute("UPDATE searches SET state = 'failed' WHERE state = 'cancelled'")
    op.create_check_constraint(
        op.f("ck_searches_state"), "searches", "state IN ('running', 'finished', 'failed')"
    )
    op.drop_column("searches", "job_id")
    op.drop_table("search_candidates")
    # The versions before this one take every job for a training.
    op.execute("DELETE FROM jobs WHERE kind = 'search'")
