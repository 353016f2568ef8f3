"""Statistics are kept of the windows of a set as well."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("set_statistics", sa.Column("window_count", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Take back; what was counted of windows goes."""
    op.execute("DELETE FROM set_statistics WHERE window_count IS NOT NULL")
    op.drop_column("set_statistics", "window_count")
