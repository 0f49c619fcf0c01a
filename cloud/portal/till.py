"""The till: tokens that let it ask, and single-use codes that it checks (shell: the database).

A code is good once, at a store that its offer is for now, until its last day. What is noted of its use is the day and the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, insert, select, update

from cloud.accounts.audit import note
from cloud.accounts.secrets import hash_of as secret_hash
from cloud.accounts.secrets import new_name, new_secret
from cloud.accounts.viewer import Viewer, visible_sites
from cloud.databases.portal_tables import codes, offers, till_tokens
from cloud.domain.site import Site
from cloud.portal.offer_store import offers_of
from cloud.portal.offers import A, Words, texts_from_json
from cloud.portal.tokens import hash_of, typed_code

PREFIX = "ivztill-"
GOOD, USED, EXPIRED, UNKNOWN, REDEEMED = "good", "used", "expired", "unknown", "redeemed"
"""What a till is told. A code of a store where the offer does not run is unknown there."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to a till. ``used_date`` and ``words`` are None where there is no such code."""

    outcome: str
    words: dict[str, Words] | None = None
    last_date: str | None = None
    used_date: str | None = None


class Till:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    # --- tokens -----------------------------------------------------------------------------------------------------

    def make_token(self, viewer: Viewer, site: Site, label: str) -> str:
        """A new token for a till of one of the viewer's stores; it is shown this once."""
        secret, token = new_secret(PREFIX), new_name(12)
        row = {
            "token": token,
            "token_hash": secret_hash(secret),
            "site": site.site,
            "label": label,
            "created_ms": self._now_ms(),
        }
        with self._database.begin() as connection:
            connection.execute(insert(till_tokens), row)
            note(connection, viewer.merchant, viewer.login, self._now_ms(), "till_token_made", token)
        return secret

    def tokens(self, viewer: Viewer, site: Site) -> list[dict[str, Any]]:
        """The tokens of a store that hold, without what would let anybody use them."""
        columns = (till_tokens.c.token, till_tokens.c.label, till_tokens.c.created_ms)
        mine = (till_tokens.c.site == site.site, till_tokens.c.site.in_(visible_sites(viewer)))
        query = select(*columns).where(*mine, till_tokens.c.revoked_ms.is_(None)).order_by(till_tokens.c.created_ms)
        with self._database.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def revoke(self, viewer: Viewer, token: str) -> bool:
        """End a token of one of the viewer's stores. False where there is none of that name."""
        mine = (till_tokens.c.token == token, till_tokens.c.site.in_(visible_sites(viewer)))
        with self._database.begin() as connection:
            ended = update(till_tokens).where(*mine, till_tokens.c.revoked_ms.is_(None))
            if connection.execute(ended.values(revoked_ms=self._now_ms())).rowcount != 1:
                return False
            note(connection, viewer.merchant, viewer.login, self._now_ms(), "till_token_revoked", token)
        return True

    def is_token(self, site: Site, secret: str) -> bool:
        """True where a till of this store has the token."""
        mine = (till_tokens.c.token_hash == secret_hash(secret), till_tokens.c.site == site.site)
        with self._database.connect() as connection:
            query = select(till_tokens.c.token).where(*mine, till_tokens.c.revoked_ms.is_(None))
            return connection.execute(query).first() is not None

    # --- codes ------------------------------------------------------------------------------------------------------

    def check(self, site: Site, typed: str) -> Checked:
        """What a code is worth at this store, without using it."""
        code = typed_code(typed)
        if code is None:
            return Checked(UNKNOWN)
        query = (
            select(codes, offers.c.texts)
            .join(offers, offers.c.offer == codes.c.offer)
            .where(codes.c.code_hash == hash_of(code), codes.c.offer.in_(offers_of(site)))
        )
        with self._database.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return Checked(UNKNOWN)
        texts = texts_from_json(row.texts)
        outcome = USED if row.used_date else GOOD if row.last_date >= site.date_of(self._now_ms()) else EXPIRED
        return Checked(outcome, texts.get(row.variant, texts[A]), row.last_date, row.used_date)

    def redeem(self, site: Site, typed: str) -> Checked:
        """Use a code, once. Of two tills that try at the same time, one is told that it was used."""
        found, today = self.check(site, typed), site.date_of(self._now_ms())
        if found.outcome != GOOD:
            return found
        mine = (codes.c.code_hash == hash_of(typed_code(typed) or ""), codes.c.used_date.is_(None))
        with self._database.begin() as connection:
            used = connection.execute(update(codes).where(*mine).values(used_date=today, used_site=site.site))
        outcome = REDEEMED if used.rowcount == 1 else USED
        return Checked(outcome, found.words, found.last_date, today)
