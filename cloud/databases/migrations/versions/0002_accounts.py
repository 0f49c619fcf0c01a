"""Merchants, their people, sessions and tokens; stores belong to a merchant; access points have configurations."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Stores that are there already belong to the merchant ``main``."""
    merchants = op.create_table(
        "merchants",
        sa.Column("merchant", sa.String(length=64), nullable=False),
        sa.Column(
            "name", sa.String(length=200), nullable=False, comment="who answers for the data: it stands on the sign"
        ),
        sa.Column(
            "contact", sa.String(length=300), nullable=False, comment="where people write to; stands on the sign"
        ),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant", name=op.f("pk_merchants")),
    )
    op.create_table(
        "users",
        sa.Column("login", sa.String(length=200), nullable=False),
        sa.Column("merchant", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column(
            "password_hash",
            sa.String(length=200),
            nullable=True,
            comment="argon2id; absent until the first password is chosen",
        ),
        sa.Column("language", sa.String(length=8), nullable=True, comment="absent: the browser's"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role IN ('owner', 'analyst', 'installer')", name=op.f("ck_users_role")),
        sa.ForeignKeyConstraint(["merchant"], ["merchants.merchant"], name=op.f("fk_users_merchant_merchants")),
        sa.PrimaryKeyConstraint("login", name=op.f("pk_users")),
    )
    op.create_index("ix_users_merchant", "users", ["merchant"], unique=False)
    op.create_table(
        "sessions",
        sa.Column(
            "session_hash",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256; the cookie's value is kept nowhere",
        ),
        sa.Column("login", sa.String(length=200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["login"], ["users.login"], name=op.f("fk_sessions_login_users")),
        sa.PrimaryKeyConstraint("session_hash", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_login", "sessions", ["login"], unique=False)
    op.create_table(
        "sign_in_links",
        sa.Column(
            "link_hash", sa.String(length=64), nullable=False, comment="SHA-256; the link itself is kept nowhere"
        ),
        sa.Column("login", sa.String(length=200), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["login"], ["users.login"], name=op.f("fk_sign_in_links_login_users")),
        sa.PrimaryKeyConstraint("link_hash", name=op.f("pk_sign_in_links")),
    )
    op.create_index("ix_sign_in_links_login", "sign_in_links", ["login"], unique=False)
    op.create_table(
        "api_tokens",
        sa.Column("token", sa.String(length=16), nullable=False, comment="its public name"),
        sa.Column(
            "token_hash", sa.String(length=64), nullable=False, comment="SHA-256; the token itself is kept nowhere"
        ),
        sa.Column("merchant", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("scopes", sa.String(length=200), nullable=False, comment="separated by spaces"),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True, comment="last use, to the hour"),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["merchant"], ["merchants.merchant"], name=op.f("fk_api_tokens_merchant_merchants")),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    )
    op.create_index("ix_api_tokens_merchant", "api_tokens", ["merchant"], unique=False)
    op.create_table(
        "audit",
        sa.Column("entry", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("merchant", sa.String(length=64), nullable=False),
        sa.Column("login", sa.String(length=200), nullable=False, comment="who; text, so that it outlives the account"),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False, comment="what it was done to"),
        sa.ForeignKeyConstraint(["merchant"], ["merchants.merchant"], name=op.f("fk_audit_merchant_merchants")),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_merchant", "audit", ["merchant"], unique=False)
    op.create_table(
        "agent_configs",
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="1, 2, 3 ...; the newest is in force"),
        sa.Column("content", sa.Text(), nullable=False, comment="JSON: section -> option -> value"),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["agent"], ["agents.agent"], name=op.f("fk_agent_configs_agent_agents")),
        sa.PrimaryKeyConstraint("agent", "version", name=op.f("pk_agent_configs")),
    )
    clock = sa.Column("clock", sa.String(16), comment="what the last batch said of the access point's clock")
    op.add_column("agents", clock)
    # No foreign key: SQLite adds none to a table that others refer to. `Fleet.add_site` looks whether the merchant is there.
    owner = sa.Column(
        "merchant", sa.String(64), server_default="main", nullable=False, comment="whose store it is; see merchants"
    )
    op.add_column("sites", owner)
    op.create_index("ix_sites_merchant", "sites", ["merchant"], unique=False)
    op.bulk_insert(
        merchants,
        [{"merchant": "main", "name": "Ivizone", "contact": "", "created_ms": time.time_ns() // 1_000_000}],
    )
