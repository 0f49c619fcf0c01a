"""The shopper's page over real HTTP, as a phone that forgets everything but the address it is at."""

from __future__ import annotations

import re

import httpx
import pytest
from sqlalchemy import update
from support.clouds import DAY_MS, MIN_MS
from support.portal import OWNER, VISIT, Store

from cloud.databases.portal_tables import codes, offers, shopper_visits, trials
from cloud.domain.language import CODES
from cloud.portal.consent import consent_text
from cloud.portal.limits import LIMITS
from cloud.portal.offers import Audience, CodeRule, Schedule, Words
from cloud.portal.page import FORBIDDEN, STYLE, STYLE_HASH
from cloud.portal.words import language, texts

PAGES = ("", "mine", "privacy", "sign", "till")


# --- what every page is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_one_small_request_without_script_cookie_or_other_address(store, path):
    """Issue 6: <= 50 KB and one request to show an offer; no third party; no storage; no new window."""
    for number in range(6):
        store.offer(f"Offer {number}", texts={"a": {c: Words("A title " * 8, "A body. " * 60) for c in CODES}})

    for code in CODES:
        answer = store.client.get(f"/p/shop/{path}", params={"lang": code})

        assert answer.status_code == 200
        assert len(answer.content) < 50_000
        assert "set-cookie" not in answer.headers
        assert not re.search(
            r"<script|<link rel=\"stylesheet|<iframe|<img|target=|\bon[a-z]+=|style=|localStorage", answer.text
        )
        fetched = re.findall(r"(?:src|href|action|srcset)=\"([^\"]*)\"", answer.text)
        assert [address for address in fetched if not address.startswith(("/p/shop/", "data:,"))] == []
        assert f'<html lang="{code}">' in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_lets_the_one_style_in_and_nothing_else(store, path):
    answer = store.client.get(f"/p/shop/{path}")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))

    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'sha256-{STYLE_HASH}'"
    assert re.findall(r"<style>(.*?)</style>", answer.text, re.S) == [STYLE]
    assert (policy["form-action"], policy["frame-ancestors"], policy["base-uri"]) == ("'self'", "'none'", "'none'")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


def test_every_text_is_there_in_every_language_and_takes_the_same_values():
    for key, by_language in texts().items():
        assert set(by_language) == set(CODES), key
        fields = {code: sorted(re.findall(r"{(\w+)}", text)) for code, text in by_language.items()}
        assert len({tuple(found) for found in fields.values()}) == 1, (key, fields)


@pytest.mark.parametrize(
    ("asked", "header", "code"),
    [("", "fr-CA,fr;q=0.9", "fr"), ("", "de", "en"), ("pt", "fr", "pt"), ("xx", "pt-BR", "pt"), ("", "", "en")],
)
def test_the_page_speaks_the_readers_language(store, asked, header, code):
    answer = store.client.get("/p/shop/", params={"lang": asked}, headers={"accept-language": header})

    assert f'<html lang="{code}">' in answer.text


def test_what_a_merchant_writes_is_text_and_nothing_else(store):
    store.offer(texts={"a": {"en": Words('<script>alert("1")</script>', "<b>{{ 7*7 }}</b>")}})

    text = store.shopper().answer.text

    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;{{ 7*7 }}&lt;/b&gt;" in text


@pytest.mark.parametrize("path", ["", *PAGES[1:], "api", "consent", "qr.svg", "mine.json"])
def test_a_store_that_is_none_has_no_page(store, path):
    assert store.client.get(f"/p/nowhere/{path}").status_code == 404


# --- the question -------------------------------------------------------------------------------------------------------


def test_yes_and_no_are_asked_in_the_same_way(store):
    """To refuse is as easy as to agree (CNIL, guidelines on cookies and tracers): same button, side by side, same form."""
    shopper = store.shopper()

    yes, no = re.findall(
        r'<form method="post" action="/p/shop/(?:agree|refuse)">(.*?)</form>', shopper.answer.text, re.S
    )

    assert re.sub(r">[^<]*</button>", ">", yes) == re.sub(r">[^<]*</button>", ">", no)
    assert re.search(r"<button>Yes, I agree</button>", yes)
    assert re.search(r"<button>No, thanks</button>", no)


def test_who_agrees_gets_a_link_that_knows_them_on_any_phone(store):
    store.offer("For friends", audience="agreed")
    shopper = store.shopper()
    assert "For friends" not in shopper.text()

    shopper.send("agree")

    assert "For friends" in shopper.text()
    assert re.fullmatch("[a-z2-7]{24}", shopper.carried()["visitor"])
    shopper.reload()
    assert "For friends" in shopper.text()


def test_who_says_no_keeps_every_public_offer_and_leaves_nothing_behind(store):
    store.offer("For all")
    before = store.dump()
    shopper = store.shopper()

    shopper.send("refuse")

    assert "For all" in shopper.text()
    assert "Nothing about you is kept" in shopper.text()
    assert "visitor" not in shopper.carried()
    assert store.dump() == before


