"""Serving: slots with their state, forms to serve, prediction log, labels, jobs, roll-outs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("dataset_name", sa.Text(), nullable=True),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("progress", sa.Double(), server_default="0", nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.CheckConstraint("progress BETWEEN 0 AND 1", name=op.f("ck_jobs_progress")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_created_at"), "jobs", ["created_at"], unique=False)
    op.create_index(
        "uq_jobs_one_retraining",
        "jobs",
        ["dataset_name"],
        unique=True,
        postgresql_where="kind = 'retrain' AND state IN ('queued', 'running')",
    )
    op.create_table(
        "labels",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("num_nonnulls(label, value) >= 1", name=op.f("ck_labels_one_label")),
        sa.PrimaryKeyConstraint("request_id", "row_number", name=op.f("pk_labels")),
    )
    op.create_table(
        "training_rows",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset_name", sa.Text(), nullable=False),
        sa.Column("features", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("target", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_training_rows_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_rows")),
        sa.UniqueConstraint("request_id", name=op.f("uq_training_rows_request_id")),
    )
    op.create_index(
        op.f("ix_training_rows_dataset_name_job_id"),
        "training_rows",
        ["dataset_name", "job_id"],
        unique=False,
    )
    op.create_table(
        "drift_checks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=True),
        sa.Column("registered_name", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("share_drifted", sa.Double(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "verdict IN ('drift', 'no_drift', 'too_few_rows')", name=op.f("ck_drift_checks_verdict")
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_drift_checks_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_checks")),
    )
    op.create_index(
        op.f("ix_drift_checks_created_at"), "drift_checks", ["created_at"], unique=False
    )
    op.create_table(
        "prediction_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("inputs", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("predicted_class", sa.Text(), nullable=True),
        sa.Column("predicted_value", sa.Double(), nullable=True),
        sa.Column("probabilities", sa.ARRAY(sa.Double()), nullable=True),
        sa.Column("latency_us", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "slot IN ('current', 'next', 'shadow', 'inference')",
            name=op.f("ck_prediction_log_slot"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(predicted_class, predicted_value, error) = 1",
            name=op.f("ck_prediction_log_one_outcome"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction_log")),
    )
    op.create_index(
        op.f("ix_prediction_log_created_at"),
        "prediction_log",
        ["created_at"],
        unique=False,
        postgresql_using="brin",
    )
    op.create_index(
        "uq_prediction_log_answered",
        "prediction_log",
        ["request_id", "row_number"],
        unique=True,
        postgresql_where="slot <> 'shadow' AND error IS NULL",
    )
    op.create_table(
        "serving_models",
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("input_schema", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("classes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("class_names", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("parity", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "runtime IN ('onnx', 'sklearn')", name=op.f("ck_serving_models_runtime")
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_serving_models_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("model_version_id", name=op.f("pk_serving_models")),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column("plan", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("step", sa.Integer(), server_default="0", nullable=False),
        sa.Column("current_version_id", sa.BigInteger(), nullable=False),
        sa.Column("next_version_id", sa.BigInteger(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "step_started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('running', 'completed', 'rolled_back', 'superseded', 'cancelled')",
            name=op.f("ck_rollouts_state"),
        ),
        sa.ForeignKeyConstraint(
            ["current_version_id"],
            ["model_versions.id"],
            name=op.f("fk_rollouts_current_version_id_model_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployments.id"],
            name=op.f("fk_rollouts_deployment_id_deployments"),
        ),
        sa.ForeignKeyConstraint(
            ["next_version_id"],
            ["model_versions.id"],
            name=op.f("fk_rollouts_next_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
    )
    op.create_index(
        "uq_rollouts_one_running",
        "rollouts",
        ["state"],
        unique=True,
        postgresql_where="state = 'running'",
    )
    op.create_table(
        "rollout_decisions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("rollout_id", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("next_share", sa.Double(), nullable=False),
        sa.Column("numbers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployments.id"],
            name=op.f("fk_rollout_decisions_deployment_id_deployments"),
        ),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_decisions_rollout_id_rollouts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_decisions")),
    )
    op.create_index(
        op.f("ix_rollout_decisions_rollout_id"), "rollout_decisions", ["rollout_id"], unique=False
    )
    op.add_column(
        "datasets", sa.Column("class_names", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.add_column("deployments", sa.Column("current_version_id", sa.BigInteger(), nullable=True))
    op.add_column("deployments", sa.Column("next_version_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "deployments",
        sa.Column("canary_probability", sa.Double(), server_default="1", nullable=False),
    )
    op.add_column(
        "deployments", sa.Column("shadow", sa.Boolean(), server_default="false", nullable=False)
    )
    op.alter_column("deployments", "model_name", existing_type=sa.TEXT(), nullable=True)
    op.alter_column(
        "deployments",
        "hyperparameters",
        existing_type=postgresql.JSONB(astext_type=sa.Text()),
        nullable=True,
    )
    op.alter_column(
        "deployments",
        "created_at",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        server_default=sa.text("clock_timestamp()"),
        existing_nullable=False,
    )
    op.create_index(op.f("ix_deployments_created_at"), "deployments", ["created_at"], unique=False)
    op.create_foreign_key(
        op.f("fk_deployments_next_version_id_model_versions"),
        "deployments",
        "model_versions",
        ["next_version_id"],
        ["id"],
    )
    op.create_foreign_key(
        op.f("fk_deployments_current_version_id_model_versions"),
        "deployments",
        "model_versions",
        ["current_version_id"],
        ["id"],
    )
    op.add_column("model_versions", sa.Column("drift_sample_id", sa.Text(), nullable=True))
    op.alter_column("model_versions", "dataset_id", existing_type=sa.BIGINT(), nullable=True)
    op.alter_column(
        "model_versions", "training_content_hash", existing_type=sa.TEXT(), nullable=True
    )
    op.alter_column("model_versions", "fingerprint", existing_type=sa.TEXT(), nullable=True)
    op.drop_constraint(op.f("ck_deployments_slot"), "deployments", type_="check")
    op.create_check_constraint(
        op.f("ck_deployments_slot"), "deployments", "slot IN ('current', 'next', 'split')"
    )
    op.create_check_constraint(
        op.f("ck_deployments_canary_probability"),
        "deployments",
        "canary_probability BETWEEN 0 AND 1",
    )
    # What served after each earlier entry: the last version that was trained until then.
    op.execute(
        """
        UPDATE deployments SET current_version_id = (
            SELECT earlier.model_version_id FROM deployments earlier
            WHERE earlier.slot = 'current' AND earlier.id <= deployments.id
              AND earlier.model_version_id IS NOT NULL
            ORDER BY earlier.id DESC LIMIT 1)
        """
    )
    # The job queue's own tables are made by the program that runs the jobs.
    op.execute("CREATE SCHEMA IF NOT EXISTS jobs_queue")


def downgrade() -> None:
    """Take back."""
    op.execute("DROP SCHEMA IF EXISTS jobs_queue CASCADE")
    op.drop_table("rollout_decisions")
    op.drop_table("rollouts")
    op.drop_table("serving_models")
    op.drop_table("prediction_log")
    op.drop_table("drift_checks")
    op.drop_table("training_rows")
    op.drop_table("labels")
    op.drop_table("jobs")
    # What only this version can say is lost.
    op.execute("DELETE FROM deployments WHERE slot = 'split' OR model_name IS NULL")
    op.drop_constraint(op.f("ck_deployments_canary_probability"), "deployments", type_="check")
    op.drop_constraint(op.f("ck_deployments_slot"), "deployments", type_="check")
    op.create_check_constraint(
        op.f("ck_deployments_slot"), "deployments", "slot IN ('current', 'next')"
    )
    op.drop_index(op.f("ix_deployments_created_at"), table_name="deployments")
    for column in ("shadow", "canary_probability", "next_version_id", "current_version_id"):
        op.drop_column("deployments", column)
    op.execute("UPDATE deployments SET hyperparameters = '{}' WHERE hyperparameters IS NULL")
    op.alter_column("deployments", "model_name", nullable=False)
    op.alter_column("deployments", "hyperparameters", nullable=False)
    op.alter_column("deployments", "created_at", server_default=sa.text("now()"))
    op.drop_column("datasets", "class_names")
    op.drop_column("model_versions", "drift_sample_id")
    op.execute(
        "UPDATE deployments SET model_version_id = NULL WHERE model_version_id IN"
        " (SELECT id FROM model_versions WHERE fingerprint IS NULL OR dataset_id IS NULL)"
    )
    op.execute("DELETE FROM model_versions WHERE fingerprint IS NULL OR dataset_id IS NULL")
    op.alter_column("model_versions", "dataset_id", nullable=False)
    op.alter_column("model_versions", "training_content_hash", nullable=False)
    op.alter_column("model_versions", "fingerprint", nullable=False)
