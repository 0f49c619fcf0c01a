"""The till: a code is good once, here, until its day; and nobody guesses."""

from __future__ import annotations

import threading

import pytest
from support.clouds import DAY_MS, MIN_MS
from support.portal import OWNER

from cloud.databases.portal_tables import codes
from cloud.domain.site import Site
from cloud.portal.offers import CodeRule, Words


@pytest.fixture
def token(store):
    return store.till.make_token(OWNER, store.site, "Counter")


def drawn(store, **offer) -> str:
    store.offer(**offer)
    shopper = store.shopper()
    shopper.send("code")
    return shopper.codes()[0]


def ask(store, act: str, code: object, token: str, site: str = "shop"):
    return store.client.post(
        f"/p/{site}/till/{act}", json={"code": code}, headers={"authorization": f"Bearer {token}".strip()}
    )


def test_a_code_is_checked_redeemed_once_and_then_used(store, token):
    code = drawn(store, title="Coffee")

    assert ask(store, "check", code, token).json() == {
        "outcome": "good", "title": "Coffee", "body": "With a cake.", "last_date": "2026-11-27", "used_date": None,
    }  # fmt: skip
    assert ask(store, "redeem", code.lower().replace("-", " "), token).json()["outcome"] == "redeemed"
    second = ask(store, "redeem", code, token)

    assert (second.status_code, second.json()["outcome"], second.json()["used_date"]) == (409, "used", "2026-11-20")


def test_of_many_tills_at_once_one_redeems(store, token):
    code = drawn(store)
    outcomes = []
    barrier = threading.Barrier(8)

    def try_it() -> None:
        barrier.wait()
        outcomes.append(store.till.redeem(store.site, code).outcome)

    tries = [threading.Thread(target=try_it) for _ in range(8)]
    for one in tries:
        one.start()
    for one in tries:
        one.join()

    assert sorted(outcomes) == ["redeemed"] + ["used"] * 7


@pytest.mark.parametrize(("days", "outcome", "status"), [(7, "good", 200), (8, "expired", 409)])
def test_a_code_lasts_to_the_end_of_its_last_day(store, token, days, outcome, status):
    code = drawn(store, codes=CodeRule(days=7))
    store.clock.ms += days * DAY_MS

    answer = ask(store, "check", code, token)

    assert (answer.status_code, answer.json()["outcome"]) == (status, outcome)


def test_a_store_where_the_offer_does_not_run_does_not_know_its_codes(store):
    store.fleet.add_site(Site("second", "Second", "UTC", "consent"))
    second = store.fleet.site("second")
    token = store.till.make_token(OWNER, second, "Counter")
    code = drawn(store)

    answer = ask(store, "redeem", code, token, "second")

    assert (answer.status_code, answer.json()["outcome"]) == (404, "unknown")
    assert store.till.check(store.site, code).outcome == "good"


def test_an_offer_of_two_stores_is_redeemed_in_either_once(store):
    store.fleet.add_site(Site("second", "Second", "UTC", "consent"))
    code = drawn(store, sites=frozenset({"shop", "second"}))

    assert store.till.redeem(store.fleet.site("second"), code).outcome == "redeemed"
    assert store.till.redeem(store.site, code).outcome == "used"
    assert [(row["used_date"], row["used_site"]) for row in store.rows(codes)] == [("2026-11-20", "second")]


@pytest.mark.parametrize("token", ["", "ivztill-x", "ivzapi-x", "Bearer"])
def test_without_its_token_a_till_is_told_nothing(store, token):
    code = drawn(store)

    answer = ask(store, "redeem", code, token)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert store.till.check(store.site, code).outcome == "good"


def test_a_token_is_its_stores_and_ends_when_it_is_revoked(store, token):
    store.fleet.add_site(Site("second", "Second", "UTC", "consent"))
    assert ask(store, "check", "K7QXM2PZ9D", token).status_code == 404
    assert ask(store, "check", "K7QXM2PZ9D", token, "second").status_code == 401

    (kept,) = store.till.tokens(OWNER, store.site)
    assert store.till.revoke(OWNER, kept["token"])

    assert ask(store, "check", "K7QXM2PZ9D", token).status_code == 401
    assert store.till.tokens(OWNER, store.site) == []
    assert token not in store.dump()


def test_guessing_codes_and_tokens_is_stopped(store, token):
    statuses = [ask(store, "check", "K7QXM2PZ9D", token).status_code for _ in range(31)]
    assert statuses == [404] * 30 + [429]
    statuses = [ask(store, "check", "K7QXM2PZ9D", f"ivztill-{n}").status_code for n in range(31)]
    assert statuses == [401] * 30 + [429]
    store.clock.ms += 10 * MIN_MS
    assert ask(store, "check", "K7QXM2PZ9D", token).status_code == 404


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"code": 7}', b"{" * 3000, b'{"code": "' + b"A" * 5000 + b'"}'])
def test_a_body_that_cannot_be_read_is_answered_with_what_can(store, token, body):
    answer = store.client.post("/p/shop/till/check", content=body, headers={"authorization": f"Bearer {token}"})

    assert answer.status_code == 400
    assert "K7QXM-2PZ9D" in answer.json()["error"]


def test_a_person_at_the_counter_looks_first_and_then_redeems(store, token):
    code = drawn(store, title="Coffee")
    till = store.shopper()
    till.open("till")

    till.send("till", token=token, code=code.lower(), act="check")
    assert "Coffee" in till.text()
    assert "Not used yet" in till.text()
    till.send("till", 0, act="redeem")

    assert "Redeemed. Give the customer the offer." in till.text()
    till.send("till", code=code, act="check")
    assert "Already used, on 20 November" in till.text()


def test_the_tills_page_never_puts_its_token_into_an_address(store, token):
    till = store.shopper()
    till.open("till")
    till.send("till", token=token, code="K7QXM2PZ9D", act="check")

    assert token not in str(till.answer.url)
    assert token not in "".join(str(r.url) for r in till.answer.history)
    assert "No such code" in till.text()


def test_a_till_with_a_wrong_token_is_told_where_to_get_one(store):
    till = store.shopper()
    till.open("till", lang="fr")
    till.send("till", token="ivztill-none", code="K7QXM2PZ9D", act="redeem")

    assert "Ce jeton est inconnu" in till.text()


def test_the_till_reads_the_words_of_the_variant_that_was_shown(store, token):
    offer = store.measured(
        texts={"a": {"en": Words("Coffee")}, "b": {"en": Words("Tea"), "fr": Words("Thé")}}, codes=CodeRule()
    )
    outcomes = set()
    for _ in range(25):
        shopper = store.shopper()
        shopper.send("agree")
        title = next((t for t in ("Coffee", "Tea") if t in shopper.text()), None)
        if title is None:
            continue
        shopper.send("code")
        found = ask(store, "check", shopper.codes()[0], token).json()
        assert found["title"] == title
        outcomes.add(title)
    assert outcomes == {"Coffee", "Tea"}, offer
