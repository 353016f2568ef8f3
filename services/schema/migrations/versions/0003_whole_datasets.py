"""Datasets kept whole: which column is the id, how many rows there are, what they look like."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("datasets", sa.Column("id_column", sa.Text(), nullable=True))
    op.add_column("datasets", sa.Column("row_count", sa.BigInteger(), nullable=True))
    op.add_column(
        "datasets", sa.Column("profile", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )


def downgrade() -> None:
    """Take back."""
    # The versions before this one know a set's rows only.
    op.execute(
        """
        DO $$ DECLARE source text; BEGIN
            FOR source IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                WHERE schemaname = 'samples' AND tablename ~ '_v[0-9]+_source$'
            LOOP EXECUTE 'DROP TABLE ' || source; END LOOP;
        END $$
        """
    )
    for column in ("profile", "row_count", "id_column"):
        op.drop_column("datasets", column)
