"""The store's page: offers, codes, consents, and shoppers who agreed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "consent_texts",
        sa.Column("version", sa.String(length=16), nullable=False, comment="SHA-256 of the text, first 16 digits"),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_consent_texts")),
    )
    op.create_table(
        "consents",
        sa.Column("consent", sa.String(length=16), nullable=False, comment="the receipt's number"),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=16), nullable=False),
        sa.Column("given_ms", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_consents_site_sites")),
        sa.ForeignKeyConstraint(["version"], ["consent_texts.version"], name=op.f("fk_consents_version_consent_texts")),
        sa.PrimaryKeyConstraint("consent", name=op.f("pk_consents")),
    )
    op.create_table(
        "offers",
        sa.Column("offer", sa.String(length=16), nullable=False),
        sa.Column("merchant", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("texts", sa.Text(), nullable=False, comment="JSON: variant -> language -> [title, body]"),
        sa.Column(
            "rules", sa.Text(), nullable=False, comment="JSON: schedule, audience, codes, trial (cloud.portal.offers)"
        ),
        sa.Column("codes_left", sa.Integer(), nullable=True, comment="absent: no limit"),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("stopped_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('draft', 'running', 'stopped')", name=op.f("ck_offers_state")),
        sa.ForeignKeyConstraint(["merchant"], ["merchants.merchant"], name=op.f("fk_offers_merchant_merchants")),
        sa.PrimaryKeyConstraint("offer", name=op.f("pk_offers")),
    )
    op.create_index("ix_offers_merchant", "offers", ["merchant"], unique=False)
    op.create_table(
        "refusals",
        sa.Column(
            "visit_hash", sa.String(length=64), nullable=False, comment="SHA-256 of the access point's token of the day"
        ),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_refusals_site_sites")),
        sa.PrimaryKeyConstraint("visit_hash", name=op.f("pk_refusals")),
    )
    op.create_table(
        "till_tokens",
        sa.Column("token", sa.String(length=16), nullable=False, comment="its public name"),
        sa.Column(
            "token_hash", sa.String(length=64), nullable=False, comment="SHA-256; the token itself is kept nowhere"
        ),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_till_tokens_site_sites")),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_till_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_till_tokens_token_hash")),
    )
    op.create_index("ix_till_tokens_site", "till_tokens", ["site"], unique=False)
    op.create_table(
        "codes",
        sa.Column(
            "code_hash", sa.String(length=64), nullable=False, comment="SHA-256; the code itself is kept nowhere"
        ),
        sa.Column("offer", sa.String(length=16), nullable=False),
        sa.Column("variant", sa.String(length=1), nullable=False),
        sa.Column("last_date", sa.String(length=10), nullable=False, comment="last day on which a till takes it"),
        sa.Column(
            "used_date",
            sa.String(length=10),
            nullable=True,
            comment="the day only: a time could be laid beside a sighting",
        ),
        sa.Column("used_site", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["offer"], ["offers.offer"], name=op.f("fk_codes_offer_offers")),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_codes")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_codes_offer", "codes", ["offer"], unique=False)
    op.create_table(
        "offer_sites",
        sa.Column("offer", sa.String(length=16), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["offer"], ["offers.offer"], name=op.f("fk_offer_sites_offer_offers")),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_offer_sites_site_sites")),
        sa.PrimaryKeyConstraint("offer", "site", name=op.f("pk_offer_sites")),
    )
    op.create_index("ix_offer_sites_site", "offer_sites", ["site"], unique=False)
    op.create_table(
        "shoppers",
        sa.Column("shopper", sa.String(length=24), nullable=False, comment="of chance; leaves the database nowhere"),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("consent", sa.String(length=16), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False, comment="13 months after the consent at the latest"),
        sa.ForeignKeyConstraint(["consent"], ["consents.consent"], name=op.f("fk_shoppers_consent_consents")),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_shoppers_site_sites")),
        sa.PrimaryKeyConstraint("shopper", name=op.f("pk_shoppers")),
    )
    op.create_index("ix_shoppers_consent", "shoppers", ["consent"], unique=False)
    op.create_table(
        "trial_tallies",
        sa.Column("offer", sa.String(length=16), nullable=False),
        sa.Column("arm", sa.String(length=8), nullable=False),
        sa.Column("shoppers", sa.Integer(), nullable=False, comment="whose own rows are erased"),
        sa.Column("returned", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["offer"], ["offers.offer"], name=op.f("fk_trial_tallies_offer_offers")),
        sa.PrimaryKeyConstraint("offer", "arm", name=op.f("pk_trial_tallies")),
    )
    op.create_table(
        "shopper_tokens",
        sa.Column(
            "token_hash", sa.String(length=64), nullable=False, comment="SHA-256; the token itself is kept nowhere"
        ),
        sa.Column("shopper", sa.String(length=24), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False, comment="seeds of codes, which only the token opens"),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("lasts", sa.Boolean(), nullable=False, comment="false: the access point's token of one day"),
        sa.ForeignKeyConstraint(["shopper"], ["shoppers.shopper"], name=op.f("fk_shopper_tokens_shopper_shoppers")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_shopper_tokens")),
    )
    op.create_index("ix_shopper_tokens_shopper", "shopper_tokens", ["shopper"], unique=False)
    op.create_table(
        "shopper_visits",
        sa.Column("shopper", sa.String(length=24), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column(
            "opened_ms",
            sa.BigInteger(),
            nullable=True,
            comment="first time the page was opened, to the minute; cleared when the day is over",
        ),
        sa.ForeignKeyConstraint(["shopper"], ["shoppers.shopper"], name=op.f("fk_shopper_visits_shopper_shoppers")),
        sa.PrimaryKeyConstraint("shopper", "date", name=op.f("pk_shopper_visits")),
    )
    op.create_table(
        "trials",
        sa.Column("offer", sa.String(length=16), nullable=False),
        sa.Column("shopper", sa.String(length=24), nullable=False),
        sa.Column("arm", sa.String(length=8), nullable=False),
        sa.Column(
            "date", sa.String(length=10), nullable=False, comment="the day on which the offer was first due for them"
        ),
        sa.CheckConstraint("arm IN ('a', 'b', 'holdout')", name=op.f("ck_trials_arm")),
        sa.ForeignKeyConstraint(["offer"], ["offers.offer"], name=op.f("fk_trials_offer_offers")),
        sa.ForeignKeyConstraint(["shopper"], ["shoppers.shopper"], name=op.f("fk_trials_shopper_shoppers")),
        sa.PrimaryKeyConstraint("offer", "shopper", name=op.f("pk_trials")),
    )
    op.create_index("ix_trials_shopper", "trials", ["shopper"], unique=False)
