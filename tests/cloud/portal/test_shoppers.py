"""The ledger of consents: what is entered, who is recognised, and what is left when it ends."""

from __future__ import annotations

import hashlib

import pytest
from support.clouds import DAY_MS, HOUR_MS
from support.portal import OWNER, VISIT, Store

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
from cloud.portal.consent import LIFE_DAYS, LONGEST_DAYS, PROOF_DAYS
from cloud.portal.offers import CodeRule
from cloud.portal.shoppers import Carried

LASTING, OTHER_VISIT = "b" * 24, "c" * 24
OF_SHOPPERS = (shoppers, shopper_tokens, shopper_visits, trials)


def answer(store: Store, visit: str = VISIT) -> str:
    return store.client.get("/p/shop/consent", params={"visit": visit}).text


def test_an_entry_says_which_text_when_in_which_language(store):
    store.shopper(lang="fr").send("agree")

    (entry,), (text,) = store.rows(consents), store.rows(consent_texts)
    assert (entry["given_ms"], entry["withdrawn_ms"], entry["site"]) == (store.clock.ms, None, "shop")
    assert entry["version"] == text["version"] == hashlib.sha256(text["text"].encode()).hexdigest()[:16]
    assert text["language"] == "fr"
    assert "Acceptez-vous que Ivizone" in text["text"]


def test_a_text_is_kept_once_and_a_changed_one_beside_it(store, monkeypatch):
    store.shopper().send("agree")
    store.shopper().send("agree")
    assert len(store.rows(consent_texts)) == 1

    with store.database.begin() as connection:
        connection.exec_driver_sql("UPDATE merchants SET name = 'Renamed'")
    store.shopper().send("agree")

    assert len({row["version"] for row in store.rows(consents)}) == len(store.rows(consent_texts)) == 2


# --- the access point's page --------------------------------------------------------------------------------------------


def test_the_access_point_is_told_yes_no_or_open(store):
    assert answer(store) == "open"
    shopper = store.shopper(visit=VISIT)
    shopper.send("refuse")
    assert answer(store) == "no"

    shopper.send("agree")

    assert answer(store) == "yes"
    assert store.rows(refusals) == []
    assert answer(store, OTHER_VISIT) == "open"
    assert answer(store, "nonsense") == "open"


def test_a_no_is_forgotten_after_a_day(store):
    store.shopper(visit=VISIT).send("refuse")
    store.clock.ms += DAY_MS

    assert answer(store) == "open"
    store.shoppers.purge()
    assert store.rows(refusals) == []


def test_in_captive_mode_the_link_carries_the_access_points_token_and_no_new_one(store):
    shopper = store.shopper(visit=VISIT)
    shopper.send("agree")

    assert shopper.carried() == {"visit": VISIT, "lang": "en", "said": "agreed"}


def test_the_lasting_token_of_the_access_point_becomes_the_shoppers(store):
    store.offer("For friends", audience="agreed")
    store.shopper(visit=VISIT).send("agree")

    assert "For friends" in store.shopper(visit=VISIT, visitor=LASTING).text()
    store.clock.ms += 2 * DAY_MS
    assert "For friends" in store.shopper(visitor=LASTING).text()
    assert "For friends" not in store.shopper(visit=VISIT).text(), "the token of the day is over"


def test_a_lasting_token_out_of_nowhere_means_nothing(store):
    """Anybody can write one into the address: only the day's token of somebody who agreed brings it in."""
    store.offer("For friends", audience="agreed")

    assert "For friends" not in store.shopper(visit=VISIT, visitor=LASTING).text()
    assert store.rows(shopper_tokens) == []


def test_agreeing_anew_on_another_day_finds_the_earlier_visits(store):
    """The access point hands out the same lasting token: two records of one person become one."""
    store.offer("Welcome back", audience="returning")
    store.shopper(visit=VISIT).send("agree")
    store.shopper(visit=VISIT, visitor=LASTING)
    store.clock.ms += 3 * DAY_MS
    today = store.shopper(visit=OTHER_VISIT)
    today.send("agree")
    assert "Welcome back" not in today.text()

    today.open(visit=OTHER_VISIT, visitor=LASTING)

    assert "Welcome back" in today.text()
    assert len(store.rows(shoppers)) == 1
    assert {row["date"] for row in store.rows(shopper_visits)} == {"2026-11-20", "2026-11-23"}
    assert len(store.rows(consents)) == 2
    assert store.rows(shoppers)[0]["consent"] == max(store.rows(consents), key=lambda row: row["given_ms"])["consent"]


