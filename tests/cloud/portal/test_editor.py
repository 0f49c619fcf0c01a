"""The merchant's side: what a form may say, who may say it, and what an offer's figures tell in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import People, form_key
from support.clouds import Cloud, served
from support.portal import OWNER, plain

from cloud.accounts.viewer import ROLES, of_role
from cloud.databases.portal_tables import consent_texts, consents, offer_sites, offers, trial_tallies
from cloud.databases.tables import audit
from cloud.domain.language import CODES
from cloud.domain.site import Site
from cloud.portal.offer_form import Wrong, form_fields_of, read_form
from cloud.portal.offer_store import Results
from cloud.portal.offer_words import compared_text, results_text, signed
from cloud.portal.offers import AUDIENCES, Audience, CodeRule, Offer, Schedule, Trial, Words
from cloud.portal.uplift import Counted, compare
from cloud.portal.words import language

LEAST = {"title_a_en": "Coffee", "sites": "shop"}


# --- the form -----------------------------------------------------------------------------------------------------------


def test_a_title_and_a_store_are_enough():
    offer = read_form(LEAST, "main", ["shop", "other"])

    assert offer == Offer("", "main", {"a": {"en": Words("Coffee")}}, frozenset({"shop"}))


@pytest.mark.parametrize(
    ("field", "value", "key"),
    [
        ("title_a_en", "", "title"),
        ("title_a_en", "x" * 81, "long"),
        ("title_a_en", "bell \x07", "long"),
        ("body_a_en", "x" * 401, "long"),
        ("sites", "", "sites"),
        ("sites", "somebody-elses", "sites"),
        ("first_date", "20.11.2026", "date"),
        ("last_date", "2026-02-30", "date"),
        ("from_clock", "7", "clock"),
        ("to_clock", "25:00", "clock"),
        ("audience", "women", "audience"),
        ("stock", "0", "number"),
        ("stock", "-1", "number"),
        ("stock", "many", "number"),
        ("cap", "21", "number"),
        ("days", "91", "number"),
        ("holdout_percent", "51", "number"),
        ("return_days", "0", "number"),
        ("stay_min", "0", "number"),
    ],
)
def test_what_cannot_be_is_said_at_its_field(field, value, key):
    more = {"stay_min": {"audience": "stayed"}, "holdout_percent": {"audience": "agreed"}}.get(field, {})
    more |= {"audience": "agreed"} if field == "return_days" else {}
    with pytest.raises(Wrong) as caught:
        read_form({**LEAST, "has_codes": "1", **more, field: value}, "main", ["shop"])

    assert {name: error[0] for name, error in caught.value.errors.items()} == {field: key}


@pytest.mark.parametrize(
    ("fields", "field", "key"),
    [
        ({"first_date": "2026-11-20", "last_date": "2026-11-19"}, "last_date", "dates"),
        ({"from_clock": "19:00", "to_clock": "10:00"}, "to_clock", "clocks"),
        ({"body_b_fr": "A text without a title"}, "title_b_fr", "title"),
    ],
)
def test_what_does_not_fit_together_is_said(fields, field, key):
    with pytest.raises(Wrong) as caught:
        read_form({**LEAST, **fields}, "main", ["shop"])

    assert caught.value.errors[field][0] == key


def test_every_error_has_words_in_every_language():
    keys = {"number", "date", "clock", "dates", "clocks", "title", "long", "sites", "audience"}
    for code in CODES:
        for key in keys:
            assert language(code).say(f"error.{key}", low=1, high=9)


@given(
    st.dictionaries(
        st.sampled_from([*form_fields_of(read_form(LEAST, "main", ["shop"])), "title_b_en", "body_a_fr"]),
        st.text(max_size=30),
    )
)
def test_any_form_is_an_offer_or_an_error_and_nothing_else(fields):
    try:
        offer = read_form({**LEAST, **fields}, "main", ["shop"])
    except Wrong:
        return
    else:
        assert read_form(form_fields_of(offer), "main", ["shop"]) == offer


@pytest.mark.parametrize("kind", AUDIENCES)
def test_the_form_shows_what_was_written(kind):
    trial = None if kind == "everyone" else Trial(20, 30)
    offer = Offer(
        "", "main", {"a": {"en": Words("A", "B")}, "b": {"pt": Words("C")}}, frozenset({"shop"}),
        schedule=Schedule("2026-11-20", "2026-12-24", frozenset({0, 6}), "08:00", "12:30"),
        audience=Audience(kind, 30 if kind == "stayed" else 0), codes=CodeRule(5, 2, 3), trial=trial,
    )  # fmt: skip

    assert read_form(form_fields_of(offer), "main", ["shop"]) == offer


# --- keeping ------------------------------------------------------------------------------------------------------------


def test_what_ran_is_never_rewritten(store):
    offer = store.offer("First words")

    changed = Offer(offer.offer, "main", {"a": {"en": Words("Other words")}}, frozenset({"shop"}))

    assert store.offers.save(OWNER, changed) is None
    assert "First words" in store.shopper().text()
    store.offers.stop(OWNER, offer.offer)
    assert store.offers.save(OWNER, changed) is None
    assert not store.offers.start(OWNER, offer.offer)
    assert not store.offers.drop(OWNER, offer.offer)


def test_each_deed_is_in_the_audit(store):
    offer = store.offer()
    store.offers.stop(OWNER, offer.offer)
    draft = store.offer(is_draft=True)
    store.offers.drop(OWNER, draft.offer)

    deeds = [(row["action"], row["login"], row["subject"]) for row in store.rows(audit)]

    assert deeds == [
        ("offer_written", "owner@main", offer.offer),
        ("offer_started", "owner@main", offer.offer),
        ("offer_stopped", "owner@main", offer.offer),
        ("offer_written", "owner@main", draft.offer),
        ("offer_deleted", "owner@main", draft.offer),
    ]


def test_a_merchant_cannot_touch_or_place_an_offer_beyond_their_own(store):
    from cloud.accounts.accounts import Accounts, Merchant
    from cloud.accounts.passwords import Passwords

    Accounts(store.database, Passwords(), store.clock).add_merchant(Merchant("other", "Other"))
    store.fleet.add_site(Site("theirs", "Theirs", "UTC", "consent", merchant="other"))
    stranger = of_role("other", "owner@other", "owner")
    offer = store.offer("Ours", is_draft=True)

    assert store.offers.of(stranger) == []
    assert store.offers.one(stranger, offer.offer) is None
    assert not store.offers.start(stranger, offer.offer)
    assert not store.offers.drop(stranger, offer.offer)
    assert (
        store.offers.save(stranger, Offer(offer.offer, "other", {"a": {"en": Words("Stolen")}}, frozenset({"theirs"})))
        is None
    )
    placed = store.offers.save(stranger, Offer("", "other", {"a": {"en": Words("Ad")}}, frozenset({"theirs", "shop"})))
    assert {row["site"] for row in store.rows(offer_sites) if row["offer"] == placed.offer} == {"theirs"}
    assert store.till.tokens(stranger, store.site) == []
    store.till.make_token(OWNER, store.site, "Counter")
    (token,) = store.till.tokens(OWNER, store.site)
    assert not store.till.revoke(stranger, token["token"])


# --- over HTTP ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """The pages of a merchant, as a signed-in person sees them."""
    made = Cloud(tmp_path_factory.mktemp("desk"), mode="consent", name="The shop")
    people = People(made.embedded)
    with served(made.embedded.app(works=False)) as client:
        yield made, client, people
    made.close()


@pytest.mark.parametrize("role", ROLES)
def test_who_may_write_and_who_may_read(desk, role):
    _, client, people = desk
    with people.browser(client, f"{role}@main") as browser:
        read = browser.get("/offers").status_code
        form = browser.get("/offers/new").status_code
        key = form_key(browser.get("/account").text)
        written = browser.post("/offers", data={**LEAST, "form_key": key}).status_code
        store = browser.get("/sites/shop/page").status_code

    expected = {"owner": (200, 200, 303, 200), "analyst": (200, 403, 403, 403), "installer": (403, 403, 403, 403)}
    assert (read, form, written, store) == expected[role]


def test_a_draft_is_written_changed_started_stopped_and_copied(desk):
    made, client, people = desk
    with people.browser(client, "owner@main") as browser:
        browser.follow_redirects = True
        key = form_key(browser.get("/offers/new").text)
        page = browser.post("/offers", data={**LEAST, "form_key": key})
        path = page.url.path
        assert "Start it" in page.text
        page = browser.post(f"{path}/edit", data={**LEAST, "title_a_en": "Cake", "form_key": key})
        assert "Cake" in page.text
        assert "shown" in plain(browser.post(f"{path}/start", data={"form_key": key}).text)
        assert "Cake" in client.get("/p/shop/").text
        assert browser.get(f"{path}/edit").status_code == 409
        browser.post(f"{path}/stop", data={"form_key": key})
        assert "Cake" not in client.get("/p/shop/").text
        assert browser.post(f"{path}/start", data={"form_key": key}).status_code == 409
        copied = browser.post(f"{path}/copy", data={"form_key": key})
        assert 'value="Cake"' in copied.text
        gone = browser.post(copied.url.path.replace("/edit", "/drop"), data={"form_key": key})
        assert gone.url.path == "/offers"
        assert browser.get(copied.url.path).status_code == 404
    with made.embedded.database.connect() as connection:
        states = {row.offer: row.state for row in connection.execute(offers.select())}
    assert states[path.rsplit("/", 1)[1]] == "stopped"


@pytest.mark.parametrize("code", CODES)
def test_every_page_is_there_in_every_language(desk, code):
    _, client, people = desk
    with people.browser(client, "owner@main") as browser:
        browser.follow_redirects = True
        key = form_key(browser.get("/offers/new").text)
        both = {
            "title_b_en": "Tea",
            "audience": "stayed",
            "has_codes": "1",
            "first_date": "2026-11-01",
            "weekdays": "1 2",
        }
        path = browser.post("/offers", data={**LEAST, **both, "form_key": key}).url.path
        browser.post(f"{path}/start", data={"form_key": key})
        browser.cookies.set("ivizone_language", code)
        for page in ("/offers", "/offers/new", path, f"{path}/preview", "/sites/shop/page"):
            answer = browser.get(page)
            assert answer.status_code == 200, page
            assert f'<html lang="{code}">' in answer.text
            assert not re.search(r"{\w+}", plain(answer.text)), page


def test_the_preview_may_be_framed_by_us_and_sends_nothing(desk):
    _, client, people = desk
    with people.browser(client, "owner@main") as browser:
        browser.follow_redirects = True
        key = form_key(browser.get("/offers/new").text)
        path = browser.post("/offers", data={**LEAST, "has_codes": "1", "form_key": key}).url.path
        outer, inner = browser.get(f"{path}/preview"), browser.get(f"{path}/preview/page")

    assert "frame-src 'self'" in outer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in outer.headers["content-security-policy"]
    assert "frame-ancestors 'self'" in inner.headers["content-security-policy"]
    assert "form-action 'none'" in inner.headers["content-security-policy"]
    assert "Coffee" in inner.text


def test_a_tills_token_is_shown_once(desk):
    _, client, people = desk
    with people.browser(client, "owner@main") as browser:
        key = form_key(browser.get("/sites/shop/page").text)
        made = browser.post("/sites/shop/page/tills", data={"form_key": key, "label": "Counter"}).text
        again = browser.get("/sites/shop/page").text
        refused = browser.post("/sites/shop/page/tills", data={"form_key": key, "label": " "})

    assert re.search(r"ivztill-[\w-]{43}", made)
    assert "ivztill-" not in again
    assert "Counter" in again
    assert refused.status_code == 422


def test_agreements_are_counted_and_few_are_not_told(desk):
    made, client, people = desk
    with made.embedded.database.begin() as connection:
        connection.execute(consent_texts.insert(), {"version": "v", "language": "en", "text": "t", "first_ms": 1})
        rows = [
            {"consent": f"c{n}", "site": "shop", "version": "v", "given_ms": 1, "withdrawn_ms": 2 if n < 3 else None}
            for n in range(12)
        ]
        connection.execute(consents.insert(), rows)
    with people.browser(client, "owner@main") as browser:
        text = plain(browser.get("/sites/shop/page").text)

    assert "9 in force, < 5 taken back." in text


# --- figures in words ---------------------------------------------------------------------------------------------------

MEASURED = Offer("o", "main", {"a": {"en": Words("A")}, "b": {"en": Words("B")}}, frozenset(), "running", audience=Audience("agreed"),
                 codes=CodeRule(10), trial=Trial(), codes_left=4)  # fmt: skip
SENTENCES = {
    "better": (
        Counted(900, 450),
        Counted(100, 20),
        "Yes, with good confidence. Of 900 shoppers who were due to see it, 50\u00a0% came back within 14 days",
    ),
    "worse": (Counted(900, 90), Counted(100, 40), "No: it seems to keep people away."),
    "open": (Counted(90, 30), Counted(20, 7), "It cannot be said yet."),
    "few": (Counted(900, 450), Counted(4, 2), "Too few shoppers so far"),
}


@pytest.mark.parametrize("verdict", SENTENCES)
def test_an_effect_is_a_sentence(verdict):
    first, second, words = SENTENCES[verdict]

    said = results_text(MEASURED, Results(6, 2, 0, compare(first, second), None), language("en"))

    assert said["verdict"] == verdict
    assert said["uplift"].startswith(words)
    assert said["codes"] == "Codes: 6 drawn, 2 used at the till. 4 left."


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("verdict", SENTENCES)
def test_the_sentences_are_there_in_every_language_for_both_questions(code, verdict):
    first, second, _ = SENTENCES[verdict]
    for prefix in ("results.", "results.b_"):
        text = compared_text(prefix, compare(first, second), 14, language(code))
        assert text
        assert "{" not in text


def test_the_interval_is_rounded_outward():
    text = compared_text("results.", compare(Counted(900, 450), Counted(100, 20)), 14, language("en"))
    found = compare(Counted(900, 450), Counted(100, 20)).difference

    low, high = map(int, re.search(r"most likely \+(\d+) to \+(\d+)", text).groups())
    assert low <= 100 * found.low
    assert high >= 100 * found.high


def test_few_who_are_still_waiting_are_not_told(store):
    said = results_text(MEASURED, Results(0, 0, 3, compare(Counted(0, 0), Counted(0, 0)), None), language("en"))

    assert said["waiting"].startswith("<\u00a05 shoppers")


def test_an_offer_for_everyone_claims_no_effect():
    public = Offer("o", "main", {"a": {"en": Words("A")}}, frozenset())

    said = results_text(public, Results(0, 0, 0, None, None), language("en"))

    assert said["uplift"].startswith("Nothing is compared")


def test_the_figures_of_an_offer_are_those_of_its_shoppers(store):
    offer = store.measured(codes=None)
    with store.database.begin() as connection:
        for arm, whole, part in (("a", 90, 40), ("holdout", 20, 6)):
            connection.execute(
                trial_tallies.insert(), {"offer": offer.offer, "arm": arm, "shoppers": whole, "returned": part}
            )

    found = store.offers.results(OWNER, offer, "2026-12-31").uplift

    assert (found.first, found.second) == (Counted(90, 40), Counted(20, 6))


@pytest.mark.parametrize(("points", "text"), [(3, "+3"), (0, "0"), (-2, "\u22122")])
def test_points_carry_their_sign(points, text):
    assert signed(points) == text
