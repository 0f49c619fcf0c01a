"""Odd radiotap headers, built field by field here, read by the decoder and by tshark: both must find the same.

The builder knows nothing of ``agent.dot11.radiotap``: sizes and alignments are written down again, from radiotap.org.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from random import Random

import pytest
from support.frames import ELEMENTS, pcap, probe, with_fcs

from agent.dot11.channels import CHANNEL_OF_MHZ
from agent.dot11.decoder import Decoder
from agent.dot11.probe_request import ProbeRequest, Skipped

FIELDS = {
    0: (8, 8),
    1: (1, 1),
    2: (1, 1),
    3: (2, 4),
    5: (1, 1),
    6: (1, 1),
    7: (2, 2),
    10: (1, 1),
    11: (1, 1),
    12: (1, 1),
    13: (1, 1),
    14: (2, 2),
    18: (4, 8),
    19: (1, 3),
    20: (4, 8),
    21: (2, 12),
    22: (8, 12),
    23: (2, 12),
    24: (2, 12),
    25: (2, 6),
    26: (1, 1),
    27: (2, 4),
}
"""Bit -> (alignment, size)."""
FLAGS, CHANNEL, SIGNAL, XCHANNEL, HE_MU_OTHER, NO_PSDU = 1, 3, 5, 18, 25, 26
TLV, RADIOTAP, VENDOR, MORE = (1 << bit for bit in (28, 29, 30, 31))
FCS_AT_END = 0x10


class Header:
    """A radiotap header that grows word by word."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.fields: list[tuple[int, bytes]] = []
        """(alignment, content), in order."""

    def radiotap(self, content: dict[int, bytes], then: int = 0) -> Header:
        """A word of the radiotap namespace with these fields; ``then`` are its bits 28 to 31."""
        self.words.append(sum(1 << bit for bit in content) | then)
        for bit in sorted(content):
            align, size = FIELDS[bit]
            assert len(content[bit]) == size
            self.fields.append((align, content[bit]))
        return self

    def vendor(self, word: int, data: bytes, then: int) -> Header:
        """The last word announced a vendor: its six bytes, its word and its data."""
        self.fields.append((2, bytes.fromhex("02005e01") + struct.pack("<H", len(data)) + data))
        self.words.append(word | then)
        return self

    def tlv(self, kind: int, data: bytes) -> Header:
        """A TLV behind all fields, padded to four bytes."""
        self.fields.append((4, struct.pack("<HH", kind, len(data)) + data + bytes(-len(data) % 4)))
        return self

    def __bytes__(self) -> bytes:
        out = bytearray(4) + b"".join(struct.pack("<I", word) for word in self.words)
        for align, content in self.fields:
            out += bytes(-len(out) % align) + content
        struct.pack_into("<BBH", out, 0, 0, 0, len(out))
        return bytes(out)


def channel(mhz: int) -> bytes:
    return struct.pack("<HH", mhz, 0x00A0)


def xchannel(mhz: int) -> bytes:
    return struct.pack("<IHBB", 0x00A0, mhz, 6, 20)


def signal(dbm: int) -> bytes:
    return struct.pack("b", dbm)


def read(header: bytes) -> ProbeRequest | Skipped:
    return Decoder(127).decode(header + with_fcs(probe()), False)


