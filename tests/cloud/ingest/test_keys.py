"""Which signatures ingest believes: RFC 8032's own examples, and no key under which anybody could sign."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.domain.site import Site
from cloud.fleet.registry import AgentRecord
from cloud.ingest.keys import KnownAgents

RFC_8032_7_1 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
"""Points whose order divides 8: curve25519's torsion (RFC 7748, section 7)."""


class OneAgent:
    """A fleet of one access point with a given key."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def agent(self, name: str) -> AgentRecord:
        return AgentRecord(name, "shop", self._public_key, False, Site("shop", "Shop", "UTC"))


def holder_of(public_key: str):
    return KnownAgents(OneAgent(bytes.fromhex(public_key))).look_up("ap-test")


@pytest.mark.parametrize(("public_key", "message", "signature"), RFC_8032_7_1)
def test_examples_of_the_standard_are_signatures(public_key, message, signature):
    assert holder_of(public_key).has_signed(bytes.fromhex(signature), bytes.fromhex(message))


@given(st.sampled_from(RFC_8032_7_1), st.binary(max_size=80))
def test_no_other_message_has_the_signature(example, message):
    public_key, signed, signature = example
    assert holder_of(public_key).has_signed(bytes.fromhex(signature), message) == (message.hex() == signed)


@given(st.sampled_from(RFC_8032_7_1), st.binary(max_size=80))
def test_no_other_bytes_are_the_signature(example, signature):
    public_key, message, signed = example
    assert holder_of(public_key).has_signed(signature, bytes.fromhex(message)) == (signature.hex() == signed)


@pytest.mark.parametrize("public_key", SMALL_ORDER)
def test_a_key_under_which_anybody_can_sign_signs_nothing(public_key):
    anybody = bytes.fromhex(public_key) + bytes(32)  # R = A, S = 0
    assert not holder_of(public_key).has_signed(anybody, b"any message")
    assert not holder_of(public_key).has_signed(bytes(64), b"any message")
