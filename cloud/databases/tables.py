"""The tables of the product, the same on every database. Times are epoch milliseconds, shares 0..1."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

sites = Table(
    "sites",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column(
        "opening_hours",
        Text,
        nullable=False,
        comment="JSON: weekday 0..6 (Monday 0) -> [[opens, closes], ...] as HH:MM",
    ),
    Column("legal_mode", String(16), nullable=False),
    Column("allows_replay", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    CheckConstraint("legal_mode IN ('count', 'day', 'consent')", name="legal_mode"),
)

agents = Table(
    "agents",
    metadata,
    Column("agent", String(64), primary_key=True),
    Column("site", String(64), ForeignKey("sites.site"), nullable=False),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("software", String(128), nullable=False),
    Column("last_batch_ms", BigInteger, comment="end of the newest window"),
    Column("last_received_ms", BigInteger),
    Column("config_hash", String(16)),
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
)

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    Column(
        "token_hash", String(64), primary_key=True, comment="SHA-256, hexadecimal; the token itself is kept nowhere"
    ),
    Column("site", String(64), ForeignKey("sites.site"), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)

dirty_days = Table(
    "dirty_days",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("date", String(10), primary_key=True),
    Column("since_ms", BigInteger, nullable=False, comment="when the first change came that no figure knows of"),
)

day_figures = Table(
    "day_figures",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("date", String(10), primary_key=True),
    Column("preset", String(32), primary_key=True),
    Column("metric", String(32), primary_key=True),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("devices", Integer, nullable=False, comment="how many devices the figure rests on; below 5 it is not shown"),
    Column("coverage", Float),
    Column("computed_ms", BigInteger, nullable=False),
)

quarter_figures = Table(
    "quarter_figures",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("date", String(10), primary_key=True),
    Column("preset", String(32), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("metric", String(32), primary_key=True),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("devices", Integer, nullable=False),
    Column("coverage", Float),
)

dwell_buckets = Table(
    "dwell_buckets",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("date", String(10), primary_key=True),
    Column("preset", String(32), primary_key=True),
    Column("from_s", Integer, primary_key=True),
    Column("to_s", Integer, comment="absent in the last bucket"),
    Column("visits", Integer, nullable=False),
)

ledger_days = Table(
    "ledger_days",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("date", String(10), primary_key=True),
    Column("agent", String(64), primary_key=True),
    Column("batches", Integer, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("probe_requests", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("kernel_drops", BigInteger, nullable=False),
    Column("evicted_batches", BigInteger, nullable=False),
    Column("listening_ms", BigInteger, nullable=False),
    Column("last_window_end_ms", BigInteger, nullable=False),
)

Index("ix_agents_site", agents.c.site)
