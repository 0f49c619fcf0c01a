"""Why access points skipped frames, for each day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Days that were computed before know no reasons until they are computed again."""
    reasons = sa.Column("skipped_reasons", sa.Text(), nullable=True, comment="JSON: reason -> frames")
    op.add_column("ledger_days", reasons)
