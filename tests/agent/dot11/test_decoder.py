"""What the decoder makes of frames behind five link headers, whole, damaged and cut."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import BROADCAST, ELEMENTS, GLOBAL, LOCAL, heard, probe, radiotap, with_fcs

from agent.dot11.decoder import LINK_TYPES, Decoder
from agent.dot11.elements import split_elements
from agent.dot11.errors import TruncatedElement, UnknownLinkType
from agent.dot11.probe_request import ProbeRequest, Skipped
from agent.dot11.reasons import SKIP_REASONS


def reason(data: bytes, link_type: int = 127, *, is_cut: bool = False) -> str:
    decoded = Decoder(link_type).decode(data, is_cut)
    assert isinstance(decoded, Skipped)
    return decoded.reason


def request(data: bytes, link_type: int = 127) -> ProbeRequest:
    decoded = Decoder(link_type).decode(data, False)
    assert isinstance(decoded, ProbeRequest), decoded
    return decoded


def test_a_probe_request_gives_address_sequence_level_channel_and_elements():
    assert request(heard(GLOBAL, rssi=-71, sequence=4095)) == ProbeRequest(GLOBAL, 4095, -71, 6, ELEMENTS)


def prism(order: str = "<", rssi: int = -50, channel: int = 11) -> bytes:
    items = [(1, 0, 4, 0)] * 10
    items[2] = (1, 0, 4, channel)
    items[5] = (1, 0, 4, rssi)
    items[8] = (1, 0, 4, 0)
    return struct.pack(order + "II16s", 0x44, 144, b"wlan0") + b"".join(
        struct.pack(order + "IHHi", *item) for item in items
    )


def avs(rssi: int = -50, channel: int = 11, signal_type: int = 2) -> bytes:
    return struct.pack(">IIQQIIIIIIiiII", 0x80211001, 64, 0, 0, 1, channel, 10, 0, 0, signal_type, rssi, -95, 0, 0)


def ppi(rssi: int = -50, mhz: int = 2462, frame_flags: int = 0) -> bytes:
    field = struct.pack("<QHHHHBBbb", 0, frame_flags, 22, mhz, 0x00A0, 0, 0, rssi, -95)
    return struct.pack("<BBHI", 0, 0, 8 + 4 + len(field), 105) + struct.pack("<HH", 2, len(field)) + field


@pytest.mark.parametrize(
    ("link_type", "header", "rssi", "channel"),
    [
        pytest.param(105, b"", None, None, id="802.11 alone"),
        pytest.param(119, prism("<"), -50, 11, id="Prism, little-endian"),
        pytest.param(119, prism(">"), -50, 11, id="Prism, big-endian"),
        pytest.param(119, avs(), -50, 11, id="AVS under Prism's link type"),
        pytest.param(163, avs(), -50, 11, id="AVS"),
        pytest.param(163, avs(signal_type=1), None, 11, id="AVS, signal without a unit"),
        pytest.param(192, ppi(), -50, 11, id="PPI"),
        pytest.param(127, radiotap(rssi=-50, mhz=2462, flags=0), -50, 11, id="radiotap"),
        pytest.param(127, radiotap(rssi=-50, mhz=5180, flags=None), -50, 36, id="radiotap, 5 GHz, no flags"),
        pytest.param(127, radiotap(rssi=-50, mhz=5955, flags=None), -50, 1, id="radiotap, 6 GHz"),
    ],
)
def test_each_link_header_gives_its_level_and_channel(
    link_type: int, header: bytes, rssi: int | None, channel: int | None
):
    decoded = request(header + probe(), link_type)

    assert (decoded.address, decoded.rssi_dbm, decoded.channel, decoded.elements) == (LOCAL, rssi, channel, ELEMENTS)


def test_ppi_says_whether_the_fcs_is_there_and_good():
    assert request(ppi(frame_flags=1) + with_fcs(probe()), 192).elements == ELEMENTS
    assert reason(ppi(frame_flags=1) + probe() + b"\0\0\0\0", 192) == "bad_fcs"
    assert reason(ppi(frame_flags=4) + with_fcs(probe()), 192) == "bad_fcs"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", "empty_frame", id="nothing"),
        pytest.param(radiotap(), "empty_frame", id="a header and nothing behind it"),
        pytest.param(radiotap()[:5], "truncated_link_header", id="cut in the header's head"),
        pytest.param(radiotap()[:10], "truncated_link_header", id="cut in the header's fields"),
        pytest.param(b"\x01" + radiotap()[1:] + with_fcs(probe()), "bad_link_header", id="radiotap of another version"),
        pytest.param(
            struct.pack("<BBHI", 0, 0, 7, 0) + probe(), "bad_link_header", id="a header shorter than its own head"
        ),
        pytest.param(radiotap() + probe()[:20], "truncated_frame_header", id="cut in the MAC header"),
        pytest.param(radiotap() + with_fcs(probe())[:-1], "bad_fcs", id="cut in the FCS"),
        pytest.param(radiotap() + with_fcs(probe())[:-5] + b"\0\0\0\0", "bad_fcs", id="wrong FCS"),
        pytest.param(radiotap(flags=0x50) + with_fcs(probe()), "bad_fcs", id="flagged as bad"),
        pytest.param(radiotap(flags=0) + probe()[:-2], "truncated_elements", id="cut in an element, no FCS"),
        pytest.param(
            radiotap(flags=0) + probe(elements=ELEMENTS + b"\x01"), "truncated_elements", id="half an element"
        ),
        pytest.param(radiotap() + with_fcs(probe(first=0x80)), "not_probe_request", id="a beacon"),
        pytest.param(radiotap() + with_fcs(probe(first=0x50)), "not_probe_request", id="a probe response"),
        pytest.param(radiotap() + with_fcs(probe(BROADCAST)), "bad_address", id="sent by everybody"),
        pytest.param(radiotap() + with_fcs(probe(bytes(6))), "bad_address", id="sent by nobody"),
    ],
)
def test_what_is_no_whole_probe_request_is_skipped_with_its_reason(data: bytes, expected: str):
    assert reason(data) == expected


@pytest.mark.parametrize("cut", range(len(heard()) - 1))
def test_a_frame_cut_anywhere_is_counted_by_reason(cut: int):
    """The capture says that it kept less than was there; no such frame becomes a probe request."""
    assert reason(heard()[:cut], is_cut=True).startswith(("truncated_", "empty_frame"))


def test_a_frame_sent_by_this_radio_itself_was_not_heard():
    """TX flags without a signal: hostapd's own frames looped back by mac80211 (notes on access points)."""
    header = struct.pack("<BBHI", 0, 0, 10, 1 << 15) + b"\0\0"

    assert reason(header + probe()) == "no_signal"


