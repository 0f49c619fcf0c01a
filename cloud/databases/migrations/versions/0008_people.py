"""People behind devices: factors fitted to hand counts, and which is shown since when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Nothing is shown until somebody asks for it."""
    op.create_table(
        "people_factors",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="1, 2, 3 ... of each store"),
        sa.Column("factor", sa.Float(), nullable=False, comment="people for each visitors' device"),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("counts", sa.Integer(), nullable=False, comment="how many hand counts it was fitted to"),
        sa.Column("people", sa.Integer(), nullable=False, comment="counted by hand in all"),
        sa.Column(
            "devices",
            sa.Float(),
            nullable=False,
            comment="visitors' devices heard meanwhile, by the store's own definition",
        ),
        sa.Column(
            "scatter", sa.Float(), nullable=False, comment="of the counts, as a multiple of what chance alone would do"
        ),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_people_factors_site_sites")),
        sa.PrimaryKeyConstraint("site", "version", name=op.f("pk_people_factors")),
    )
    op.create_table(
        "people_shown",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True, comment="of the factor that is shown; absent: none"),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_people_shown_site_sites")),
        sa.PrimaryKeyConstraint("site", "since_ms", name=op.f("pk_people_shown")),
    )
