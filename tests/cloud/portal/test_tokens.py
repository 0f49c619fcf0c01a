"""Tokens, seeds and codes: what opens what, and what cannot be told from what."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.portal.tokens import (
    CODE_ALPHABET,
    code_of,
    hash_of,
    new_token,
    open_seal,
    seal,
    spaced,
    token_of,
    typed_code,
)
from firmware_hooks.visitor import VisitorKey, visit_token, visitor_token

seeds = st.lists(st.binary(min_size=16, max_size=16), max_size=8).map(tuple)
tokens = st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=24, max_size=24)


def test_the_access_points_tokens_are_taken_and_ours_look_like_them():
    """One form, so that nobody can tell from a link how a shopper came."""
    key, phone = VisitorKey(20_000, bytes(32)), bytes.fromhex("02005e005301")

    for token in (visit_token(key, phone, 20_001), visitor_token(key, phone), new_token(lambda n: bytes(range(n)))):
        assert token_of(token) == token


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "a" * 23,
        "a" * 25,
        "A" * 24,
        "1" * 24,
        "02:00:5e:00:53:01",
        "02005e005301",
        "a" * 23 + "\n",
        "a" * 24 + "\n",
    ],
)
def test_what_is_no_token_gets_no_further(text):
    assert token_of(text) is None


@given(seeds, tokens)
def test_a_token_opens_what_it_sealed(found, token):
    assert open_seal(seal(found, token), token) == found


@given(seeds.filter(len), tokens, tokens)
def test_another_token_opens_nothing_of_it(found, token, other):
    if token != other:
        assert not set(open_seal(seal(found, token), other)) & set(found)


def test_equal_seeds_do_not_look_equal_under_a_seal():
    """Otherwise the database would tell which codes of two places are of one seed."""
    first, second = seal([bytes(16)] * 2, "a" * 24).split()

    assert first != second


@given(st.binary(min_size=16, max_size=16), st.integers(0, 19))
def test_a_code_is_ten_letters_that_cannot_be_mistaken(seed, number):
    code = code_of(seed, "offer", number)

    assert re.fullmatch(f"[{CODE_ALPHABET}]{{10}}", code)
    assert not set(code) & set("01ILO")
    assert typed_code(spaced(code).lower().replace("-", " ")) == code


def test_codes_of_one_seed_differ_by_offer_and_number():
    codes = {code_of(bytes(16), offer, number) for offer in ("a", "b", "c") for number in range(100)}

    assert len(codes) == 300


def test_letters_of_codes_are_evenly_spread():
    """A code that prefers letters is easier to guess. 31 letters, 40,000 draws: each within 10 % of its share."""
    drawn = "".join(code_of(number.to_bytes(16, "big"), "offer", 0) for number in range(4000))
    shares = [drawn.count(letter) / len(drawn) * len(CODE_ALPHABET) for letter in CODE_ALPHABET]

    assert min(shares) > 0.9
    assert max(shares) < 1.1


@pytest.mark.parametrize("text", ["", "K7QXM-2PZ9", "K7QXM-2PZ9DD", "K7QXM-2PZ90", "'; drop", "K7QXM2PZ9I"])
def test_what_cannot_be_a_code_is_none(text):
    assert typed_code(text) is None


def test_a_hash_is_the_sha_256_of_the_letters():
    assert hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