ODD = {
    "the usual fields": Header().radiotap(
        {0: bytes(8), FLAGS: b"\x10", 2: b"\x02", CHANNEL: channel(2437), SIGNAL: signal(-61), 11: b"\0"}
    ),
    "every field there is": Header().radiotap(
        {bit: bytes(size) for bit, (_, size) in FIELDS.items()}
        | {FLAGS: b"\x10", CHANNEL: channel(5180), SIGNAL: signal(-70), XCHANNEL: xchannel(5180)}
    ),
    "three antennas in words of their own": Header()
    .radiotap({FLAGS: b"\x10", CHANNEL: channel(2412), SIGNAL: signal(-64)}, RADIOTAP | MORE)
    .radiotap({SIGNAL: signal(-66), 11: b"\0"}, RADIOTAP | MORE)
    .radiotap({SIGNAL: signal(-59), 11: b"\1"}, RADIOTAP | MORE)
    .radiotap({SIGNAL: signal(-81), 11: b"\2"}),
    "a vendor between two antennas": Header()
    .radiotap({FLAGS: b"\x10", CHANNEL: channel(2462), SIGNAL: signal(-72)}, VENDOR | MORE)
    .vendor(0x15, b"odd", RADIOTAP | MORE)
    .radiotap({SIGNAL: signal(-55)}),
    "a vendor of two words": Header()
    .radiotap({FLAGS: b"\x10", SIGNAL: signal(-72)}, VENDOR | MORE)
    .vendor(0x7, b"seven..", MORE)
    .radiotap({}, RADIOTAP | MORE)
    .radiotap({CHANNEL: channel(2437), SIGNAL: signal(-50)}),
    "two vendors": Header()
    .radiotap({FLAGS: b"\x10", SIGNAL: signal(-72)}, VENDOR | MORE)
    .vendor(0x1, b"", VENDOR | MORE)
    .vendor(0x2, b"x", RADIOTAP | MORE)
    .radiotap({CHANNEL: channel(2437)}),
    "a vendor at the end": Header()
    .radiotap({FLAGS: b"\x10", CHANNEL: channel(2437), SIGNAL: signal(-44)}, VENDOR | MORE)
    .vendor(0x3, b"abcd", 0),
    "empty words": Header()
    .radiotap({}, RADIOTAP | MORE)
    .radiotap({}, RADIOTAP | MORE)
    .radiotap({FLAGS: b"\x10", SIGNAL: signal(-33)}),
    "TLVs behind the fields": Header()
    .radiotap({FLAGS: b"\x10", CHANNEL: channel(5955), SIGNAL: signal(-48)}, TLV)
    .tlv(32, bytes(12))
    .tlv(34, bytes(5)),
    "TLVs behind two antennas": Header()
    .radiotap({FLAGS: b"\x10", CHANNEL: channel(2437), SIGNAL: signal(-48)}, RADIOTAP | MORE)
    .radiotap({SIGNAL: signal(-47), 11: b"\0"}, TLV)
    .tlv(32, bytes(8)),
    "no signal at all": Header().radiotap({FLAGS: b"\x10", CHANNEL: channel(2437)}),
    "a signal without a unit": Header().radiotap({FLAGS: b"\x10", CHANNEL: channel(2437), 12: b"\x2d"}),
    "only the extended channel": Header().radiotap({FLAGS: b"\x10", SIGNAL: signal(-60), XCHANNEL: xchannel(2472)}),
}


def random_header(random: Random) -> Header:
    """Any fields, one to four words, a vendor here and there; flags always say that the FCS is there.

    Not the field that says that no frame follows: tshark then looks for none, and no driver puts one there. Nor HE-MU-other-user,
    whose size (6 bytes, radiotap.org) tshark 4.0 does not know: the next test has it.
    """
    header = Header()
    words = random.randint(1, 4)
    for word in range(words):
        is_last = word == words - 1
        content = {bit: random.randbytes(FIELDS[bit][1]) for bit in random.sample(sorted(FIELDS), random.randint(0, 8))}
        content = {
            bit: value
            for bit, value in content.items()
            if bit not in (FLAGS, CHANNEL, SIGNAL, XCHANNEL, HE_MU_OTHER, NO_PSDU)
        }
        content |= {FLAGS: bytes((FCS_AT_END,))} if word == 0 else {}
        content |= (
            {CHANNEL: channel(random.choice((2412, 2472, 5180, 5825)))} if word == 0 and random.random() < 0.8 else {}
        )
        content |= {SIGNAL: signal(random.randint(-95, -30))} if random.random() < 0.7 else {}
        if is_last:
            header.radiotap(content)
        elif random.random() < 0.4:
            header.radiotap(content, VENDOR | MORE)
            header.vendor(random.getrandbits(28), random.randbytes(random.randint(0, 9)), RADIOTAP | MORE)
        else:
            header.radiotap(content, RADIOTAP | MORE)
    return header


