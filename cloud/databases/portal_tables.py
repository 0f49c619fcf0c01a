"""The tables of the store's page: offers, codes, consents, shoppers who agreed. None has a column for an address or a pseudonym.

Who agreed is known by hashes of tokens; a code names no shopper and no time of day. docs/adr/0016-portal.md says why.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from cloud.databases.tables import metadata

offers = Table(
    "offers",
    metadata,
    Column("offer", String(16), primary_key=True),
    Column("merchant", String(64), ForeignKey("merchants.merchant"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("texts", Text, nullable=False, comment="JSON: variant -> language -> [title, body]"),
    Column("rules", Text, nullable=False, comment="JSON: schedule, audience, codes, trial (cloud.portal.offers)"),
    Column("codes_left", Integer, comment="absent: no limit"),
    Column("made_by", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("stopped_ms", BigInteger),
    CheckConstraint("state IN ('draft', 'running', 'stopped')", name="state"),
)

offer_sites = Table(
    "offer_sites",
    metadata,
    Column("offer", String(16), ForeignKey("offers.offer"), primary_key=True),
    Column("site", String(64), ForeignKey("sites.site"), primary_key=True),
)

offer_groups = Table(
    "offer_groups",
    metadata,
    Column("offer", String(16), ForeignKey("offers.offer"), primary_key=True),
    Column("store_group", String(16), ForeignKey("store_groups.store_group"), primary_key=True),
)

codes = Table(
    "codes",
    metadata,
    Column("code_hash", String(64), primary_key=True, comment="SHA-256; the code itself is kept nowhere"),
    Column("offer", String(16), ForeignKey("offers.offer"), nullable=False),
    Column("variant", String(1), nullable=False),
    Column("last_date", String(10), nullable=False, comment="last day on which a till takes it"),
    Column("used_date", String(10), comment="the day only: a time could be laid beside a sighting"),
    Column("used_site", String(64)),
    sqlite_with_rowid=False,  # a rowid would keep the order in which codes were drawn, and so who drew them
)

till_tokens = Table(
    "till_tokens",
    metadata,
    Column("token", String(16), primary_key=True, comment="its public name"),
    Column("token_hash", String(64), nullable=False, unique=True, comment="SHA-256; the token itself is kept nowhere"),
    Column("site", String(64), ForeignKey("sites.site"), nullable=False),
    Column("label", String(100), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

consent_texts = Table(
    "consent_texts",
    metadata,
    Column("version", String(16), primary_key=True, comment="SHA-256 of the text, first 16 digits"),
    Column("language", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
)

consents = Table(
    "consents",
    metadata,
    Column("consent", String(16), primary_key=True, comment="the receipt's number"),
    Column("site", String(64), ForeignKey("sites.site"), nullable=False),
    Column("version", String(16), ForeignKey("consent_texts.version"), nullable=False),
    Column("given_ms", BigInteger, nullable=False),
    Column("withdrawn_ms", BigInteger),
)

shoppers = Table(
    "shoppers",
    metadata,
    Column("shopper", String(24), primary_key=True, comment="of chance; leaves the database nowhere"),
    Column("site", String(64), ForeignKey("sites.site"), nullable=False),
    Column("consent", String(16), ForeignKey("consents.consent"), nullable=False),
    Column("until_ms", BigInteger, nullable=False, comment="13 months after the consent at the latest"),
)

shopper_tokens = Table(
    "shopper_tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True, comment="SHA-256; the token itself is kept nowhere"),
    Column("shopper", String(24), ForeignKey("shoppers.shopper"), nullable=False),
    Column("sealed", Text, nullable=False, comment="seeds of codes, which only the token opens"),
    Column("expires_ms", BigInteger, nullable=False),
    Column("lasts", Boolean, nullable=False, comment="false: the access point's token of one day"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("visit_hash", String(64), primary_key=True, comment="SHA-256 of the access point's token of the day"),
    Column("site", String(64), ForeignKey("sites.site"), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

shopper_visits = Table(
    "shopper_visits",
    metadata,
    Column("shopper", String(24), ForeignKey("shoppers.shopper"), primary_key=True),
    Column("date", String(10), primary_key=True),
    Column(
        "opened_ms", BigInteger, comment="first time the page was opened, to the minute; cleared when the day is over"
    ),
)

trials = Table(
    "trials",
    metadata,
    Column("offer", String(16), ForeignKey("offers.offer"), primary_key=True),
    Column("shopper", String(24), ForeignKey("shoppers.shopper"), primary_key=True),
    Column("arm", String(8), nullable=False),
    Column("date", String(10), nullable=False, comment="the day on which the offer was first due for them"),
    CheckConstraint("arm IN ('a', 'b', 'holdout')", name="arm"),
)

trial_tallies = Table(
    "trial_tallies",
    metadata,
    Column("offer", String(16), ForeignKey("offers.offer"), primary_key=True),
    Column("arm", String(8), primary_key=True),
    Column("shoppers", Integer, nullable=False, comment="whose own rows are erased"),
    Column("returned", Integer, nullable=False),
)

Index("ix_offers_merchant", offers.c.merchant)
Index("ix_offer_sites_site", offer_sites.c.site)
Index("ix_offer_groups_store_group", offer_groups.c.store_group)
Index("ix_codes_offer", codes.c.offer)
Index("ix_till_tokens_site", till_tokens.c.site)
Index("ix_shoppers_consent", shoppers.c.consent)
Index("ix_shopper_tokens_shopper", shopper_tokens.c.shopper)
Index("ix_trials_shopper", trials.c.shopper)
