"""Jobs know whether MLflow still holds what their unfinished attempts have left."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("jobs", sa.Column("untidy", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("ck_jobs_untidy"), "jobs", "untidy IN ('FAILED', 'KILLED')")
    op.create_index(
        op.f("ix_jobs_untidy"), "jobs", ["id"], postgresql_where=sa.text("untidy IS NOT NULL")
    )


def downgrade() -> None:
    """Take back."""
    op.drop_column("jobs", "untidy")