def test_codes_of_before_and_after_are_in_one_hand(store):
    store.offer("First", codes=CodeRule(cap=1))
    store.shopper(visit=VISIT).send("agree")
    before = store.shopper(visit=VISIT)
    before.send("code")
    with_link = store.shopper(visit=VISIT, visitor=LASTING)
    assert with_link.codes() == before.codes()
    store.clock.ms += DAY_MS
    store.offer("Second")
    today = store.shopper(visit=OTHER_VISIT)
    today.send("agree")
    today.send("code", 0)

    today.open(visit=OTHER_VISIT, visitor=LASTING)
    assert set(today.codes()) > set(before.codes())
    assert len(today.codes()) == 2
    assert set(store.shopper(visitor=LASTING).codes()) == set(today.codes())


# --- the end ------------------------------------------------------------------------------------------------------------


def test_taking_it_back_erases_visits_and_keeps_the_codes_in_hand(store):
    store.measured(codes=None)
    store.offer("Public")
    shopper = store.shopper()
    shopper.send("agree")
    shopper.send("code")
    in_hand = shopper.codes()
    shopper.follow("My data")

    shopper.send("withdraw")

    assert shopper.codes() == in_hand
    assert store.rows(shopper_visits) == store.rows(trials) == []
    assert store.rows(consents)[0]["withdrawn_ms"] == store.clock.ms
    shopper.reload()
    assert store.rows(shopper_visits) == [], "whoever took it back is not watched"
    assert shopper.offers() == []


def test_the_access_point_hears_no_from_who_took_it_back(store):
    shopper = store.shopper(visit=VISIT)
    shopper.send("agree")
    shopper.follow("My data")
    shopper.send("withdraw")

    assert answer(store) == "no"


def test_saying_no_after_yes_is_taking_it_back(store):
    store.shopper(visit=VISIT).send("agree")

    store.client.post("/p/shop/refuse", data={"visit": VISIT})

    assert store.rows(consents)[0]["withdrawn_ms"] == store.clock.ms
    assert store.rows(shopper_visits) == []


def test_agreeing_again_is_a_new_entry_under_the_same_link(store):
    shopper = store.shopper()
    shopper.send("agree")
    link = shopper.carried()["visitor"]
    shopper.follow("My data")
    shopper.send("withdraw")

    shopper.send("agree")

    assert shopper.carried()["visitor"] == link
    assert sorted(row["withdrawn_ms"] is None for row in store.rows(consents)) == [False, True]


def test_erasing_leaves_a_receipt_that_names_nobody_and_the_share_in_the_figures(store):
    offer = store.measured(codes=CodeRule(stock=10))
    shopper = store.shopper()
    while "For you" not in shopper.offers():
        shopper = store.shopper()
        shopper.send("agree")
    entered = len(store.rows(trials))
    shopper.send("code")
    in_hand = shopper.codes()
    assert store.till.check(store.site, in_hand[0]).outcome == "good"
    link = shopper.carried()["visitor"]
    before = {table.name: len(store.rows(table)) for table in OF_SHOPPERS}
    shopper.follow("My data")

    shopper.send("erase")

    assert {table.name: before[table.name] - len(store.rows(table)) for table in OF_SHOPPERS} == {
        "shoppers": 1, "shopper_tokens": 1, "shopper_visits": 1, "trials": 1,
    }  # fmt: skip
    assert store.till.check(store.site, in_hand[0]).outcome == "unknown"
    assert [row["codes_left"] for row in store.rows(offers)] == [10]
    assert [(row["offer"], row["shoppers"], row["returned"]) for row in store.rows(trial_tallies)] == [
        (offer.offer, 1, 0)
    ]
    assert len(store.rows(trials)) + 1 == entered
    assert hashlib.sha256(link.encode()).hexdigest() not in store.dump()
    assert store.client.get("/p/shop/mine.json", params={"visitor": link}).status_code == 404


def test_a_code_that_was_used_stays_used_when_its_shopper_is_erased(store):
    store.offer(audience="agreed")
    shopper = store.shopper()
    shopper.send("agree")
    shopper.send("code")
    (code,) = shopper.codes()
    store.till.redeem(store.site, code)
    shopper.follow("My data")

    shopper.send("erase")

    assert store.till.check(store.site, code).outcome == "used"


