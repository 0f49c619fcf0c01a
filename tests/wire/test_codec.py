"""A batch on the wire: there and back, small, and believed in nothing."""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import replace
from random import Random

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.batches import KEY, START_MS, batch, batches, header, sighting, signed

from agent.wire import cbor
from agent.wire.codec import batch_of, decode_batch, encode_batch, inflate, peek_header, planes
from agent.wire.cose import open_message, sign_message
from agent.wire.errors import BatchMalformed, MessageMalformed, MessageTooLarge, VersionUnknown, WireError
from agent.wire.limits import MAX_COMPRESSED_BYTES, MAX_INFLATED_BYTES
from agent.wire.model import AddressKind, Batch, LegalMode


@settings(max_examples=200, deadline=None)
@given(batches())
def test_encode_and_decode_are_inverse(content: Batch):
    assert decode_batch(encode_batch(content)) == content


@settings(max_examples=100, deadline=None)
@given(batches())
def test_the_cloud_reads_the_same_with_cbor2(content: Batch):
    assert batch_of(cbor2.loads(inflate(encode_batch(content)))) == content


@settings(max_examples=100, deadline=None)
@given(batches())
def test_ingest_reads_the_header_alone(content: Batch):
    assert peek_header(encode_batch(content)) == content.header


def test_keys_that_we_do_not_know_are_kept():
    content = Batch(header(), batch().ledger, extra={77: b"of a later version"})

    assert decode_batch(encode_batch(content)).extra == {77: b"of a later version"}


def crowd(random: Random, count: int, devices: int, span_ms: int, windows: int) -> Batch:
    """Sightings as a store makes them: few devices seen often, levels and shares that vary."""
    names = [random.randbytes(8) for _ in range(devices)]
    levels = {name: random.gauss(-65, 8) for name in names}
    made = []
    for _ in range(count):
        name = random.choice(names)
        median = round(random.gauss(levels[name], 3))
        first = START_MS + random.randrange(span_ms)
        made.append(
            sighting(
                first_ms=first,
                last_ms=first + (random.randrange(200) if random.random() < 0.9 else random.randrange(20_000)),
                pseudonym=name,
                bursts=1 if random.random() < 0.9 else 2,
                frames=random.choice((2, 4, 4, 6, 8)),
                rssi_median_dbm=median,
                rssi_max_dbm=median + random.choice((0, 0, 1, 1, 2, 3)),
                p_inside=5 * round(20 / (1 + 2.718 ** ((-67 - median) / 6))),
                channel=6,
                confidence=random.choice((80, 85, 90, 95, 100)),
                address_kind=random.choice(list(AddressKind)[:2]),
            )
        )
    made.sort(key=lambda s: (s.first_ms, s.pseudonym))
    return replace(batch(*made), windows=())


@pytest.mark.parametrize(
    ("count", "devices", "span_ms", "limit"), [(200, 100, 30_000, 14.0), (10_000, 1000, 1_800_000, 8.0)]
)
def test_a_sighting_costs_few_bytes(count: int, devices: int, span_ms: int, limit: float):
    """The whole signed message, divided by its sightings."""
    message = signed(crowd(Random(1), count, devices, span_ms, 1))

    assert len(message) / count <= limit


@given(st.lists(st.integers(0, (1 << 63) - 1), min_size=1))
def test_planes_are_the_bytes_of_each_number_from_the_highest(numbers: list[int]):
    """SPEC.md section 5, written the slow way."""
    width = max(1, max((n.bit_length() + 7) // 8 for n in numbers))

    assert planes(numbers) == bytes(n >> 8 * place & 255 for place in reversed(range(width)) for n in numbers)


@pytest.mark.parametrize("levels", [(-50, None), (None, -50), (0, 0), (-60, -50)])
def test_levels_that_no_burst_has_are_not_written(levels: tuple[int | None, int | None]):
    with pytest.raises(BatchMalformed, match="levels of"):
        encode_batch(batch(sighting(rssi_max_dbm=levels[0], rssi_median_dbm=levels[1])))


# --- what is refused -----------------------------------------------------------------------------------------------------


SIGHTING = cbor2.loads(inflate(encode_batch(batch(sighting()))))[4]


def payload_of(change: dict[int, object]) -> bytes:
    """A payload with some of its keys replaced; None removes one."""
    value = cbor2.loads(inflate(encode_batch(batch(sighting()))))
    for key, item in change.items():
        if item is None:
            value.pop(key)
        else:
            value[key] = item
    return zlib.compress(cbor2.dumps(value, canonical=True, string_referencing=False))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({1: None}, "header"),
        ({1: 5}, "header"),
        ({1: {1: 1}}, "window start"),
        ({2: {1: 10, 2: 3}}, "does not close"),
        ({2: {1: -1}}, "frames"),
        ({2: {3: {7: 1}}}, "reason"),
        ({4: {0: 10_001}}, "10000"),
        ({4: {0: 0}}, "number of sightings"),
        ({4: {0: 1, 1: b"1234567", 2: b"\0"}}, "pseudonym"),
        ({4: {0: 1, 1: b"12345678", 2: b"\2"}}, "pseudonym"),
        ({4: {0: 2, 1: b"12345678", 2: b"\0\0\0"}}, "planes of 2 bytes"),
        ({4: {0: 1, 1: b"12345678", 2: b"\0\1"}}, "a plane more"),
        ({4: {**SIGHTING, 15: b"\1"}}, "the links must be 4 bytes"),
        ({4: {**SIGHTING, 15: b"\1", 16: b"12345"}}, "the links must be 4 bytes"),
        ({4: {**SIGHTING, 15: b"\2", 16: b"12345678"}}, "link must hold"),
        ({4: {**SIGHTING, 15: b"\0", 16: b""}}, "there is none"),
        ({4: {**SIGHTING, 16: b"1234"}}, "column link"),
        ({3: [[1], [1], [1]]}, "four columns"),
        ({5: [["inside"], [0], [0], [1], [0], [0]]}, "mode 'count'"),
    ],
)
def test_a_payload_that_breaks_a_rule_is_malformed(change: dict[int, object], words: str):
    with pytest.raises(BatchMalformed, match=words):
        decode_batch(payload_of(change))