def test_looking_writes_nothing(store):
    store.offer()
    before = store.dump()

    for path in (*PAGES, "api", "consent?visit=" + VISIT, "qr.svg"):
        store.client.get(f"/p/shop/{path}")

    assert store.dump() == before


@pytest.mark.parametrize("mode", ["count", "day"])
def test_outside_mode_consent_nobody_is_asked_and_nobody_is_known(tmp_path, host, mode):
    """A mode that does not allow recognition must make it impossible."""
    store = Store(tmp_path, *host, mode=mode)
    try:
        store.offer("For friends", audience="agreed")
        shopper = store.shopper(visit=VISIT)
        assert "May Ivizone recognise you" not in shopper.text()
        before = store.dump()

        answer = store.client.post("/p/shop/agree", data={"visit": VISIT})

        assert answer.status_code == 404
        assert store.dump() == before
        assert store.client.get("/p/shop/consent", params={"visit": VISIT}).text == "open"
    finally:
        store.close()


def test_a_store_that_leaves_mode_consent_knows_nobody_any_more_but_still_lets_them_erase(store):
    store.offer("For friends", audience="agreed")
    shopper = store.shopper()
    shopper.send("agree")
    from cloud.databases.tables import sites

    with store.database.begin() as connection:
        connection.execute(update(sites).values(legal_mode="day"))

    assert "For friends" not in shopper.open(visitor=shopper.carried()["visitor"]).text
    shopper.follow("My data")
    shopper.send("erase")
    assert "Everything about you is erased" in shopper.text()


# --- targets ------------------------------------------------------------------------------------------------------------


def test_first_visit_returning_and_long_stay_come_from_the_pages_own_visits(store):
    for kind in ("first_visit", "returning"):
        store.offer(kind, audience=kind)
    store.offer("stayed", audience=Audience("stayed", 20))
    shopper = store.shopper()
    shopper.send("agree")
    assert [kind in shopper.text() for kind in ("first_visit", "returning", "stayed")] == [True, False, False]

    store.clock.ms += 21 * MIN_MS
    shopper.reload()
    assert [kind in shopper.text() for kind in ("first_visit", "returning", "stayed")] == [True, False, True]

    store.clock.ms += DAY_MS
    shopper.reload()
    assert [kind in shopper.text() for kind in ("first_visit", "returning", "stayed")] == [False, True, False]


def test_an_offer_of_the_evening_is_shown_in_the_evening(store):
    """12:00 UTC is 13:00 in Paris."""
    store.offer("Evening", schedule=Schedule(from_clock="17:00", to_clock="19:00"))
    assert "Evening" not in store.shopper().text()

    store.clock.ms += 4 * 60 * MIN_MS

    assert "Evening" in store.shopper().text()


def test_an_offer_of_another_store_is_not_shown(store):
    from cloud.domain.site import Site

    store.fleet.add_site(Site("second", "Second", "UTC", "consent"))
    store.offer("Only there", sites=frozenset({"second"}))

    assert "Only there" not in store.shopper().text()
    assert "Only there" in store.client.get("/p/second/").text


def test_who_is_held_out_does_not_see_the_offer_and_is_counted(store):
    measured = store.measured("For some", codes=None)
    seen = {True: 0, False: 0}
    for _ in range(40):
        shopper = store.shopper()
        shopper.send("agree")
        seen["For some" in shopper.text()] += 1

    arms = [row["arm"] for row in store.rows(trials) if row["offer"] == measured.offer]
    assert len(arms) == 40
    assert arms.count("holdout") == seen[False]
    assert seen[True] > seen[False]


def test_a_link_of_one_store_is_nobody_at_another(store):
    from cloud.domain.site import Site

    store.fleet.add_site(Site("second", "Second", "UTC", "consent"))
    store.offer("Friends there", audience="agreed", sites=frozenset({"second"}))
    shopper = store.shopper()
    shopper.send("agree")

    answer = store.client.get("/p/second/", params=shopper.carried())

    assert "Friends there" not in answer.text


# --- codes --------------------------------------------------------------------------------------------------------------


def test_a_code_is_drawn_once_however_often_the_form_is_sent(store):
    store.offer(codes=CodeRule(stock=5))
    shopper = store.shopper()
    first = shopper.answer

    shopper.send("code")
    drawn = shopper.codes()
    shopper.answer = first
    shopper.send("code")

    assert shopper.codes() == drawn
    assert len(drawn) == 1
    assert len(store.rows(codes)) == 1
    assert store.rows(offers)[0]["codes_left"] == 4


def test_a_cap_holds_for_who_agreed_whichever_form_they_send(store):
    store.offer(audience="agreed", codes=CodeRule(cap=2))
    shopper = store.shopper()
    shopper.send("agree")
    shopper.send("code")
    shopper.send("code")
    assert len(shopper.codes()) == 2

    (offer,) = store.rows(offers)
    for number in range(5):
        store.client.post("/p/shop/code", data={**shopper.carried(), "offer": offer["offer"], "number": str(number)})

    assert len(store.rows(codes)) == 2


