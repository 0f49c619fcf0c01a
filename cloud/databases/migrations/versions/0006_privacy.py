"""What is erased when, and the proof of it; modes by day; former keys; opt-outs. The audit only grows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

AUDIT_YEARS_MS = 3 * 365 * 86_400_000
"""A copy of cloud.domain.retention.AUDIT_MS: a migration does not change when the code does."""


def upgrade() -> None:
    """Apply. Stores that are there run in their mode ever since; what they hold is erased at the next run of retention."""
    with op.batch_alter_table("sites") as table:
        table.add_column(
            sa.Column(
                "mode_history",
                sa.Text(),
                nullable=True,
                comment="JSON: [[first local date, legal mode], ...]; absent: legal_mode, ever since",
            )
        )
    with op.batch_alter_table("agents") as table:
        table.add_column(
            sa.Column(
                "former_key",
                sa.LargeBinary(length=32),
                nullable=True,
                comment="the key before public_key: taken for what it signed until then",
            )
        )
        table.add_column(
            sa.Column("rekeyed_ms", sa.BigInteger(), nullable=True, comment="when public_key took its place")
        )
    op.create_table(
        "held_days",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False, comment="when something of single devices came last"),
        sa.Column(
            "closed_ms",
            sa.BigInteger(),
            nullable=True,
            comment="when it was erased; from then on nothing of that day is taken",
        ),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_held_days_site_sites")),
        sa.PrimaryKeyConstraint("site", "date", name=op.f("pk_held_days")),
    )
    op.create_table(
        "set_aside",
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("boot", sa.String(length=16), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False, comment="local date of the batch's window"),
        sa.Column("sightings", sa.BigInteger(), nullable=False, comment="how many were not taken"),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("object", sa.String(length=200), nullable=True, comment="where the message lies, until it is erased"),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('refused', 'quarantined', 'withheld')", name=op.f("ck_set_aside_kind")),
        sa.PrimaryKeyConstraint("agent", "boot", "batch", "kind", name=op.f("pk_set_aside")),
    )
    op.create_index("ix_set_aside_site", "set_aside", ["site", "date"], unique=False)
    op.create_table(
        "closed_ledgers",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column(
            "content", sa.Text(), nullable=False, comment="JSON, as it was before the day's sightings were erased"
        ),
        sa.PrimaryKeyConstraint("site", "date", "agent", name=op.f("pk_closed_ledgers")),
    )
    op.create_table(
        "receipts",
        sa.Column("receipt", sa.Integer(), autoincrement=False, nullable=False, comment="1, 2, 3 ... without a gap"),
        sa.Column("line", sa.Text(), nullable=False, comment="one line of agent/wire/receipts.py, as it is exported"),
        sa.PrimaryKeyConstraint("receipt", name=op.f("pk_receipts")),
    )
    op.create_table(
        "opt_outs",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column(
            "key",
            sa.LargeBinary(length=16),
            nullable=False,
            comment="public: it spreads addresses over the filter's bits",
        ),
        sa.Column("filter", sa.LargeBinary(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_opt_outs_site_sites")),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_opt_outs")),
    )
    op.create_table(
        "opt_out_shares",
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=False,
            comment="an access point's own filter, which only its store's can open",
        ),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["agent"], ["agents.agent"], name=op.f("fk_opt_out_shares_agent_agents")),
        sa.PrimaryKeyConstraint("agent", name=op.f("pk_opt_out_shares")),
    )
    _only_grow()


def _only_grow() -> None:
    """No entry of the audit is altered, and none goes before its time, whoever is at the database with the product's own rights."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN "
            "IF TG_OP = 'DELETE' THEN IF OLD.at_ms < extract(epoch FROM now()) * 1000 "
            f"- {AUDIT_YEARS_MS} THEN RETURN OLD; END IF; END IF; "
            "RAISE EXCEPTION 'the audit only grows'; END $body$"
        )
        op.execute(
            "CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE ON audit "
            "FOR EACH ROW EXECUTE FUNCTION audit_only_grows()"
        )
        return
    op.execute(
        "CREATE TRIGGER audit_not_altered BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END"
    )
    op.execute(
        "CREATE TRIGGER audit_not_erased BEFORE DELETE ON audit "
        f"WHEN OLD.at_ms >= CAST(strftime('%s', 'now') AS INTEGER) * 1000 - {AUDIT_YEARS_MS} "
        "BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END"
    )