def test_mode_count_may_hold_no_record_of_a_device():
    with pytest.raises(BatchMalformed, match="'count' may hold no sightings"):
        decode_batch(encode_batch(batch(sighting(), mode=LegalMode.COUNT)))


def test_another_version_is_named():
    with pytest.raises(VersionUnknown, match="version 9; we read 1"):
        decode_batch(encode_batch(batch(spec_version=9)))


def test_a_bomb_is_stopped_while_it_inflates():
    bomb = zlib.compress(b"\0" * (MAX_INFLATED_BYTES + 1))
    assert len(bomb) < 2000

    with pytest.raises(MessageTooLarge, match="inflates to more than"):
        inflate(bomb)


@pytest.mark.parametrize("damage", [lambda p: p[:-1], lambda p: p + b"x", lambda p: b"no zlib" + p])
def test_a_damaged_deflate_stream_is_malformed(damage):
    with pytest.raises(BatchMalformed, match=r"deflate stream|inflate"):
        inflate(damage(encode_batch(batch())))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200).map(zlib.compress))
def test_any_payload_is_read_or_refused(payload: bytes):
    for read in (decode_batch, peek_header):
        with suppress(WireError):
            read(payload)


# --- the envelope --------------------------------------------------------------------------------------------------------


def test_the_envelope_is_cose_sign1_as_cbor2_reads_it():
    """RFC 9052, 4.2 and 4.4, taken apart with cbor2 and verified with the bytes of the text."""
    message = signed(batch(sighting()))

    tag = cbor2.loads(message)
    protected, unprotected, payload, signature = tag.value
    KEY.public_key().verify(signature, cbor2.dumps(["Signature1", protected, b"", payload]))

    assert (tag.tag, cbor2.loads(protected), unprotected) == (18, {1: -8, 4: b"ap-test"}, {})


def envelope(*items: object, tag: int = 18) -> bytes:
    return cbor.encode(cbor.Tagged(tag, list(items)))


GOOD = cbor.encode({1: -8, 4: b"ap"})


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(envelope(GOOD, {}, b"p", b"s" * 64, tag=98), id="another tag"),
        pytest.param(envelope(GOOD, {}, b"p"), id="three items"),
        pytest.param(envelope(GOOD, {4: b"other"}, b"p", b"s" * 64), id="something unprotected"),
        pytest.param(envelope(cbor.encode({1: -7, 4: b"ap"}), {}, b"p", b"s" * 64), id="another algorithm"),
        pytest.param(envelope(cbor.encode({1: -8}), {}, b"p", b"s" * 64), id="nobody signed"),
        pytest.param(envelope(cbor.encode({1: -8, 4: b"\xff"}), {}, b"p", b"s" * 64), id="a name that is no text"),
        pytest.param(envelope(GOOD, {}, b"p", b"s" * 63), id="a short signature"),
        pytest.param(envelope(GOOD, {}, "p", b"s" * 64), id="a payload of text"),
    ],
)
def test_an_envelope_that_breaks_a_rule_is_malformed(message: bytes):
    with pytest.raises(MessageMalformed):
        open_message(message)


def test_a_message_beyond_the_limit_is_not_opened():
    with pytest.raises(MessageTooLarge, match=str(MAX_COMPRESSED_BYTES)):
        open_message(bytes(MAX_COMPRESSED_BYTES + 1))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=150))
def test_any_message_is_opened_or_refused(message: bytes):
    with suppress(WireError):
        open_message(message)


def test_each_byte_is_signed():
    """Changing any byte of a message makes it unreadable, another's, or wrongly signed."""
    from cryptography.exceptions import InvalidSignature

    message = sign_message(b"payload", "ap", KEY.sign)
    for position in range(len(message)):
        altered = bytearray(message)
        altered[position] ^= 1
        try:
            opened = open_message(bytes(altered))
        except WireError:
            continue
        with pytest.raises(InvalidSignature):
            KEY.public_key().verify(opened.signature, opened.to_be_signed)
