"""What the store's page asks of every database: one code to one shopper, one use to one till, one record to one person."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from contracts.adapters import DATABASES
from sqlalchemy import func, select
from support.clouds import DAY_MS, Clock

from cloud.accounts.viewer import of_role
from cloud.databases.base import migrate
from cloud.databases.portal_tables import (
    codes,
    consents,
    shopper_tokens,
    shopper_visits,
    shoppers,
    trial_tallies,
    trials,
)
from cloud.domain.site import Site
from cloud.fleet.registry import Fleet
from cloud.portal.consent import LIFE_DAYS, consent_text
from cloud.portal.offer_store import SOLD_OUT, TAKEN, OfferStore
from cloud.portal.offers import Audience, CodeRule, Offer, Trial, Words
from cloud.portal.shoppers import Carried, Shoppers
from cloud.portal.targeting import due_offers
from cloud.portal.till import Till
from cloud.portal.tokens import code_of
from cloud.portal.words import language

OWNER = of_role("main", "owner@main", "owner")
SHOP = Site("shop", "Shop", "UTC", "consent", merchant="main")
VISIT, OTHER_VISIT, LASTING = "a" * 24, "c" * 24, "b" * 24
TEXT = consent_text(language("en"), "Ivizone")


class Store:
    """The portal's parts on one database."""

    def __init__(self, database):
        self.database, self.clock = database, Clock()
        Fleet(database, self.clock).add_site(SHOP)
        self.offers = OfferStore(database, self.clock)
        self.shoppers = Shoppers(database, self.clock)
        self.till = Till(database, self.clock)

    def offer(self, audience="everyone", trial=None, **codes):
        texts = {"a": {"en": Words("Coffee")}}
        written = Offer(
            "", "main", texts, frozenset({"shop"}), audience=Audience(audience), codes=CodeRule(**codes), trial=trial
        )
        kept = self.offers.save(OWNER, written)
        assert self.offers.start(OWNER, kept.offer)
        return kept

    def count(self, table):
        with self.database.connect() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.fixture(params=sorted(DATABASES))
def store(request, tmp_path):
    database = DATABASES[request.param](tmp_path)
    migrate(database)
    yield Store(database)
    database.dispose()


def at_once(work, arguments):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, arguments))


def test_a_stock_of_three_gives_three_codes_to_eight_who_come_at_once(store):
    offer = store.offer(stock=3)

    ended = at_once(lambda n: store.offers.draw(SHOP, offer.offer, None, (bytes([n]) * 16,), 0), range(8))

    assert sorted(ended) == [SOLD_OUT] * 5 + [TAKEN] * 3
    assert store.count(codes) == 3
    assert store.offers.one(OWNER, offer.offer).codes_left == 0


def test_one_shopper_who_presses_eight_times_draws_one(store):
    offer = store.offer(stock=5)

    ended = at_once(lambda _: store.offers.draw(SHOP, offer.offer, None, (bytes(16),), 0), range(8))

    assert ended == [TAKEN] * 8
    assert (store.count(codes), store.offers.one(OWNER, offer.offer).codes_left) == (1, 4)


def test_a_cap_holds_against_eight_numbers_at_once(store):
    offer = store.offer(cap=2)

    at_once(lambda n: store.offers.draw(SHOP, offer.offer, None, (bytes(16),), n), range(8))

    assert store.count(codes) == 2


def test_of_eight_tills_one_redeems(store):
    offer = store.offer()
    store.offers.draw(SHOP, offer.offer, None, (bytes(16),), 0)
    code = code_of(bytes(16), offer.offer, 0)

    outcomes = at_once(lambda _: store.till.redeem(SHOP, code).outcome, range(8))

    assert sorted(outcomes) == ["redeemed"] + ["used"] * 7


def test_the_page_that_is_opened_eight_times_at_once_is_one_visit_and_one_entry(store):
    store.offer("agreed", Trial())
    store.shoppers.agree(SHOP, Carried(visit=VISIT), TEXT)

    def open_page(_):
        shopper = store.shoppers.recognise(SHOP, Carried(VISIT, LASTING))
        known = store.shoppers.arrive(SHOP, shopper)
        store.offers.enter(SHOP, known, due_offers(store.offers.running(SHOP), SHOP, store.clock(), known))
        return known.shopper

    assert len(set(at_once(open_page, range(8)))) == 1
    assert [store.count(table) for table in (shoppers, shopper_tokens, shopper_visits, trials)] == [1, 2, 1, 1]


def test_saying_yes_eight_times_at_once_leaves_one_link_that_works(store):
    at_once(lambda _: store.shoppers.agree(SHOP, Carried(visit=VISIT), TEXT), range(8))

    assert store.shoppers.answer(SHOP, VISIT) == "yes"
    assert store.count(shopper_tokens) == 1


def test_two_records_of_one_person_become_one(store):
    store.shoppers.agree(SHOP, Carried(visit=VISIT), TEXT)
    store.shoppers.arrive(SHOP, store.shoppers.recognise(SHOP, Carried(VISIT, LASTING)))
    store.clock.ms += DAY_MS
    store.shoppers.agree(SHOP, Carried(visit=OTHER_VISIT), TEXT)

    known = store.shoppers.arrive(SHOP, store.shoppers.recognise(SHOP, Carried(OTHER_VISIT, LASTING)))

    assert known.earlier_days == 1
    assert store.count(shoppers) == 1


def test_withdrawing_erasing_and_purging_leave_what_they_promise(store):
    offer = store.offer("agreed", Trial(0), stock=9)
    for visit in (VISIT, OTHER_VISIT):
        store.shoppers.agree(SHOP, Carried(visit=visit), TEXT)
        shopper = store.shoppers.recognise(SHOP, Carried(visit=visit))
        known = store.shoppers.arrive(SHOP, shopper)
        store.offers.enter(SHOP, known, due_offers(store.offers.running(SHOP), SHOP, store.clock(), known))
        assert store.offers.draw(SHOP, offer.offer, known, shopper.seeds, 0) == TAKEN

    first, second = (store.shoppers.recognise(SHOP, Carried(visit=visit)) for visit in (VISIT, OTHER_VISIT))
    assert store.shoppers.export(SHOP, first)["codes"][0]["offer"] == offer.offer
    store.shoppers.withdraw(first)
    assert [store.count(table) for table in (shopper_visits, trials, codes)] == [1, 1, 2]
    store.shoppers.erase(second)
    assert [store.count(table) for table in (shoppers, shopper_visits, trials, codes, consents)] == [1, 0, 0, 1, 2]
    with store.database.connect() as connection:
        assert [row.shoppers for row in connection.execute(select(trial_tallies))] == [2]
    assert store.offers.one(OWNER, offer.offer).codes_left == 8
    store.clock.ms += LIFE_DAYS * DAY_MS

    assert store.shoppers.purge() == 1
    assert store.count(shoppers) == store.count(shopper_tokens) == 0
