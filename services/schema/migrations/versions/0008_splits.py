"""Datasets name their time, group and split columns; loaded sets the split they come from."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = ("time_column", "group_column", "split_column")


def upgrade() -> None:
    """Apply."""
    for column in COLUMNS:
        op.add_column("datasets", sa.Column(column, sa.Text(), nullable=True))
    op.add_column(
        "datasets",
        sa.Column("time_is_feature", sa.Boolean(), server_default="false", nullable=False),
    )
    op.add_column(
        "set_loads", sa.Column("split", sa.Text(), server_default="stratified", nullable=False)
    )
    # Regressions were cut at random.
    op.execute(
        "UPDATE set_loads SET split = 'random' FROM datasets"
        " WHERE datasets.id = set_loads.dataset_id AND datasets.task = 'regression'"
    )
    op.create_check_constraint(
        op.f("ck_set_loads_split"),
        "set_loads",
        "split IN ('stratified', 'random', 'time', 'group', 'column')",
    )


def downgrade() -> None:
    """Take back."""
    op.drop_column("set_loads", "split")
    for column in ("time_is_feature", *COLUMNS):
        op.drop_column("datasets", column)
