"""The tables of people: the factors that were fitted to hand counts, and since when which of them is shown. Both only grow."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Integer, String, Table

from cloud.databases.tables import metadata

people_factors = Table(
    "people_factors",
    metadata,
    Column("site", String(64), ForeignKey("sites.site"), primary_key=True),
    Column("version", Integer, primary_key=True, comment="1, 2, 3 ... of each store"),
    Column("factor", Float, nullable=False, comment="people for each visitors' device"),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("counts", Integer, nullable=False, comment="how many hand counts it was fitted to"),
    Column("people", Integer, nullable=False, comment="counted by hand in all"),
    Column(
        "devices", Float, nullable=False, comment="visitors' devices heard meanwhile, by the store's own definition"
    ),
    Column("scatter", Float, nullable=False, comment="of the counts, as a multiple of what chance alone would do"),
    Column("made_ms", BigInteger, nullable=False),
    Column("made_by", String(200), nullable=False),
)

people_shown = Table(
    "people_shown",
    metadata,
    Column("site", String(64), ForeignKey("sites.site"), primary_key=True),
    Column("since_ms", BigInteger, primary_key=True),
    Column("version", Integer, comment="of the factor that is shown; absent: none"),
    Column("made_by", String(200), nullable=False),
)