def by_tshark(headers: list[bytes], folder: Path) -> list[tuple[str, int | None, int | None]]:
    """(transmitter, strongest signal, first frequency) of a frame behind each header."""
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed (apt-get install tshark)")
    capture = folder / "odd.pcap"
    capture.write_bytes(pcap([(number * 1000, header + with_fcs(probe())) for number, header in enumerate(headers)]))
    names = ("wlan.sa", "radiotap.dbm_antsignal", "radiotap.channel.freq", "radiotap.xchannel.freq")
    fields = [word for name in names for word in ("-e", name)]
    command = [tshark, "-n", "-r", str(capture), "-T", "fields", "-E", "separator=;", *fields]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    found = []
    for line in lines:
        sender, signals, frequencies, extended = line.split(";")
        mhz = (frequencies or extended).split(",")[0]
        found.append((sender, max(map(int, signals.split(","))) if signals else None, int(mhz) if mhz else None))
    return found


def test_odd_headers_give_what_tshark_finds(tmp_path: Path):
    """Namespaces, vendors, antennas, TLVs, and 150 headers made by chance (seeded)."""
    random = Random(20)
    headers = [bytes(header) for header in (*ODD.values(), *(random_header(random) for _ in range(150)))]
    names = [*ODD, *(f"by chance {number}" for number in range(150))]

    for name, header, (sender, level, mhz) in zip(names, headers, by_tshark(headers, tmp_path), strict=True):
        decoded = read(header)
        assert isinstance(decoded, ProbeRequest), (name, decoded)
        assert decoded.address.hex(":") == sender, name
        assert (decoded.rssi_dbm, decoded.channel) == (level, CHANNEL_OF_MHZ.get(mhz)), (name, header.hex())
        assert decoded.elements == ELEMENTS, name


def test_a_signal_behind_he_mu_other_user_is_found():
    """Bit 25: two bytes aligned, six long. Source: radiotap.org, HE-MU-other-user."""
    header = Header().radiotap({FLAGS: b"\x10", SIGNAL: signal(-80), HE_MU_OTHER: bytes(6)}, RADIOTAP | MORE)
    decoded = read(bytes(header.radiotap({SIGNAL: signal(-57)})))

    assert isinstance(decoded, ProbeRequest)
    assert decoded.rssi_dbm == -57


@pytest.mark.parametrize("name", ODD)
def test_a_decoder_that_has_seen_other_headers_reads_each_the_same(name: str):
    """Layouts are kept by their presence words; no header may be read by another's."""
    decoder = Decoder(127)
    frame = with_fcs(probe())
    for header in ODD.values():
        decoder.decode(bytes(header) + frame, False)

    assert decoder.decode(bytes(ODD[name]) + frame, False) == read(bytes(ODD[name]))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(
            bytes(Header().radiotap({SIGNAL: signal(-50)}, VENDOR | MORE).vendor(0x1, b"ab", 0)).replace(
                b"\x02\x00ab", b"\x09\x00ab"
            ),
            id="a vendor's data runs past the header",
        ),
        pytest.param(struct.pack("<BBHI", 0, 0, 9, 1 << 3 | 1 << 5) + b"\0", id="fields run past the header"),
        pytest.param(struct.pack("<BBHI", 0, 0, 8, 1 << 31), id="words run past the header"),
    ],
)
def test_a_header_that_contradicts_its_length_is_bad(header: bytes):
    assert read(header) == Skipped("bad_link_header")


@pytest.mark.parametrize("has_order", [False, True], ids=["24 bytes of header", "28 bytes of header"])
def test_a_frame_that_ends_inside_its_own_header_is_no_probe_request(has_order: bool):
    """A right check sum does not make a header of what is not there: the sequence number would be read from the FCS."""
    short = probe(elements=b"", second=0x80 if has_order else 0)[: 24 if has_order else 20]
    flagged = bytes(Header().radiotap({FLAGS: b"\x10", SIGNAL: signal(-50)}))
    unflagged = bytes(Header().radiotap({SIGNAL: signal(-50)}))

    assert Decoder(127).decode(flagged + with_fcs(short), False) == Skipped("truncated_frame_header")
    assert Decoder(127).decode(unflagged + with_fcs(short), False) == Skipped("truncated_frame_header")
    assert Decoder(105).decode(with_fcs(short), False) == Skipped("truncated_frame_header")


def test_ht_control_that_is_not_there_is_missed_without_an_fcs_too():
    frame = probe(elements=b"", second=0x80)

    assert Decoder(127).decode(bytes(Header().radiotap({SIGNAL: signal(-50)})) + frame, False) == Skipped(
        "truncated_frame_header"
    )
    assert Decoder(105).decode(frame, False) == Skipped("truncated_frame_header")
