"""Shoppers who agreed, and the ledger of consents (shell: the database).

A shopper is known by the tokens they present and by nothing else. ``recognise`` reads; ``arrive`` writes what the visit changes. Whoever
did not agree leaves no trace, but for a "no" under the access point's token, which is gone after a day.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from cloud.accounts.secrets import new_name
from cloud.databases.base import ALONE, upsert
from cloud.databases.portal_tables import (
    codes,
    consent_texts,
    consents,
    offers,
    refusals,
    shopper_tokens,
    shopper_visits,
    shoppers,
    trial_tallies,
    trials,
)
from cloud.databases.tables import sites
from cloud.domain.site import Site
from cloud.portal.consent import (
    CODES_STAY_DAYS,
    DAY_MS,
    LIFE_DAYS,
    LONGEST_DAYS,
    NO,
    OPEN,
    PROOF_DAYS,
    VISIT_TOKEN_MS,
    YES,
    ConsentText,
)
from cloud.portal.offers import rules_from_json
from cloud.portal.targeting import Known
from cloud.portal.tokens import SEED_BYTES, Chance, code_of, hash_of, new_token, open_seal, seal
from cloud.portal.trial import came_back

MINUTE_MS = 60_000
MAX_SEEDS = 8
"""Of one shopper; the newest are kept. Each agreement under a new token of the day brings one."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The tokens of one request: ``visit`` is the access point's of the day, ``visitor`` lasts. Well-formed or None."""

    visit: str | None = None
    visitor: str | None = None

    def tokens(self) -> tuple[str, ...]:
        """Those that are there, the lasting one first."""
        return tuple(token for token in (self.visitor, self.visit) if token)


@dataclass(frozen=True, slots=True)
class Shopper:
    """Somebody who agreed, at one store. ``seeds`` make their codes, the first one the new ones."""

    shopper: str
    site: str
    consent: str
    given_ms: int
    withdrawn_ms: int | None
    seeds: tuple[bytes, ...]
    lasting: str | None
    """The lasting token they presented."""

    def agrees(self) -> bool:
        """False once the agreement was taken back."""
        return self.withdrawn_ms is None


