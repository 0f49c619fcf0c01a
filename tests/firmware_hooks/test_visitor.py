"""The token of a visitor: who it can mean, for how long, and what never leaves."""

from __future__ import annotations

import re
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_hooks.errors import HookError, KeyUnusable, NotAllowed
from firmware_hooks.visitor import (
    VisitorKey,
    check_allowed,
    load_or_make,
    parse_address,
    parse_key,
    visit_token,
    visitor_token,
)

KEY = VisitorKey(20_000, bytes(range(32)))
PHONE, OTHER = bytes.fromhex("02005e005301"), bytes.fromhex("02005e005302")
addresses = st.binary(min_size=6, max_size=6)


def test_the_token_is_the_one_of_the_text():
    """Computed apart from the code: BLAKE2s keyed, 15 bytes, base32 in small letters."""
    from base64 import b32encode
    from hashlib import blake2s

    lasting = blake2s(key=KEY.key, person=b"ivz-vstr").digest()

    assert visitor_token(KEY, PHONE).encode() == b32encode(blake2s(PHONE, key=lasting, digest_size=15).digest()).lower()
    assert re.fullmatch("[a-z2-7]{24}", visitor_token(KEY, PHONE))


def test_a_visit_token_lasts_a_day_and_a_visitor_token_as_long_as_the_key():
    assert visit_token(KEY, PHONE, 20_001) == visit_token(KEY, PHONE, 20_001)
    assert visit_token(KEY, PHONE, 20_001) != visit_token(KEY, PHONE, 20_002)
    assert len({visitor_token(KEY, PHONE), visitor_token(KEY, OTHER), visit_token(KEY, PHONE, 20_001)}) == 3


@given(addresses, st.binary(min_size=32, max_size=32))
def test_a_new_key_makes_every_token_an_orphan(address, key):
    if key != KEY.key:
        assert visitor_token(VisitorKey(20_000, key), address) != visitor_token(KEY, address)


def test_a_key_is_replaced_when_its_life_is_over_and_nothing_of_it_is_left(tmp_path):
    path = tmp_path / "state" / "visitor.key"
    first = load_or_make(path, 20_000, 30)

    assert load_or_make(path, 20_029, 30) == first
    second = load_or_make(path, 20_030, 30)
    assert second != first
    assert first.key.hex() not in path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["visitor.key"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_clock_that_is_not_set_yet_replaces_no_key(tmp_path):
    """An access point begins at 1970 after each power cut."""
    path = tmp_path / "visitor.key"
    first = load_or_make(path, 20_000, 30)

    assert load_or_make(path, 0, 30) == first


@pytest.mark.parametrize(
    "text", ["", "x", "ivizone-visitor-key-1 5 00", "ivizone-visitor-key-2 5 " + "00" * 32, "a b zz"]
)
def test_a_damaged_key_file_is_refused_without_printing_it(tmp_path, text):
    (tmp_path / "visitor.key").write_text(text)

    with pytest.raises(KeyUnusable, match="remove it and a new key is made") as caught:
        load_or_make(tmp_path / "visitor.key", 20_000, 30)
    assert "0000" not in str(caught.value)


@given(st.integers(0, 40_000), st.binary(min_size=32, max_size=32))
def test_a_key_survives_its_file(day, key):
    assert parse_key(VisitorKey(day, key).to_text()) == VisitorKey(day, key)


def test_a_key_does_not_show_in_a_traceback():
    assert KEY.key.hex() not in repr(KEY)


@pytest.mark.parametrize("mode", ["count", "day", "", "CONSENT"])
def test_only_mode_consent_gives_tokens(mode):
    with pytest.raises(NotAllowed, match="in mode 'consent' only"):
        check_allowed(mode, 180)


@pytest.mark.parametrize("days", [0, -1, 401])
def test_a_life_beyond_thirteen_months_is_refused(days):
    with pytest.raises(NotAllowed, match=f"visitor_key_days is {days}; use 1 to 400"):
        check_allowed("consent", days)


@pytest.mark.parametrize("text", ["02:00:5e:00:53:01\n", "02-00-5E-00-53-01"])
def test_an_address_is_read_as_opennds_writes_it(text):
    assert parse_address(text) == PHONE


@given(st.text().filter(lambda t: not re.fullmatch(r"\s*[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}\s*", t)))
def test_what_is_no_address_is_refused_and_not_repeated(text):
    with pytest.raises(HookError) as caught:
        parse_address(text)
    assert str(caught.value) == "no address on standard input; give one line such as openNDS's $clientmac"
