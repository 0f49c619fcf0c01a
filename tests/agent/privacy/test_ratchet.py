"""Keys that forget: what follows from a site key, and what no longer does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import GLOBAL, LOCAL

from agent.privacy.errors import KeyErased, SiteKeyMalformed
from agent.privacy.pseudonym import Pseudonymiser
from agent.privacy.ratchet import DayRatchet, SiteKey, replay_ratchet

KEY = SiteKey(20_000, bytes(range(32)))


def test_access_points_with_one_site_key_agree_on_every_later_day():
    """One was given the key early, the other got today's state by export."""
    early, late = DayRatchet(KEY), DayRatchet(KEY)
    late.key_of(20_010)

    assert early.key_of(20_042) == DayRatchet(late.state()).key_of(20_042)


def test_the_keys_are_those_of_the_text():
    """Computed apart from the code, with hashlib: chain step personalised ivz-next, key ivz-day."""
    from hashlib import blake2s

    following = blake2s(key=KEY.chain, person=b"ivz-next").digest()

    assert DayRatchet(KEY).key_of(20_001) == blake2s(key=following, person=b"ivz-day").digest()


def test_the_key_of_a_day_that_is_over_is_gone():
    ratchet = DayRatchet(KEY)
    ratchet.key_of(20_001)

    with pytest.raises(KeyErased, match="day 20000 is erased"):
        ratchet.key_of(20_000)


def test_nothing_of_the_state_after_a_step_is_the_state_before():
    ratchet = DayRatchet(KEY)
    ratchet.key_of(20_001)

    assert KEY.chain not in (ratchet.state().chain, bytes(ratchet._chain))


def test_a_replay_never_makes_a_live_pseudonym():
    live, replayed = DayRatchet(KEY).key_of(20_000), replay_ratchet(KEY, 20_000).key_of(20_000)

    assert Pseudonymiser(live).pseudonym(LOCAL) != Pseudonymiser(replayed).pseudonym(LOCAL)


def test_a_pseudonym_depends_on_address_and_key_alone():
    one, other = Pseudonymiser(b"1" * 32), Pseudonymiser(b"2" * 32)

    assert one.pseudonym(LOCAL) == Pseudonymiser(b"1" * 32).pseudonym(LOCAL)
    assert len({one.pseudonym(LOCAL), one.pseudonym(GLOBAL), other.pseudonym(LOCAL)}) == 3
    assert len(one.pseudonym(LOCAL)) == 8


@given(st.integers(0, 40_000), st.binary(min_size=32, max_size=32))
def test_a_site_key_survives_paper(day: int, chain: bytes):
    key = SiteKey(day, chain)

    assert SiteKey.from_text("  " + key.to_text().lower() + "\n") == key


@given(st.integers(0, 51), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_a_site_key_with_a_wrong_letter_is_refused_without_printing_it(place: int, letter: str):
    text = KEY.to_text()
    start = len(text) - 55 + place
    wrong = text[:start] + letter + text[start + 1 :]
    if wrong == text:
        return
    with pytest.raises(SiteKeyMalformed) as caught:
        SiteKey.from_text(wrong)
    assert text[-20:] not in str(caught.value)


def test_a_site_key_does_not_show_in_a_traceback():
    assert KEY.chain.hex() not in repr(KEY)
    assert repr(KEY) == "SiteKey(day=20000)"


def test_a_clock_far_ahead_is_no_reason_to_step_for_minutes():
    with pytest.raises(KeyErased, match="set the clock"):
        DayRatchet(KEY).key_of(10_000_000)