def test_the_last_code_goes_to_one(store):
    store.offer(codes=CodeRule(stock=1))
    first, second = store.shopper(), store.shopper()

    first.send("code")
    second.send("code")

    assert len(first.codes()) == 1
    assert second.codes() == []
    assert "the last code has just gone" in second.text()
    assert "Get my code" not in store.shopper().text()


def test_an_offer_that_was_stopped_meanwhile_gives_no_code(store):
    offer = store.offer()
    shopper = store.shopper()
    store.offers.stop(OWNER, offer.offer)

    shopper.send("code")

    assert "not available any more" in shopper.text()
    assert store.rows(codes) == []


def test_a_stopped_offers_codes_stay_in_hand(store):
    offer = store.offer()
    shopper = store.shopper()
    shopper.send("code")
    drawn = shopper.codes()

    store.offers.stop(OWNER, offer.offer)

    shopper.reload()
    assert shopper.codes() == drawn


def test_the_access_points_token_holds_a_cap_for_the_day_of_who_did_not_agree(store):
    """Opening the page ten times anew, as a captive browser does that forgets everything, gives the one code each time."""
    store.offer(codes=CodeRule(cap=1))
    seen = set()
    for _ in range(10):
        shopper = store.shopper(visit=VISIT)
        if not shopper.codes():
            shopper.send("code")
        seen |= set(shopper.codes())
    assert len(seen) == len(store.rows(codes)) == 1

    store.shopper(visit="d" * 24).send("code")
    assert len(store.rows(codes)) == 2, "another phone's day"


def test_a_code_of_the_day_is_still_there_after_agreeing_and_on_the_next_day(store):
    store.offer(codes=CodeRule(cap=1))
    shopper = store.shopper(visit=VISIT)
    shopper.send("code")
    drawn = shopper.codes()
    shopper.send("agree")
    assert shopper.codes() == drawn

    store.clock.ms += DAY_MS
    shopper.reload()
    assert shopper.codes() == drawn


def test_a_targeted_offer_gives_no_code_to_who_is_not_its_audience(store):
    offer = store.offer(audience="returning")
    for carried in ({}, {"ticket": VISIT}):
        store.client.post("/p/shop/code", data={**carried, "offer": offer.offer, "number": "0"})

    assert store.rows(codes) == []


def test_a_code_drawn_before_agreeing_is_still_there_after(store):
    store.offer()
    shopper = store.shopper()
    shopper.send("code")
    drawn = shopper.codes()

    shopper.send("agree")

    assert shopper.codes() == drawn
    assert "ticket" not in shopper.carried()


# --- limits, and what is refused ----------------------------------------------------------------------------------------


def test_a_program_that_drains_codes_is_stopped(store, monkeypatch):
    monkeypatch.setitem(LIMITS, "code", 5)
    offer = store.offer()
    answers = [
        httpx.post(f"{store.client.base_url}/p/shop/code", data={"ticket": VISIT, "offer": offer.offer, "number": "0"})
        for _ in range(6)
    ]

    assert [answer.status_code for answer in answers] == [303] * 5 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert store.page.portal.limits.refused == {"code": 1}
    store.clock.ms += 10 * MIN_MS
    assert store.client.post("/p/shop/code", data={"ticket": VISIT, "offer": offer.offer}).status_code == 200


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_a_network_that_forwards_the_address_is_told_so(store, name):
    """openNDS with FAS puts clientmac into its query: such a page is refused before anything is read, so that the installer sees it."""
    for path in ("", "consent", "api", "mine"):
        answer = store.client.get(f"/p/shop/{path}", params={name: "02:00:5e:00:53:01", "visit": VISIT})

        assert answer.status_code == 400
        assert "02:00" not in answer.text
        assert "openNDS" in answer.text


@pytest.mark.parametrize("body", [b"visit=%ff%fe", b"a" * 70_000, b"{}"])
def test_a_form_that_cannot_be_read_does_nothing(store, body):
    before = store.dump()
    headers = {"content-type": "application/x-www-form-urlencoded"}

    for path in ("withdraw", "erase", "code", "refuse"):
        assert store.client.post(f"/p/shop/{path}", content=body, headers=headers).status_code == 200
    assert store.dump() == before


def test_the_text_that_was_agreed_to_has_its_own_version_in_each_language(store):
    versions = {consent_text(language(code), name).version for code in CODES for name in ("Ivizone", "Another")}

    assert len(versions) == 6


def test_what_is_kept_of_yesterday_is_the_day_and_not_the_time(store):
    shopper = store.shopper()
    shopper.send("agree")
    store.clock.ms += DAY_MS
    shopper.reload()

    rows = sorted(store.rows(shopper_visits), key=lambda row: row["date"])

    assert [(row["date"], row["opened_ms"] is None) for row in rows] == [("2026-11-20", True), ("2026-11-21", False)]
    assert rows[1]["opened_ms"] % MIN_MS == 0
