"""Scorings part by part; predictions without a foreign key's check per row."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

FOREIGN_KEYS = {
    "fk_predictions_dataset_id_datasets": ("datasets", "dataset_id"),
    "fk_predictions_model_version_id_model_versions": ("model_versions", "model_version_id"),
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "scoring_parts",
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("set_name", sa.Text(), nullable=False),
        sa.Column("first_sample_id", sa.BigInteger(), nullable=False),
        sa.Column("end_sample_id", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("tally", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "set_name IN ('training', 'testing', 'production')",
            name=op.f("ck_scoring_parts_set_name"),
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_scoring_parts_dataset_id_datasets")
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_scoring_parts_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint(
            "model_version_id",
            "dataset_id",
            "set_name",
            "first_sample_id",
            name=op.f("pk_scoring_parts"),
        ),
    )
    for name in FOREIGN_KEYS:
        op.drop_constraint(op.f(name), "predictions", type_="foreignkey")


def downgrade() -> None:
    """Take back."""
    op.drop_table("scoring_parts")
    for name, (table, column) in FOREIGN_KEYS.items():
        op.create_foreign_key(op.f(name), "predictions", table, [column], ["id"])