def test_a_shopper_reads_all_that_is_kept_of_them(store):
    offer = store.offer(audience="agreed")
    shopper = store.shopper()
    shopper.send("agree")
    shopper.send("code")

    kept = store.client.get("/p/shop/mine.json", params=shopper.carried()).json()

    (entry,) = store.rows(consents)
    assert kept["consent"]["receipt"] == entry["consent"]
    assert "May Ivizone recognise you" in kept["consent"]["text"]
    assert [visit["date"] for visit in kept["visits"]] == ["2026-11-20"]
    assert kept["codes"] == [{"offer": offer.offer, "last_date": "2026-11-27", "used_date": None}]
    assert len(kept["links"]) == 1


def test_the_export_leaves_no_column_of_a_shopper_out(store):
    """Whoever adds a column must decide whether its shopper reads it; hashes and names of chance tell them nothing."""
    told = {
        "shoppers": {"site", "consent"},
        "shopper_tokens": {"expires_ms", "lasts"},
        "shopper_visits": {"date", "opened_ms"},
        "trials": {"offer", "arm", "date"},
        "consents": {"consent", "site", "version", "given_ms", "withdrawn_ms"},
        "codes": {"offer", "last_date", "used_date"},
    }
    untold = {
        "shoppers": {"shopper", "until_ms"},
        "shopper_tokens": {"token_hash", "shopper", "sealed"},
        "shopper_visits": {"shopper"},
        "trials": {"shopper"},
        "consents": set(),
        "codes": {"code_hash", "variant", "used_site"},
    }

    for table in (*OF_SHOPPERS, consents, codes):
        assert set(table.columns.keys()) == told[table.name] | untold[table.name], table.name


@pytest.mark.parametrize(("days", "is_known"), [(LIFE_DAYS - 1, True), (LIFE_DAYS, False)])
def test_a_shopper_who_stays_away_is_forgotten(store, days, is_known):
    shopper = store.shopper()
    shopper.send("agree")
    store.clock.ms += days * DAY_MS

    assert store.shoppers.purge() == (0 if is_known else 1)
    assert bool(store.rows(shoppers)) is is_known


def test_a_shopper_who_keeps_coming_is_asked_again_after_thirteen_months(store):
    store.offer("For friends", audience="agreed")
    shopper = store.shopper()
    shopper.send("agree")
    for _ in range(4):
        store.clock.ms += LONGEST_DAYS // 4 * DAY_MS
        assert "For friends" in shopper.reload().text

    store.clock.ms += (LONGEST_DAYS - 4 * (LONGEST_DAYS // 4)) * DAY_MS

    assert "For friends" not in shopper.reload().text
    assert "May Ivizone recognise you" in shopper.text()


def test_what_is_over_is_unknown_even_before_it_is_cleared_away(store):
    shopper = store.shopper()
    shopper.send("agree")
    store.clock.ms += LIFE_DAYS * DAY_MS

    carried = Carried(visitor=shopper.carried()["visitor"])

    assert store.shoppers.recognise(store.site, carried) is None


def test_purging_clears_times_of_past_days_and_old_receipts(store):
    shopper = store.shopper()
    shopper.send("agree")
    store.clock.ms += 2 * DAY_MS + HOUR_MS
    store.shoppers.purge()
    assert [row["opened_ms"] for row in store.rows(shopper_visits)] == [None]

    shopper.follow("My data")
    shopper.send("erase")
    store.clock.ms += PROOF_DAYS * DAY_MS
    store.shoppers.purge()

    assert store.rows(consents) == []


def test_trials_of_who_is_forgotten_are_counted_with_what_they_did(store):
    """A year of retention must not bend an uplift: who came back before they were forgotten, came back."""
    offer = store.measured(codes=None)
    came, stayed_away = store.shopper(), store.shopper()
    came.send("agree")
    stayed_away.send("agree")
    store.clock.ms += 2 * DAY_MS
    came.reload()
    counted = {row["arm"] for row in store.rows(trials)}
    live = store.offers.results(OWNER, offer, "2027-01-01")

    store.clock.ms += LIFE_DAYS * DAY_MS
    assert store.shoppers.purge() == 2

    assert sum(row["shoppers"] for row in store.rows(trial_tallies)) == 2
    assert sum(row["returned"] for row in store.rows(trial_tallies)) == 1
    assert {row["arm"] for row in store.rows(trial_tallies)} == counted
    assert store.offers.results(OWNER, offer, "2027-09-01").uplift == live.uplift
