"""Where offers are kept (shell: the database). The merchant's questions begin with who asks; the portal's with a store.

An offer is written as a draft, runs, and is stopped. What ran is never rewritten: its figures speak of the words that were shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Engine, Row, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.accounts.audit import note
from cloud.accounts.secrets import new_name
from cloud.accounts.viewer import Viewer, visible_sites
from cloud.databases.base import ALONE
from cloud.databases.portal_tables import (
    codes,
    offer_groups,
    offer_sites,
    offers,
    shopper_visits,
    trial_tallies,
    trials,
)
from cloud.databases.tables import sites, store_group_sites, store_groups
from cloud.domain.site import Site
from cloud.portal.offers import DRAFT, HOLDOUT, RUNNING, STOPPED, A, B, Offer, rules_from_json, texts_from_json
from cloud.portal.targeting import Due, Known, arm_of, why_not
from cloud.portal.tokens import code_of, hash_of
from cloud.portal.trial import Entered, counted_arms, last_day
from cloud.portal.uplift import Compared, Counted, compare

TAKEN, SOLD_OUT, GONE = "taken", "sold_out", "gone"
"""How drawing a code ends: the shopper has it; none is left; the offer is not due any more."""


@dataclass(frozen=True, slots=True)
class HeldCode:
    """A code that a shopper drew."""

    offer: Offer
    variant: str
    code: str
    last_date: str
    is_used: bool


@dataclass(frozen=True, slots=True)
class Results:
    """What an offer did. ``uplift``: shown against held out; ``variants``: b against a. None where nothing is measured."""

    drawn: int
    used: int
    waiting: int
    """Shoppers whose days of coming back are not over."""
    uplift: Compared | None
    variants: Compared | None


class OfferStore:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._alone = database.execution_options(**{ALONE: True})
        self._now_ms = now_ms

    # --- the merchant's ---------------------------------------------------------------------------------------------

    def of(self, viewer: Viewer) -> list[Offer]:
        """The offers of the viewer's merchant: running ones first, then drafts, the newest first."""
        query = select(offers).where(_own(viewer)).order_by(offers.c.created_ms.desc(), offers.c.offer)
        order = (RUNNING, DRAFT, STOPPED)
        return sorted(self._offers(query), key=lambda offer: order.index(offer.state))

    def one(self, viewer: Viewer, name: str) -> Offer | None:
        """An offer of the viewer's merchant; None where it is another's or none."""
        return next(iter(self._offers(select(offers).where(_own(viewer), offers.c.offer == name))), None)

    def save(self, viewer: Viewer, offer: Offer) -> Offer | None:
        """Write a draft: a new one where it has no name yet. Gives it as kept; None where it is no draft of the viewer's."""
        name, is_new = offer.offer or new_name(12), not offer.offer
        values = {"texts": offer.texts_as_json(), "rules": offer.rules_as_json(), "codes_left": _stock(offer)}
        with self._alone.begin() as connection:
            if is_new:
                now = {"created_ms": self._now_ms(), "made_by": viewer.login, "state": DRAFT}
                connection.execute(insert(offers), {"offer": name, "merchant": viewer.merchant, **values, **now})
            else:
                mine = (_own(viewer), offers.c.offer == name, offers.c.state == DRAFT)
                if connection.execute(update(offers).where(*mine).values(**values)).rowcount != 1:
                    return None
            self._set_sites(connection, viewer, name, offer.sites)
            self._set_groups(connection, viewer, name, offer.groups)
            self._note(connection, viewer, "offer_written", name)
        return self.one(viewer, name)

    def start(self, viewer: Viewer, name: str) -> bool:
        """Let a draft run. False where it is none of the viewer's."""
        return self._move(viewer, name, DRAFT, RUNNING, "started_ms", "offer_started")

    def stop(self, viewer: Viewer, name: str) -> bool:
        """Show an offer no longer; codes that are out stay good. False where none of that name runs."""
        return self._move(viewer, name, RUNNING, STOPPED, "stopped_ms", "offer_stopped")

    def drop(self, viewer: Viewer, name: str) -> bool:
        """Delete a draft. False where it is none of the viewer's."""
        mine = (_own(viewer), offers.c.offer == name, offers.c.state == DRAFT)
        with self._alone.begin() as connection:
            if not connection.execute(select(offers.c.offer).where(*mine)).first():
                return False
            for table in (offer_sites, offer_groups):
                connection.execute(delete(table).where(table.c.offer == name))
            connection.execute(delete(offers).where(*mine))
            self._note(connection, viewer, "offer_deleted", name)
        return True

    def results(self, viewer: Viewer, offer: Offer, today: str) -> Results:
        """What an offer did, published: nothing that rests on fewer than k shoppers."""
        if self.one(viewer, offer.offer) is None:
            raise AssertionError("cannot happen: the offer was read for this viewer")
        with self._database.connect() as connection:
            entered = self._entered(connection, offer.offer)
            tallies = {
                row.arm: Counted(row.shoppers, row.returned)
                for row in connection.execute(select(trial_tallies).where(trial_tallies.c.offer == offer.offer))
            }
            mine = codes.c.offer == offer.offer
            drawn, used = connection.execute(select(func.count(), func.count(codes.c.used_date)).where(mine)).one()
        if offer.trial is None:
            return Results(drawn, used, 0, None, None)
        days = offer.trial.return_days
        arms = counted_arms(entered, tallies, days, today)
        none = Counted(0, 0)
        a, b, holdout = (arms.get(arm, none) for arm in (A, B, HOLDOUT))
        waiting = sum(last_day(one.date, days) >= today for one in entered)
        uplift = compare(a + b, holdout) if offer.trial.holdout_percent else None
        return Results(drawn, used, waiting, uplift, compare(b, a) if offer.has_b() else None)

    def _entered(self, connection: Connection, name: str) -> list[Entered]:
        query = (
            select(trials.c.shopper, trials.c.arm, trials.c.date, shopper_visits.c.date.label("visit"))
            .outerjoin(shopper_visits, shopper_visits.c.shopper == trials.c.shopper)
            .where(trials.c.offer == name)
        )
        found: dict[str, tuple[str, str, set[str]]] = {}
        for row in connection.execute(query):
            _arm, _date, visits = found.setdefault(row.shopper, (row.arm, row.date, set()))
            visits |= {row.visit} if row.visit else set()
        return [Entered(arm, date, frozenset(visits)) for arm, date, visits in found.values()]

    def _move(self, viewer: Viewer, name: str, before: str, after: str, column: str, action: str) -> bool:
        mine = (_own(viewer), offers.c.offer == name, offers.c.state == before)
        with self._alone.begin() as connection:
            values = {"state": after, column: self._now_ms()}
            if connection.execute(update(offers).where(*mine).values(**values)).rowcount != 1:
                return False
            self._note(connection, viewer, action, name)
        return True

    def _set_sites(self, connection: Connection, viewer: Viewer, name: str, wanted: Iterable[str]) -> None:
        """The stores of an offer, of those that are the merchant's own."""
        connection.execute(delete(offer_sites).where(offer_sites.c.offer == name))
        own = connection.execute(visible_sites(viewer).where(sites.c.site.in_(list(wanted)))).scalars()
        rows = [{"offer": name, "site": site} for site in own]
        if rows:
            connection.execute(insert(offer_sites), rows)

    def _set_groups(self, connection: Connection, viewer: Viewer, name: str, wanted: Iterable[str]) -> None:
        """The groups of an offer, of those that are the merchant's own."""
        connection.execute(delete(offer_groups).where(offer_groups.c.offer == name))
        mine = (store_groups.c.merchant == viewer.merchant, store_groups.c.store_group.in_(list(wanted)))
        own = connection.execute(select(store_groups.c.store_group).where(*mine)).scalars()
        rows = [{"offer": name, "store_group": group} for group in own]
        if rows:
            connection.execute(insert(offer_groups), rows)

    def _note(self, connection: Connection, viewer: Viewer, action: str, name: str) -> None:
        note(connection, viewer.merchant, viewer.login, self._now_ms(), action, name)

    # --- the portal's -----------------------------------------------------------------------------------------------

    def running(self, site: Site) -> list[Offer]:
        """What runs at a store, the newest first."""
        query = _of_site(site).where(offers.c.state == RUNNING).order_by(offers.c.started_ms.desc(), offers.c.offer)
        return self._offers(query)

    def enter(self, site: Site, known: Known, due: Iterable[Due]) -> None:
        """Note for whom a measured offer was due, shown or held out, on the first such day."""
        wanted = {one.offer.offer: one.arm for one in due if one.is_measured}
        if not wanted:
            return
        with self._database.connect() as connection:
            mine = (trials.c.shopper == known.shopper, trials.c.offer.in_(wanted))
            there = set(connection.execute(select(trials.c.offer).where(*mine)).scalars())
        today = site.date_of(self._now_ms())
        rows = [
            {"offer": name, "shopper": known.shopper, "arm": arm, "date": today}
            for name, arm in wanted.items()
            if name not in there
        ]
        try:
            with self._database.begin() as connection:
                if rows:
                    connection.execute(insert(trials), rows)
        except IntegrityError:
            pass  # the page was opened twice at once, or the shopper was erased meanwhile: then nothing is to be noted

    def held(self, site: Site, seeds: tuple[bytes, ...]) -> list[HeldCode]:
        """The codes that these seeds have drawn at the store's offers, those that are good the longest last."""
        if not seeds:
            return []
        possible: dict[str, tuple[Offer, str]] = {}
        for offer in self._offers(_of_site(site).where(offers.c.state != DRAFT)):
            for seed in seeds if offer.codes else ():
                drawable = (code_of(seed, offer.offer, number) for number in range(offer.codes.cap))  # type: ignore[union-attr]
                possible |= {hash_of(code): (offer, code) for code in drawable}
        with self._database.connect() as connection:
            rows = list(connection.execute(select(codes).where(codes.c.code_hash.in_(possible))))
        held = [
            HeldCode(*_named(possible[row.code_hash], row), row.last_date, row.used_date is not None) for row in rows
        ]
        return sorted(held, key=lambda one: (one.is_used, one.last_date, one.code))

    def draw(self, site: Site, name: str, known: Known | None, seeds: tuple[bytes, ...], number: int) -> str:
        """Draw the ``number``-th code (from 0) of an offer: TAKEN, SOLD_OUT or GONE. Drawing one twice is drawing it once."""
        offer = next((one for one in self.running(site) if one.offer == name), None)
        if offer is None or offer.codes is None or why_not(offer, site, self._now_ms(), known):
            return GONE
        due = Due(offer, arm_of(offer, known), is_measured=False)
        if not due.is_shown() or not 0 <= number < offer.codes.cap:
            return GONE
        code = hash_of(code_of(seeds[0], name, number))
        last_date = last_day(site.date_of(self._now_ms()), offer.codes.days)
        row = {"code_hash": code, "offer": name, "variant": due.arm, "last_date": last_date}
        with self._alone.begin() as connection:
            drawn = self._drawn(connection, offer, seeds)
            if code in drawn:
                return TAKEN
            if len(drawn) >= offer.codes.cap or not self._take_from_stock(connection, offer):
                return GONE if len(drawn) >= offer.codes.cap else SOLD_OUT
            connection.execute(insert(codes), row)
        return TAKEN

    def _drawn(self, connection: Connection, offer: Offer, seeds: tuple[bytes, ...]) -> set[str]:
        cap = offer.codes.cap if offer.codes else 0
        possible = [hash_of(code_of(seed, offer.offer, number)) for seed in seeds for number in range(cap)]
        return set(connection.execute(select(codes.c.code_hash).where(codes.c.code_hash.in_(possible))).scalars())

    def _take_from_stock(self, connection: Connection, offer: Offer) -> bool:
        if offer.codes is None or offer.codes.stock is None:
            return True
        left = offers.c.codes_left
        mine = (offers.c.offer == offer.offer, left > 0)
        return connection.execute(update(offers).where(*mine).values(codes_left=left - 1)).rowcount == 1

    # --- parts ------------------------------------------------------------------------------------------------------

    def _offers(self, query: Select[Any]) -> list[Offer]:
        with self._database.connect() as connection:
            rows = list(connection.execute(query))
            names = [row.offer for row in rows]
            stores = _gathered(connection, select(offer_sites).where(offer_sites.c.offer.in_(names)))
            groups = _gathered(connection, select(offer_groups).where(offer_groups.c.offer.in_(names)))
            grouped = _gathered(connection, _grouped().where(offer_groups.c.offer.in_(names)))
        return [_offer(row, stores, groups, grouped) for row in rows]


