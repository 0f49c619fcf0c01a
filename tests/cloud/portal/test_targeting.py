"""Which offer is due, for whom, when: a table of cases, and the laws of the draw."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.domain.site import Site
from cloud.portal.offers import (
    AUDIENCES,
    DRAFT,
    EVERYONE,
    HOLDOUT,
    RUNNING,
    STOPPED,
    A,
    Audience,
    B,
    CodeRule,
    Offer,
    Schedule,
    Trial,
    Words,
    is_over,
    rules_from_json,
    texts_from_json,
)
from cloud.portal.targeting import Known, arm_of, due_offers, why_not

SHOP = Site("shop", "Shop", "Europe/Paris", "consent")
WORDS = {"a": {"en": Words("Coffee"), "fr": Words("Café", "Avec un gâteau.")}}


def at(text: str, zone: str = "Europe/Paris") -> int:
    """Epoch ms of a local time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


NOON = at("2026-11-20 12:00")
NEW = Known("s1", 0, NOON)
BACK = Known("s1", 3, NOON)


def offer(**changes) -> Offer:
    return replace(Offer("o1", "main", WORDS, frozenset({"shop"}), RUNNING), **changes)


@pytest.mark.parametrize(
    ("schedule", "now", "why"),
    [
        (Schedule(), "2026-11-20 12:00", None),
        (Schedule(first_date="2026-11-20", last_date="2026-11-20"), "2026-11-20 00:00", None),
        (Schedule(first_date="2026-11-20", last_date="2026-11-20"), "2026-11-20 23:59", None),
        (Schedule(first_date="2026-11-21"), "2026-11-20 23:59", "not_yet"),
        (Schedule(last_date="2026-11-19"), "2026-11-20 00:00", "over"),
        (Schedule(weekdays=frozenset({4})), "2026-11-20 12:00", None),
        (Schedule(weekdays=frozenset({0, 5, 6})), "2026-11-20 12:00", "weekday"),
        (Schedule(from_clock="12:00", to_clock="14:00"), "2026-11-20 12:00", None),
        (Schedule(from_clock="12:00", to_clock="14:00"), "2026-11-20 13:59", None),
        (Schedule(from_clock="12:00", to_clock="14:00"), "2026-11-20 14:00", "clock"),
        (Schedule(from_clock="12:00", to_clock="14:00"), "2026-11-20 11:59", "clock"),
        # The clocks go forward at 02:00 on 29 March and back at 03:00 on 25 October 2026: hours are what the wall clock shows.
        (Schedule(from_clock="03:00", to_clock="04:00"), "2026-03-29 03:30", None),
        (Schedule(from_clock="02:00", to_clock="03:00"), "2026-10-25 02:30", None),
    ],
)
def test_the_schedule_is_read_in_the_stores_own_time(schedule, now, why):
    assert why_not(offer(schedule=schedule), SHOP, at(now), None) == why


def test_the_same_moment_is_another_hour_in_another_store():
    lunch = offer(schedule=Schedule(from_clock="12:00", to_clock="14:00"), sites=frozenset({"shop", "ny"}))
    new_york = Site("ny", "NY", "America/New_York", "consent")
    noon_utc = round(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1000)

    assert why_not(lunch, SHOP, noon_utc, None) is None
    assert why_not(lunch, new_york, noon_utc, None) == "clock"


@pytest.mark.parametrize(
    ("audience", "known", "why"),
    [
        (Audience("everyone"), None, None),
        (Audience("everyone"), NEW, None),
        (Audience("agreed"), None, "agreement"),
        (Audience("agreed"), NEW, None),
        (Audience("first_visit"), None, "agreement"),
        (Audience("first_visit"), NEW, None),
        (Audience("first_visit"), BACK, "audience"),
        (Audience("returning"), None, "agreement"),
        (Audience("returning"), NEW, "audience"),
        (Audience("returning"), BACK, None),
        (Audience("stayed", 20), None, "agreement"),
        (Audience("stayed", 20), Known("s1", 0, NOON - 19 * 60_000), "audience"),
        (Audience("stayed", 20), Known("s1", 0, NOON - 20 * 60_000), None),
    ],
)
def test_an_audience_is_who_agreed_and_what_their_link_tells(audience, known, why):
    assert why_not(offer(audience=audience), SHOP, NOON, known) == why


