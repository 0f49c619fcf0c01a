"""Sites, agents, enrolment, figures and the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "day_figures",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("preset", sa.String(length=32), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column(
            "devices",
            sa.Integer(),
            nullable=False,
            comment="how many devices the figure rests on; below 5 it is not shown",
        ),
        sa.Column("coverage", sa.Float(), nullable=True),
        sa.Column("computed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "date", "preset", "metric", name=op.f("pk_day_figures")),
    )
    op.create_table(
        "dirty_days",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column(
            "since_ms", sa.BigInteger(), nullable=False, comment="when the first change came that no figure knows of"
        ),
        sa.PrimaryKeyConstraint("site", "date", name=op.f("pk_dirty_days")),
    )
    op.create_table(
        "dwell_buckets",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("preset", sa.String(length=32), nullable=False),
        sa.Column("from_s", sa.Integer(), nullable=False),
        sa.Column("to_s", sa.Integer(), nullable=True, comment="absent in the last bucket"),
        sa.Column("visits", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("site", "date", "preset", "from_s", name=op.f("pk_dwell_buckets")),
    )
    op.create_table(
        "ledger_days",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("probe_requests", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("kernel_drops", sa.BigInteger(), nullable=False),
        sa.Column("evicted_batches", sa.BigInteger(), nullable=False),
        sa.Column("listening_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_window_end_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "date", "agent", name=op.f("pk_ledger_days")),
    )
    op.create_table(
        "quarter_figures",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("preset", sa.String(length=32), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("devices", sa.Integer(), nullable=False),
        sa.Column("coverage", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("site", "date", "preset", "start_ms", "metric", name=op.f("pk_quarter_figures")),
    )
    op.create_table(
        "sites",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column(
            "opening_hours",
            sa.Text(),
            nullable=False,
            comment="JSON: weekday 0..6 (Monday 0) -> [[opens, closes], ...] as HH:MM",
        ),
        sa.Column("legal_mode", sa.String(length=16), nullable=False),
        sa.Column("allows_replay", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("legal_mode IN ('count', 'day', 'consent')", name=op.f("ck_sites_legal_mode")),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_sites")),
    )
    op.create_table(
        "agents",
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("software", sa.String(length=128), nullable=False),
        sa.Column("last_batch_ms", sa.BigInteger(), nullable=True, comment="end of the newest window"),
        sa.Column("last_received_ms", sa.BigInteger(), nullable=True),
        sa.Column("config_hash", sa.String(length=16), nullable=True),
        sa.CheckConstraint("state IN ('active', 'revoked')", name=op.f("ck_agents_state")),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_agents_site_sites")),
        sa.PrimaryKeyConstraint("agent", name=op.f("pk_agents")),
    )
    op.create_index("ix_agents_site", "agents", ["site"], unique=False)
    op.create_table(
        "enrolment_tokens",
        sa.Column(
            "token_hash",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256, hexadecimal; the token itself is kept nowhere",
        ),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_enrolment_tokens_site_sites")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_enrolment_tokens")),
    )