@pytest.mark.parametrize("rssi", [0, 17, 127, -111, -128])
def test_a_junk_level_is_rejected_and_counted_but_the_frame_is_kept(rssi: int):
    decoder = Decoder(127)

    decoded = decoder.decode(heard(rssi=rssi), False)

    assert isinstance(decoded, ProbeRequest)
    assert (decoded.rssi_dbm, decoder.rssi_rejected) == (None, 1)


def test_of_several_antennas_the_strongest_plausible_level_counts():
    """Two further presence words, one antenna each: -80, -55 and +10 (junk)."""
    words = struct.pack("<III", 1 << 5 | 1 << 29 | 1 << 31, 1 << 5 | 1 << 29 | 1 << 31, 1 << 5)
    header = struct.pack("<BBH", 0, 0, 4 + len(words) + 3) + words + struct.pack("bbb", -80, -55, 10)
    decoder = Decoder(127)

    decoded = decoder.decode(header + probe(), False)

    assert isinstance(decoded, ProbeRequest)
    assert (decoded.rssi_dbm, decoder.rssi_rejected) == (-55, 1)


def test_a_vendor_namespace_is_stepped_over():
    """A vendor's words and fields come first; our signal stands in the next radiotap namespace."""
    words = struct.pack("<III", 1 << 30 | 1 << 31, 0x00000003 | 1 << 29 | 1 << 31, 1 << 5)
    vendor = b"\x00\x00\x5e\x01" + struct.pack("<H", 5) + b"abcde"
    fields = vendor + struct.pack("b", -42)
    header = struct.pack("<BBH", 0, 0, 4 + len(words) + len(fields)) + words + fields

    assert request(header + probe()).rssi_dbm == -42


def test_an_fcs_that_no_header_announces_is_found_and_counted():
    decoder = Decoder(127)

    decoded = decoder.decode(radiotap(flags=0) + with_fcs(probe()), False)

    assert isinstance(decoded, ProbeRequest)
    assert (decoded.elements, decoder.fcs_unflagged) == (ELEMENTS, 1)


def test_the_order_bit_puts_four_bytes_before_the_elements():
    frame = probe(elements=b"\x01\x02\x03\x04" + ELEMENTS, second=0x80)

    assert request(radiotap() + with_fcs(frame)).elements == ELEMENTS


def test_extended_elements_keep_their_number():
    assert split_elements(b"\x00\x00\xff\x03\x23\x01\x02") == [(0, b""), (255, b"\x23\x01\x02")]


def test_an_element_that_runs_past_the_end_is_named():
    with pytest.raises(TruncatedElement, match=r"\d"):
        split_elements(b"\x00\x05ab")


def test_a_link_type_without_802_11_is_refused_with_those_that_are_read():
    with pytest.raises(UnknownLinkType, match=r"link type 1 .*127"):
        Decoder(1)


@pytest.mark.parametrize("link_type", sorted(LINK_TYPES))
@settings(max_examples=400, deadline=None)
@given(
    data=st.one_of(st.binary(max_size=200), st.binary(max_size=40).map(lambda junk: heard() + junk)),
    is_cut=st.booleans(),
)
def test_any_bytes_decode_to_a_frame_or_a_reason(link_type: int, data: bytes, is_cut: bool):
    decoded = Decoder(link_type).decode(data, is_cut)

    assert isinstance(decoded, ProbeRequest) or decoded.reason in SKIP_REASONS


@settings(max_examples=400, deadline=None)
@given(position=st.integers(0, len(heard()) - 1), octet=st.integers(0, 255))
def test_a_damaged_frame_never_becomes_another_phones(position: int, octet: int):
    """One changed byte: the FCS finds it, or it stood in the header, which the radio wrote."""
    data = bytearray(heard())
    data[position] = octet

    decoded = Decoder(127).decode(bytes(data), False)

    if isinstance(decoded, ProbeRequest):
        assert (decoded.address, decoded.elements) == (LOCAL, ELEMENTS)


@given(st.lists(st.tuples(st.integers(0, 254), st.binary(max_size=255)), max_size=8))
def test_elements_that_were_put_together_come_apart_again(elements: list[tuple[int, bytes]]):
    body = b"".join(bytes((number, len(content))) + content for number, content in elements)

    assert split_elements(body) == elements
