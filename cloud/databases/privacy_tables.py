"""The tables of keeping and erasing: days that hold single devices, batches set aside, closed ledgers, receipts, opt-outs.

None has a column for an address or a pseudonym. An opt-out will be bits of a filter, never an address.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from cloud.databases.tables import metadata

held_days = Table(
    "held_days",
    metadata,
    Column("site", String(64), ForeignKey("sites.site"), primary_key=True),
    Column("date", String(10), primary_key=True),
    Column("received_ms", BigInteger, nullable=False, comment="when something of single devices came last"),
    Column("closed_ms", BigInteger, comment="when it was erased; from then on nothing of that day is taken"),
)

set_aside = Table(
    "set_aside",
    metadata,
    Column("agent", String(64), primary_key=True),
    Column("boot", String(16), primary_key=True),
    Column("batch", BigInteger, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("date", String(10), nullable=False, comment="local date of the batch's window"),
    Column("sightings", BigInteger, nullable=False, comment="how many were not taken"),
    Column("reason", String(300), nullable=False),
    Column("object", String(200), comment="where the message lies, until it is erased"),
    Column("at_ms", BigInteger, nullable=False),
    CheckConstraint("kind IN ('refused', 'quarantined', 'withheld')", name="kind"),
)

closed_ledgers = Table(
    "closed_ledgers",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("date", String(10), primary_key=True),
    Column("agent", String(64), primary_key=True),
    Column("content", Text, nullable=False, comment="JSON, as it was before the day's sightings were erased"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("receipt", Integer, primary_key=True, autoincrement=False, comment="1, 2, 3 ... without a gap"),
    Column("line", Text, nullable=False, comment="one line of agent/wire/receipts.py, as it is exported"),
)

opt_outs = Table(
    "opt_outs",
    metadata,
    Column("site", String(64), ForeignKey("sites.site"), primary_key=True),
    Column("key", LargeBinary(16), nullable=False, comment="public: it spreads addresses over the filter's bits"),
    Column("filter", LargeBinary, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)

opt_out_shares = Table(
    "opt_out_shares",
    metadata,
    Column("agent", String(64), ForeignKey("agents.agent"), primary_key=True),
    Column(
        "sealed", LargeBinary, nullable=False, comment="an access point's own filter, which only its store's can open"
    ),
    Column("changed_ms", BigInteger, nullable=False),
)

Index("ix_set_aside_site", set_aside.c.site, set_aside.c.date)