Gathered = dict[str, frozenset[str]]


def _gathered(connection: Connection, pairs: Select[Any]) -> Gathered:
    """First column -> all of the second."""
    found: dict[str, set[str]] = {}
    for first, second in connection.execute(pairs):
        found.setdefault(first, set()).add(second)
    return {first: frozenset(seconds) for first, seconds in found.items()}


def _offer(row: Row[Any], stores: Gathered, groups: Gathered, grouped: Gathered) -> Offer:
    texts, rules = texts_from_json(row.texts), rules_from_json(row.rules)
    none: frozenset[str] = frozenset()
    return Offer(
        row.offer,
        row.merchant,
        texts,
        stores.get(row.offer, none),
        row.state,
        codes_left=row.codes_left,
        groups=groups.get(row.offer, none),
        grouped_sites=grouped.get(row.offer, none),
        **rules,
    )


def _named(found: tuple[Offer, str], row: Row[Any]) -> tuple[Offer, str, str]:
    offer, code = found
    return offer, row.variant, code


def _stock(offer: Offer) -> int | None:
    return offer.codes.stock if offer.codes else None


def _own(viewer: Viewer) -> Any:
    return offers.c.merchant == viewer.merchant


def _grouped() -> Select[Any]:
    """(offer, store) by way of a group, as the groups are now."""
    same = store_group_sites.c.store_group == offer_groups.c.store_group
    return select(offer_groups.c.offer, store_group_sites.c.site).join(store_group_sites, same)


def offers_of(site: Site) -> CompoundSelect[Any]:
    """The names of the offers that are for a store, by itself or by a group that it is in now."""
    named = select(offer_sites.c.offer).where(offer_sites.c.site == site.site)
    grouped = _grouped().where(store_group_sites.c.site == site.site).with_only_columns(offer_groups.c.offer)
    return named.union(grouped)


def _of_site(site: Site) -> Select[Any]:
    return select(offers).where(offers.c.offer.in_(offers_of(site)), offers.c.merchant == site.merchant)
