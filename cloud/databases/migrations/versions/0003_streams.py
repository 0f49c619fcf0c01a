"""How far each shard of a stream was dealt with. On PostgreSQL the figures that grow without end lie in a partition for each month."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PARTITIONED = ("quarter_figures", "day_figures", "dwell_buckets", "ledger_days")
PARTS = "ivizone_parts"
"""The partitions lie in a schema of their own: whoever lists the tables of the product sees the product's tables."""
MAKE_PART = f"""
CREATE FUNCTION {PARTS}.make_month(wanted date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
  first text := to_char(date_trunc('month', wanted), 'YYYY-MM-DD');
  beyond text := to_char(date_trunc('month', wanted) + interval '1 month', 'YYYY-MM-DD');
  parent text;
  part text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ivizone make_month'));
  FOREACH parent IN ARRAY ARRAY{list(PARTITIONED)!r} LOOP
    part := parent || '_' || to_char(wanted, 'YYYY_MM');
    IF to_regclass(format('{PARTS}.%I', part)) IS NULL THEN
      EXECUTE format('CREATE TABLE {PARTS}.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
      EXECUTE format('WITH moved AS (DELETE FROM {PARTS}.%I WHERE date >= %L AND date < %L RETURNING *) '
        'INSERT INTO {PARTS}.%I SELECT * FROM moved', parent || '_other', first, beyond, part);
      EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION {PARTS}.%I FOR VALUES FROM (%L) TO (%L)',
        parent, part, first, beyond);
    END IF;
  END LOOP;
END $body$
"""  # noqa: S608  names are constants of ours
"""Makes the partitions of a month where they are missing and moves there what waited in the one for all others."""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "stream_shards",
        sa.Column("stream", sa.String(length=128), nullable=False),
        sa.Column("shard", sa.String(length=128), nullable=False),
        sa.Column(
            "place",
            sa.String(length=200),
            nullable=True,
            comment="decimal: sequence number of the last record that was dealt with, and its place in it; absent where the Kinesis Client Library keeps it",
        ),
        sa.Column("is_done", sa.Boolean(), nullable=False, comment="closed, and dealt with to its end"),
        sa.Column(
            "behind_ms", sa.BigInteger(), nullable=False, comment="how old the newest record is that was dealt with"
        ),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "shard", name=op.f("pk_stream_shards")),
    )
    if op.get_bind().dialect.name == "postgresql":
        _partition()


def _partition() -> None:
    op.execute(f"CREATE SCHEMA {PARTS}")
    for table in PARTITIONED:
        key = op.f(f"pk_{table}")
        columns = ", ".join(sa.inspect(op.get_bind()).get_pk_constraint(table)["constrained_columns"])
        op.execute(f"ALTER TABLE {table} RENAME TO {table}_whole")
        op.execute(f"ALTER TABLE {table}_whole DROP CONSTRAINT {key}")
        op.execute(
            f"CREATE TABLE {table} (LIKE {table}_whole INCLUDING COMMENTS INCLUDING DEFAULTS, "
            f"CONSTRAINT {key} PRIMARY KEY ({columns})) PARTITION BY RANGE (date)"
        )
        op.execute(f"CREATE TABLE {PARTS}.{table}_other PARTITION OF {table} DEFAULT")
        op.execute(f"INSERT INTO {table} SELECT * FROM {table}_whole")  # noqa: S608  names are constants of ours
        op.execute(f"DROP TABLE {table}_whole")
    op.execute(MAKE_PART)
    op.execute(f"REVOKE ALL ON FUNCTION {PARTS}.make_month(date) FROM PUBLIC")