@pytest.mark.parametrize("state", [DRAFT, STOPPED])
def test_only_what_runs_is_shown(state):
    assert why_not(offer(state=state), SHOP, NOON, BACK) == "state"


def test_an_offer_of_other_stores_is_not_shown_here():
    assert why_not(offer(sites=frozenset({"other"})), SHOP, NOON, BACK) == "store"


def test_every_audience_has_a_rule():
    for kind in AUDIENCES:
        why_not(offer(audience=Audience(kind)), SHOP, NOON, BACK)


@given(st.integers(0, 50), st.booleans(), st.text(min_size=1, max_size=24))
def test_a_shopper_stays_in_their_arm(percent, has_b, shopper):
    texts = {**WORDS, "b": {"en": Words("Tea")}} if has_b else WORDS
    measured = offer(audience=Audience("agreed"), trial=Trial(percent), texts=texts)
    arms = {arm_of(measured, Known(shopper, days, NOON + days)) for days in range(3)}

    assert len(arms) == 1
    assert arms <= {A, HOLDOUT, *([B] if has_b else [])}


def test_a_tenth_is_held_out_and_the_rest_is_halved():
    """20,000 shoppers: each share within four standard deviations of what was asked for."""
    measured = offer(audience=Audience("agreed"), trial=Trial(10), texts={**WORDS, "b": {"en": Words("Tea")}})
    arms = [arm_of(measured, Known(f"shopper {n}", 0, NOON)) for n in range(20_000)]

    assert abs(arms.count(HOLDOUT) - 2000) < 4 * 42
    assert abs(arms.count(A) - 9000) < 4 * 70
    assert abs(arms.count(B) - 9000) < 4 * 70


def test_arms_of_two_offers_have_nothing_to_do_with_each_other():
    """Who is held out of one must not be held out of all."""
    one, two = (offer(offer=name, audience=Audience("agreed"), trial=Trial(50)) for name in ("o1", "o2"))
    both = [(arm_of(one, k), arm_of(two, k)) for n in range(4000) if (k := Known(f"s{n}", 0, NOON))]

    for pair in ((A, A), (A, HOLDOUT), (HOLDOUT, A), (HOLDOUT, HOLDOUT)):
        assert abs(both.count(pair) - 1000) < 4 * 28


def test_nobody_is_held_out_of_an_offer_for_everyone():
    """Whoever agreed must not see less than whoever did not."""
    public = offer(trial=Trial(50))
    for n in range(100):
        (due,) = due_offers([public], SHOP, NOON, Known(f"s{n}", 0, NOON))
        assert due.is_shown()
        assert not due.is_measured


def test_words_are_the_readers_or_the_first_that_were_written():
    assert offer().words(A, "fr") == (Words("Café", "Avec un gâteau."), "fr")
    assert offer().words(A, "pt") == (Words("Coffee"), "en")
    assert offer().words(B, "en") == (Words("Coffee"), "en")


@pytest.mark.parametrize("kind", AUDIENCES)
def test_an_offer_survives_the_database(kind):
    kept = offer(
        schedule=Schedule("2026-11-20", None, frozenset({1, 2}), "08:00", "12:00"),
        audience=Audience(kind, 20),
        codes=CodeRule(5, 2, 3),
        trial=None if kind == EVERYONE else Trial(),
    )

    assert texts_from_json(kept.texts_as_json()) == kept.texts
    assert offer(**rules_from_json(kept.rules_as_json())) == kept


def test_an_offer_is_over_after_its_last_day():
    assert not is_over(offer(), "2999-01-01")
    last = offer(schedule=Schedule(last_date="2026-11-20"))
    assert [is_over(last, day) for day in ("2026-11-20", "2026-11-21")] == [False, True]
