"""Our CBOR beside cbor2's."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.cbor import Tagged, decode, encode
from agent.wire.errors import CborError

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 64), (1 << 64) - 1), st.binary(max_size=40), st.text(max_size=40)
)
keys = st.one_of(st.integers(-1000, 1 << 40), st.text(max_size=12), st.binary(max_size=12))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(values)
def test_encode_and_decode_are_inverse(value: object):
    assert decode(encode(value)) == value


@settings(max_examples=300, deadline=None)
@given(values)
def test_cbor2_reads_what_we_write_and_writes_the_same(value: object):
    assert cbor2.loads(encode(value)) == value
    assert cbor2.dumps(value, canonical=True, string_referencing=False) == encode(value) or isinstance(
        value, dict | list
    )


@pytest.mark.parametrize("length", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_heads_are_the_shortest(length: int):
    """RFC 8949, 4.2.1; cbor2 is the oracle."""
    assert encode(b"x" * length) == cbor2.dumps(b"x" * length)
    assert encode(length) == cbor2.dumps(length)
    assert encode(-1 - length) == cbor2.dumps(-1 - length)


def test_tags_are_kept():
    assert decode(encode(Tagged(18, [1]))) == Tagged(18, [1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param("", "ends at byte 0", id="nothing"),
        pytest.param("1800", "longer than it need be", id="a head that is too long"),
        pytest.param("9fff", "indefinite", id="indefinite length"),
        pytest.param("fb3ff0000000000000", "float", id="a float"),
        pytest.param("a2020001 00".replace(" ", ""), "out of order", id="keys out of order"),
        pytest.param("a201000100", "duplicate", id="a key twice"),
        pytest.param("9affffffff", "runs past the end", id="a giant array of nothing"),
        pytest.param("5bffffffffffffffff00", "runs past the end", id="a giant string of nothing"),
        pytest.param("61ff", "UTF-8", id="text that is none"),
        pytest.param("0000", "follow the value", id="two values"),
        pytest.param("81" * 9 + "00", "nested deeper", id="too deep"),
    ],
)
def test_what_is_not_deterministic_cbor_is_refused(data: str, words: str):
    with pytest.raises(CborError, match=words):
        decode(bytes.fromhex(data))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused_and_what_decodes_is_canonical(data: bytes):
    try:
        value = decode(data)
    except CborError:
        return
    assert encode(value) == data


def test_a_float_has_no_place_in_a_batch():
    with pytest.raises(CborError, match="float"):
        encode(1.5)
