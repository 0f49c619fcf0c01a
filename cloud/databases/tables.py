"""The tables of the product, the same on every database. Times are epoch milliseconds, shares 0..1."""

from __future__ import annotations

import time

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
    UniqueConstraint,
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

merchants = Table(
    "merchants",
    metadata,
    Column("merchant", String(64), primary_key=True),
    Column("name", String(200), nullable=False, comment="who answers for the data: it stands on the sign"),
    Column("contact", String(300), nullable=False, comment="where people write to; stands on the sign"),
    Column("created_ms", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("login", String(200), primary_key=True),
    Column("merchant", String(64), ForeignKey("merchants.merchant"), nullable=False),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(200), comment="argon2id; absent until the first password is chosen"),
    Column("language", String(8), comment="absent: the browser's"),
    Column("created_ms", BigInteger, nullable=False),
    CheckConstraint("role IN ('owner', 'analyst', 'installer')", name="role"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_hash", String(64), primary_key=True, comment="SHA-256; the cookie's value is kept nowhere"),
    Column("login", String(200), ForeignKey("users.login"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("link_hash", String(64), primary_key=True, comment="SHA-256; the link itself is kept nowhere"),
    Column("login", String(200), ForeignKey("users.login"), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("token", String(16), primary_key=True, comment="its public name"),
    Column("token_hash", String(64), nullable=False, unique=True, comment="SHA-256; the token itself is kept nowhere"),
    Column("merchant", String(64), ForeignKey("merchants.merchant"), nullable=False),
    Column("label", String(100), nullable=False),
    Column("scopes", String(200), nullable=False, comment="separated by spaces"),
    Column("made_by", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, comment="last use, to the hour"),
    Column("revoked_ms", BigInteger),
)

audit = Table(
    "audit",
    metadata,
    Column("entry", Integer, primary_key=True, autoincrement=True),
    Column("merchant", String(64), ForeignKey("merchants.merchant"), nullable=False),
    Column("login", String(200), nullable=False, comment="who; text, so that it outlives the account"),
    Column("at_ms", BigInteger, nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(200), nullable=False, comment="what it was done to"),
)


def changed_ms() -> Column[int]:
    """A column that every UPDATE sets to the time, unless it says otherwise."""
    return Column(
        "changed_ms",
        BigInteger,
        onupdate=lambda: time.time_ns() // 1_000_000,
        index=True,
        comment="when something changed that ingest goes by, by the clock of the process that did it",
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
    Column("merchant", String(64), nullable=False, server_default="main", comment="whose store it is; see merchants"),
    Column("mode_history", Text, comment="JSON: [[first local date, legal mode], ...]; absent: legal_mode, ever since"),
    changed_ms(),
    CheckConstraint("legal_mode IN ('count', 'day', 'consent')", name="legal_mode"),
)

store_groups = Table(
    "store_groups",
    metadata,
    Column("store_group", String(16), primary_key=True, comment="its public name"),
    Column("merchant", String(64), ForeignKey("merchants.merchant"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("merchant", "name"),
)

store_group_sites = Table(
    "store_group_sites",
    metadata,
    Column("store_group", String(16), ForeignKey("store_groups.store_group"), primary_key=True),
    Column("site", String(64), ForeignKey("sites.site"), primary_key=True),
)

attempts = Table(
    "attempts",
    metadata,
    Column("kind", String(16), primary_key=True, comment="what was tried"),
    Column("name_hash", String(64), primary_key=True, comment="of an account or a network, under the key below"),
    Column("begun_ms", BigInteger, nullable=False, comment="when its window began"),
    Column("tries", Integer, nullable=False),
)

attempt_keys = Table(
    "attempt_keys",
    metadata,
    Column("attempt_key", Integer, primary_key=True, autoincrement=False, comment="1: there is one"),
    Column("key", LargeBinary(32), nullable=False, comment="of chance, so that a hash without it tells no name"),
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
    Column("clock", String(16), comment="what the last batch said of the access point's clock"),
    Column("former_key", LargeBinary(32), comment="the key before public_key: taken for what it signed until then"),
    Column("rekeyed_ms", BigInteger, comment="when public_key took its place"),
    changed_ms(),
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
)

agent_configs = Table(
    "agent_configs",
    metadata,
    Column("agent", String(64), ForeignKey("agents.agent"), primary_key=True),
    Column("version", Integer, primary_key=True, comment="1, 2, 3 ...; the newest is in force"),
    Column("content", Text, nullable=False, comment="JSON: section -> option -> value"),
    Column("made_ms", BigInteger, nullable=False),
    Column("made_by", String(200), nullable=False),
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
    Column("skipped_reasons", Text, comment="JSON: reason -> frames"),
)

stream_shards = Table(
    "stream_shards",
    metadata,
    Column("stream", String(128), primary_key=True),
    Column("shard", String(128), primary_key=True),
    Column(
        "place",
        String(200),
        comment="decimal: sequence number of the last record that was dealt with, and its place in it; absent where the Kinesis Client Library keeps it",
    ),
    Column("is_done", Boolean, nullable=False, comment="closed, and dealt with to its end"),
    Column("behind_ms", BigInteger, nullable=False, comment="how old the newest record is that was dealt with"),
    Column("seen_ms", BigInteger, nullable=False),
)

Index("ix_agents_site", agents.c.site)
Index("ix_sites_merchant", sites.c.merchant)
Index("ix_users_merchant", users.c.merchant)
Index("ix_sessions_login", sessions.c.login)
Index("ix_sign_in_links_login", sign_in_links.c.login)
Index("ix_api_tokens_merchant", api_tokens.c.merchant)
Index("ix_audit_merchant", audit.c.merchant)
Index("ix_store_group_sites_site", store_group_sites.c.site)
