"""Prism, AVS and PPI headers, built here from their descriptions, read by the decoder and by tshark: both must find the same."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from support.frames import ELEMENTS, LOCAL, pcap, probe, with_fcs

from agent.dot11.decoder import Decoder
from agent.dot11.probe_request import ProbeRequest, Skipped

PRISM, AVS, PPI = 119, 163, 192
TSHARK_LEVEL = ("wlan_radio.signal_dbm", "wlan_radio.channel")
TSHARK_PRISM = ("prism.did.signal", "prism.did.channel")
"""tshark's summary takes Prism's RSSI item, which is dBm for no driver that fills the signal item too."""
ITEMS = ("host time", "mac time", "channel", "rssi", "sq", "signal", "noise", "rate", "is sent", "frame length")


def prism(order: str = "<", message: int = 0x44, absent: tuple[str, ...] = (), **values: int) -> bytes:
    """wlan-ng's header: did, status (0: there is a value), length, value; ten times."""
    items = b""
    for number, name in enumerate(ITEMS, 1):
        value = values.get(name.replace(" ", "_"), 0)
        did = number << 12 | message if message == 0x41 else number << 16 | message
        items += struct.pack(order + "IHHi", did, int(name in absent), 4, value)
    return struct.pack(order + "II16s", message, 144, b"wlan0") + items


def avs(magic: int = 0x80211001, channel: int = 6, kind: int = 2, signal: int = -60) -> bytes:
    return struct.pack(">IIQQIIIIIIiiII", magic, 64, 1, 2, 4, channel, 10, 0, 0, kind, signal, -95, 1, 1)


def ppi(*fields: tuple[int, bytes], aligned: bool = False) -> bytes:
    out = b""
    for kind, content in fields:
        out += struct.pack("<HH", kind, len(content)) + content
        out += bytes(-len(out) % 4) if aligned else b""
    return struct.pack("<BBHI", 0, int(aligned), 8 + len(out), 105) + out


def common(mhz: int = 2437, signal: int = -60, flags: int = 0) -> bytes:
    """802.11-Common: TSF, flags, rate, frequency, channel flags, hop set, hop pattern, signal, noise."""
    return struct.pack("<QHHHHBBbb", 0, flags, 2, mhz, 0x00A0, 0, 0, signal, -95)


HEADERS = {
    "Prism": (PRISM, prism(channel=6, signal=-61)),
    "Prism, big-endian": (PRISM, prism(">", channel=11, signal=-62)),
    "Prism, the other message": (PRISM, prism(message=0x41, channel=1, signal=-63)),
    "AVS under Prism's link type": (PRISM, avs(signal=-64)),
    "AVS": (AVS, avs(signal=-65)),
    "AVS 2": (AVS, avs(0x80211002, signal=-66)),
    "PPI": (PPI, ppi((2, common(signal=-67)))),
    "PPI, another field in front": (PPI, ppi((5, bytes(7)), (2, common(signal=-68, mhz=5180)))),
    "PPI, aligned": (PPI, ppi((5, bytes(8)), (2, common(signal=-69)), aligned=True)),
    "PPI with 802.11n behind": (PPI, ppi((2, common(signal=-70)), (3, bytes(12)))),
    "PPI without 802.11-Common": (PPI, ppi((5, bytes(4)))),
}


@pytest.mark.parametrize("name", HEADERS)
def test_levels_and_channels_are_those_that_tshark_finds(name: str, tmp_path: Path):
    link_type, header = HEADERS[name]
    frame = header + probe()

    decoded = Decoder(link_type).decode(frame, False)

    assert isinstance(decoded, ProbeRequest)
    assert (decoded.address, decoded.elements) == (LOCAL, ELEMENTS)
    names = TSHARK_PRISM if name.startswith("Prism") else TSHARK_LEVEL
    sender, level, channel = by_tshark(link_type, frame, tmp_path, "wlan.sa", *names)
    assert sender == LOCAL.hex(":")
    assert (decoded.rssi_dbm, decoded.channel) == (_number(level), _number(channel))


def test_what_prism_says_it_has_no_value_for_is_unknown():
    """Status 1 of an item: its value means nothing, whatever stands there."""
    silent = Decoder(PRISM).decode(prism(channel=6, signal=-61, absent=("signal",)) + probe(), False)
    anywhere = Decoder(PRISM).decode(prism(channel=6, signal=-61, absent=("channel",)) + probe(), False)

    assert isinstance(silent, ProbeRequest) and isinstance(anywhere, ProbeRequest)
    assert (silent.rssi_dbm, silent.channel) == (None, 6)
    assert (anywhere.rssi_dbm, anywhere.channel) == (-61, None)


def test_fields_of_an_aligned_ppi_header_begin_at_multiples_of_four():
    """CACE PPI 1.0.10, 3.1. tshark counts the padding as a further field, so it is no help here."""
    decoded = Decoder(PPI).decode(ppi((5, bytes(7)), (2, common(signal=-69)), aligned=True) + probe(), False)

    assert isinstance(decoded, ProbeRequest)
    assert (decoded.rssi_dbm, decoded.channel, decoded.elements) == (-69, 6, ELEMENTS)


@pytest.mark.parametrize("link_type", [PRISM, AVS])
def test_a_check_sum_that_these_headers_do_not_announce_is_found(link_type: int):
    header = {PRISM: prism(signal=-60), AVS: avs()}[link_type]

    decoded = Decoder(link_type).decode(header + with_fcs(probe()), False)

    assert isinstance(decoded, ProbeRequest)
    assert decoded.elements == ELEMENTS


@pytest.mark.parametrize(
    ("link_type", "frame", "reason"),
    [
        pytest.param(PRISM, prism(is_sent=1, signal=-60) + probe(), "no_signal", id="Prism, sent by this radio"),
        pytest.param(PRISM, prism()[:100], "truncated_link_header", id="Prism cut"),
        pytest.param(PRISM, b"\0\0\0\7" + prism()[4:] + probe(), "bad_link_header", id="Prism of no known message"),
        pytest.param(AVS, avs(magic=0x12345678) + probe(), "bad_link_header", id="AVS without its magic number"),
        pytest.param(AVS, avs()[:40], "truncated_link_header", id="AVS cut"),
        pytest.param(PPI, ppi((2, common(flags=8))) + probe(), "bad_fcs", id="PPI, a PHY error"),
        pytest.param(
            PPI,
            ppi((2, common())).replace(b"\x02\0\x14\0", b"\x02\0\xff\0") + probe(),
            "bad_link_header",
            id="PPI, a field beyond the header",
        ),
        pytest.param(PPI, struct.pack("<BBHI", 0, 0, 8, 1) + probe(), "bad_link_header", id="PPI around Ethernet"),
    ],
)
def test_what_a_header_rules_out_is_skipped_with_its_reason(link_type: int, frame: bytes, reason: str):
    assert Decoder(link_type).decode(frame, False) == Skipped(reason)


def by_tshark(link_type: int, frame: bytes, folder: Path, *fields: str) -> list[str]:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed (apt-get install tshark)")
    path = folder / "one.pcap"
    path.write_bytes(pcap([(0, frame)], link_type=link_type))
    words = [word for name in fields for word in ("-e", name)]
    done = subprocess.run(
        [tshark, "-n", "-r", str(path), "-T", "fields", *words], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.rstrip("\n").split("\t")


def _number(text: str) -> int | None:
    return int(text) if text else None
