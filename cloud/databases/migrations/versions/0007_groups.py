"""Named groups of stores, which offers may be for; and counters of attempts that all processes share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. What was counted of attempts until now was in the memory of processes, and begins anew."""
    _groups()
    op.create_table(
        "attempts",
        sa.Column("kind", sa.String(length=16), nullable=False, comment="what was tried"),
        sa.Column(
            "name_hash",
            sa.String(length=64),
            nullable=False,
            comment="of an account or a network, under the key below",
        ),
        sa.Column("begun_ms", sa.BigInteger(), nullable=False, comment="when its window began"),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name_hash", name=op.f("pk_attempts")),
    )
    op.create_table(
        "attempt_keys",
        sa.Column("attempt_key", sa.Integer(), autoincrement=False, nullable=False, comment="1: there is one"),
        sa.Column(
            "key",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="of chance, so that a hash without it tells no name",
        ),
        sa.PrimaryKeyConstraint("attempt_key", name=op.f("pk_attempt_keys")),
    )


def _groups() -> None:
    op.create_table(
        "store_groups",
        sa.Column("store_group", sa.String(length=16), nullable=False, comment="its public name"),
        sa.Column("merchant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["merchant"], ["merchants.merchant"], name=op.f("fk_store_groups_merchant_merchants")),
        sa.PrimaryKeyConstraint("store_group", name=op.f("pk_store_groups")),
        sa.UniqueConstraint("merchant", "name", name=op.f("uq_store_groups_merchant")),
    )
    op.create_table(
        "store_group_sites",
        sa.Column("store_group", sa.String(length=16), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["store_group"],
            ["store_groups.store_group"],
            name=op.f("fk_store_group_sites_store_group_store_groups"),
        ),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_store_group_sites_site_sites")),
        sa.PrimaryKeyConstraint("store_group", "site", name=op.f("pk_store_group_sites")),
    )
    op.create_index("ix_store_group_sites_site", "store_group_sites", ["site"], unique=False)
    op.create_table(
        "offer_groups",
        sa.Column("offer", sa.String(length=16), nullable=False),
        sa.Column("store_group", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["offer"], ["offers.offer"], name=op.f("fk_offer_groups_offer_offers")),
        sa.ForeignKeyConstraint(
            ["store_group"], ["store_groups.store_group"], name=op.f("fk_offer_groups_store_group_store_groups")
        ),
        sa.PrimaryKeyConstraint("offer", "store_group", name=op.f("pk_offer_groups")),
    )
    op.create_index("ix_offer_groups_store_group", "offer_groups", ["store_group"], unique=False)