class Shoppers:
    """``now_ms`` is the clock, ``chance`` gives random bytes."""

    def __init__(self, database: Engine, now_ms: Callable[[], int], chance: Chance = secrets.token_bytes) -> None:
        self._database = database
        self._alone = database.execution_options(**{ALONE: True})
        self._now_ms = now_ms
        self._chance = chance

    # --- who it is --------------------------------------------------------------------------------------------------

    def recognise(self, site: Site, carried: Carried) -> Shopper | None:
        """Who carries these tokens, None where nobody agreed under them. Where they name two records of one person, those become one."""
        found = self._found(site, carried)
        if found and len(found) < len(carried.tokens()) and found.keys() == {carried.visit}:
            self._bind(found[str(carried.visit)], carried)
        elif len({row.shopper for row in found.values()}) > 1:
            self._join(found, carried)
        else:
            return self._shopper(found, carried)
        return self._shopper(self._found(site, carried), carried)

    def answer(self, site: Site, visit: str) -> str:
        """What the access point is told: yes, no or open."""
        row = self._found(site, Carried(visit=visit)).get(visit)
        if row is not None:
            return YES if row.withdrawn_ms is None else NO
        mine = (refusals.c.visit_hash == hash_of(visit), refusals.c.site == site.site)
        with self._database.connect() as connection:
            is_no = connection.execute(select(refusals).where(*mine, refusals.c.expires_ms > self._now_ms())).first()
        return NO if is_no else OPEN

    def arrive(self, site: Site, shopper: Shopper) -> Known:
        """Note that the page was opened today, and give what targeting may know. Only the first opening of a day writes anything."""
        now_ms, today = self._now_ms(), site.date_of(self._now_ms())
        with self._database.connect() as connection:
            mine = shopper_visits.c.shopper == shopper.shopper
            rows = list(connection.execute(select(shopper_visits).where(mine)))
        earlier_days = sum(row.date < today for row in rows)
        opened_ms = next((row.opened_ms for row in rows if row.date == today), None)
        return Known(shopper.shopper, earlier_days, opened_ms or self._open_day(shopper, today, now_ms))

    def _open_day(self, shopper: Shopper, today: str, now_ms: int) -> int:
        """The first opening of a day: to the minute, in the place of yesterday's. The lasting token lasts anew."""
        opened_ms, visits = now_ms // MINUTE_MS * MINUTE_MS, shopper_visits.c
        with self._alone.begin() as connection:
            is_past = (visits.shopper == shopper.shopper, visits.date != today)
            connection.execute(update(shopper_visits).where(*is_past).values(opened_ms=None))
            upsert(connection, shopper_visits, {"shopper": shopper.shopper, "date": today}, {"opened_ms": opened_ms})
            if shopper.lasting:
                self._renew(connection, shopper.lasting, now_ms)
        return opened_ms

    def _found(self, site: Site, carried: Carried) -> dict[str, Row[Any]]:
        """Token -> its row with the shopper's and the consent's, for those of ``carried`` that are known and not over."""
        hashes = {hash_of(token): token for token in carried.tokens()}
        if not hashes:
            return {}
        now_ms = self._now_ms()
        query = (
            select(shopper_tokens, shoppers.c.site, shoppers.c.consent, shoppers.c.until_ms)
            .add_columns(consents.c.given_ms, consents.c.withdrawn_ms)
            .join(shoppers, shoppers.c.shopper == shopper_tokens.c.shopper)
            .join(consents, consents.c.consent == shoppers.c.consent)
            .where(shopper_tokens.c.token_hash.in_(hashes), shoppers.c.site == site.site)
            .where(shopper_tokens.c.expires_ms > now_ms, shoppers.c.until_ms > now_ms)
        )
        with self._database.connect() as connection:
            return {hashes[row.token_hash]: row for row in connection.execute(query)}

    def _shopper(self, found: dict[str, Row[Any]], carried: Carried) -> Shopper | None:
        token = next((token for token in carried.tokens() if token in found), None)
        if token is None:
            return None
        row = found[token]
        lasting = carried.visitor if carried.visitor in found else None
        seeds = open_seal(row.sealed, token)
        return Shopper(row.shopper, row.site, row.consent, row.given_ms, row.withdrawn_ms, seeds, lasting)

    def _bind(self, row: Row[Any], carried: Carried) -> None:
        """The access point made the lasting token of somebody who agreed under today's: it is theirs from now on."""
        if row.withdrawn_ms is not None or carried.visit is None or carried.visitor is None:
            return
        seeds = open_seal(row.sealed, carried.visit)
        try:
            with self._database.begin() as connection:
                self._add_token(connection, row.shopper, carried.visitor, seeds, lasts=True, until_ms=row.until_ms)
        except IntegrityError:
            pass  # another request did it, or the token is another store's: then it is of no use here

    def _join(self, found: dict[str, Row[Any]], carried: Carried) -> None:
        """Somebody agreed anew under today's token and is known by their lasting one: today's record moves into the older one."""
        if carried.visit is None or carried.visitor is None:
            raise AssertionError("cannot happen: two records come from two tokens")
        new, old = found[carried.visit], found[carried.visitor]
        seeds = (*open_seal(old.sealed, carried.visitor), *open_seal(new.sealed, carried.visit))[:MAX_SEEDS]
        with self._alone.begin() as connection:
            tokens, theirs = shopper_tokens.c, shopper_visits.c
            for token in (carried.visitor, carried.visit):
                mine = tokens.token_hash == hash_of(token)
                connection.execute(
                    update(shopper_tokens).where(mine).values(shopper=old.shopper, sealed=seal(seeds, token))
                )
            days = select(theirs.date).where(theirs.shopper == old.shopper)
            moved = (theirs.shopper == new.shopper, theirs.date.not_in(days.scalar_subquery()))
            connection.execute(update(shopper_visits).where(*moved).values(shopper=old.shopper))
            values = {"consent": new.consent, "until_ms": new.until_ms}
            connection.execute(update(shoppers).where(shoppers.c.shopper == old.shopper).values(**values))
            self._delete(connection, new.shopper)

    def _renew(self, connection: Connection, token: str, now_ms: int) -> None:
        """Move the end of a lasting token; the end of the agreement does not move."""
        mine = shopper_tokens.c.token_hash == hash_of(token)
        connection.execute(update(shopper_tokens).where(mine).values(expires_ms=now_ms + LIFE_DAYS * DAY_MS))

    # --- the ledger of consents -------------------------------------------------------------------------------------

    def agree(self, site: Site, carried: Carried, text: ConsentText, seeds: tuple[bytes, ...] = ()) -> str | None:
        """Enter an agreement. Gives the lasting token to carry from now on; None where the access point will make it.

        ``seeds`` are of codes that the shopper drew before. Saying yes twice is one agreement.
        """
        shopper = self.recognise(site, carried)
        if shopper and shopper.agrees():
            return shopper.lasting
        now_ms, consent = self._now_ms(), new_name(12)
        row = {"consent": consent, "site": site.site, "version": text.version, "given_ms": now_ms}
        until_ms = now_ms + LONGEST_DAYS * DAY_MS
        with self._alone.begin() as connection:
            self._keep_text(connection, text, now_ms)
            connection.execute(insert(consents), row)
            if carried.visit:
                connection.execute(delete(refusals).where(refusals.c.visit_hash == hash_of(carried.visit)))
            if shopper:
                mine = shoppers.c.shopper == shopper.shopper
                connection.execute(update(shoppers).where(mine).values(consent=consent, until_ms=until_ms))
                if shopper.lasting:
                    self._renew(connection, shopper.lasting, now_ms)
                return shopper.lasting
            name = new_token(self._chance)
            made = {"shopper": name, "site": site.site, "consent": consent, "until_ms": until_ms}
            connection.execute(insert(shoppers), made)
            seeds = (self._chance(SEED_BYTES), *seeds)
            lasting = None if carried.visit else new_token(self._chance)
            token = carried.visit or str(lasting)
            self._drop_stale_token(connection, token)
            self._add_token(connection, name, token, seeds, lasts=lasting is not None, until_ms=until_ms)
        return lasting

    def refuse(self, site: Site, carried: Carried) -> None:
        """Somebody said no. Kept for a day under the access point's token, so that it does not ask; without one, nowhere."""
        shopper = self.recognise(site, carried)
        if shopper and shopper.agrees():
            return self.withdraw(shopper)
        if carried.visit and not shopper:
            key = {"visit_hash": hash_of(carried.visit)}
            values = {"site": site.site, "expires_ms": self._now_ms() + VISIT_TOKEN_MS}
            with self._alone.begin() as connection:
                upsert(connection, refusals, key, values)
        return None

    def withdraw(self, shopper: Shopper) -> None:
        """Take an agreement back: what was known is erased. The codes in hand stay theirs, for nobody may lose by saying no."""
        now_ms = self._now_ms()
        with self._alone.begin() as connection:
            mine = (consents.c.consent == shopper.consent, consents.c.withdrawn_ms.is_(None))
            connection.execute(update(consents).where(*mine).values(withdrawn_ms=now_ms))
            self._forget_visits(connection, shopper.shopper)
            ends_ms, tokens = now_ms + CODES_STAY_DAYS * DAY_MS, shopper_tokens.c
            is_longer = (tokens.shopper == shopper.shopper, tokens.expires_ms > ends_ms)
            connection.execute(update(shopper_tokens).where(*is_longer).values(expires_ms=ends_ms))

    def erase(self, shopper: Shopper) -> None:
        """Erase everything of a shopper, and their unused codes. The receipt stays, and names nobody."""
        now_ms = self._now_ms()
        with self._alone.begin() as connection:
            for offer, code in self._held(connection, shopper):
                is_unused = (codes.c.code_hash == code, codes.c.used_date.is_(None))
                if connection.execute(delete(codes).where(*is_unused)).rowcount:
                    left = offers.c.codes_left
                    connection.execute(update(offers).where(offers.c.offer == offer).values(codes_left=left + 1))
            mine = (consents.c.consent == shopper.consent, consents.c.withdrawn_ms.is_(None))
            connection.execute(update(consents).where(*mine).values(withdrawn_ms=now_ms))
            self._delete(connection, shopper.shopper)

    def export(self, site: Site, shopper: Shopper) -> dict[str, Any]:
        """Everything that is kept of a shopper, for themselves. Source: GDPR, articles 15 and 20."""
        theirs = shopper.shopper
        with self._database.connect() as connection:
            consent = connection.execute(
                select(consents, consent_texts.c.text, consent_texts.c.language)
                .join(consent_texts)
                .where(consents.c.consent == shopper.consent)
            ).one()
            visits = connection.execute(
                select(shopper_visits).where(shopper_visits.c.shopper == theirs).order_by(shopper_visits.c.date)
            )
            seen = connection.execute(select(trials).where(trials.c.shopper == theirs).order_by(trials.c.date))
            tokens = connection.execute(
                select(shopper_tokens.c.expires_ms, shopper_tokens.c.lasts).where(shopper_tokens.c.shopper == theirs)
            )
            held = {code for _, code in self._held(connection, shopper)}
            mine = connection.execute(select(codes).where(codes.c.code_hash.in_(held)))
            return {
                "store": site.site,
                "consent": {
                    "receipt": consent.consent,
                    "text": consent.text,
                    "text_version": consent.version,
                    "language": consent.language,
                    "given_ms": consent.given_ms,
                    "withdrawn_ms": consent.withdrawn_ms,
                },
                "visits": [{"date": row.date, "opened_ms": row.opened_ms} for row in visits],
                "offers": [{"offer": row.offer, "arm": row.arm, "since": row.date} for row in seen],
                "links": [{"lasts": bool(row.lasts), "expires_ms": row.expires_ms} for row in tokens],
                "codes": [{"offer": row.offer, "last_date": row.last_date, "used_date": row.used_date} for row in mine],
            }

    # --- the end ----------------------------------------------------------------------------------------------------

    def purge(self) -> int:
        """Erase what is over; gives the number of shoppers forgotten. Figures keep their share of it, without a name."""
        now_ms = self._now_ms()
        yesterday = (Date.fromtimestamp(0) + timedelta(days=now_ms // DAY_MS - 1)).isoformat()
        living = select(shopper_tokens.c.shopper).where(shopper_tokens.c.expires_ms > now_ms)
        with self._alone.begin() as connection:
            connection.execute(delete(refusals).where(refusals.c.expires_ms <= now_ms))
            over = or_(shoppers.c.until_ms <= now_ms, shoppers.c.shopper.not_in(living))
            gone = list(connection.execute(select(shoppers.c.shopper).where(over)).scalars())
            for shopper in gone:
                self._delete(connection, shopper)
            connection.execute(delete(shopper_tokens).where(shopper_tokens.c.expires_ms <= now_ms))
            is_past = and_(shopper_visits.c.date < yesterday, shopper_visits.c.opened_ms.is_not(None))
            connection.execute(update(shopper_visits).where(is_past).values(opened_ms=None))
            named = select(shoppers.c.consent)
            is_old = (consents.c.given_ms < now_ms - PROOF_DAYS * DAY_MS, consents.c.consent.not_in(named))
            connection.execute(delete(consents).where(*is_old))
        return len(gone)

    def _delete(self, connection: Connection, shopper: str) -> None:
        self._forget_visits(connection, shopper)
        connection.execute(delete(shopper_tokens).where(shopper_tokens.c.shopper == shopper))
        connection.execute(delete(shoppers).where(shoppers.c.shopper == shopper))

    def _forget_visits(self, connection: Connection, shopper: str) -> None:
        """Erase the days and the trials; each trial leaves one count behind, which is all that its offer's figures need."""
        days = list(
            connection.execute(select(shopper_visits.c.date).where(shopper_visits.c.shopper == shopper)).scalars()
        )
        query = select(trials, offers.c.rules).join(offers).where(trials.c.shopper == shopper)
        for row in list(connection.execute(query)):
            trial = rules_from_json(row.rules)["trial"]
            returned = came_back(row.date, days, trial.return_days) if trial else False
            tallies, key = trial_tallies.c, {"offer": row.offer, "arm": row.arm}
            mine = (tallies.offer == row.offer, tallies.arm == row.arm)
            kept = connection.execute(select(trial_tallies).where(*mine)).one_or_none()
            counted = {
                "shoppers": (kept.shoppers if kept else 0) + 1,
                "returned": (kept.returned if kept else 0) + returned,
            }
            upsert(connection, trial_tallies, key, counted)
        connection.execute(delete(trials).where(trials.c.shopper == shopper))
        connection.execute(delete(shopper_visits).where(shopper_visits.c.shopper == shopper))

    # --- parts ------------------------------------------------------------------------------------------------------

    def _held(self, connection: Connection, shopper: Shopper) -> list[tuple[str, str]]:
        """(offer, hash) of every code that this shopper's seeds can have drawn and that was drawn: a store may have left its group since."""
        merchant = select(sites.c.merchant).where(sites.c.site == shopper.site).scalar_subquery()
        rows = connection.execute(select(offers.c.offer, offers.c.rules).where(offers.c.merchant == merchant))
        possible: dict[str, str] = {}
        for row in rows:
            rule = rules_from_json(row.rules)["codes"]
            for seed in shopper.seeds if rule else ():
                possible |= {hash_of(code_of(seed, row.offer, number)): row.offer for number in range(rule.cap)}
        drawn = connection.execute(select(codes.c.code_hash).where(codes.c.code_hash.in_(possible))).scalars()
        return [(possible[code], code) for code in drawn]

    def _keep_text(self, connection: Connection, text: ConsentText, now_ms: int) -> None:
        known = select(func.count()).where(consent_texts.c.version == text.version)
        if not connection.execute(known).scalar_one():
            row = {"version": text.version, "language": text.language, "text": text.text, "first_ms": now_ms}
            connection.execute(insert(consent_texts), row)

    def _add_token(
        self,
        connection: Connection,
        shopper: str,
        token: str,
        seeds: tuple[bytes, ...],
        *,
        lasts: bool,
        until_ms: int,
    ) -> None:
        life_ms = LIFE_DAYS * DAY_MS if lasts else VISIT_TOKEN_MS
        row = {
            "token_hash": hash_of(token),
            "shopper": shopper,
            "sealed": seal(seeds, token),
            "expires_ms": min(until_ms, self._now_ms() + life_ms),
            "lasts": lasts,
        }
        connection.execute(insert(shopper_tokens), row)

    def _drop_stale_token(self, connection: Connection, token: str) -> None:
        """A token of the day that is over, or another store's of the same access point, must not hinder today's."""
        connection.execute(delete(shopper_tokens).where(shopper_tokens.c.token_hash == hash_of(token)))
