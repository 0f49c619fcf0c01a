"""When an access point or a store changed, so that ingest need not ask of each access point again and again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. An instance of the release before does not fill the column: what it changes while both run is seen after half an hour."""
    for name in ("agents", "sites"):
        with op.batch_alter_table(name) as table:
            table.add_column(
                sa.Column(
                    "changed_ms",
                    sa.BigInteger(),
                    nullable=True,
                    comment="when something changed that ingest goes by, by the clock of the process that did it",
                )
            )
            table.create_index(op.f(f"ix_{name}_changed_ms"), ["changed_ms"])
