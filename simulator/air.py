"""From a phone that scans to the frames that the access point's radio hears, as bytes of a capture.

A frame is a template for each model and channel with five fields patched in, so that a day of 2,000 shoppers takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from struct import pack, pack_into
from zlib import crc32

from simulator.phones import PhoneModel, elements

CHANNELS = (1, 6, 11)
LISTENED = 6
HEARD_SHARE = {1: 0.0, 6: 0.95, 11: 0.0}
"""The radio stays on one channel; the others are heard by nobody."""
SENSITIVITY_DBM = -89
"""Below this level frames are lost, around it some are."""
RADIOTAP = pack("<BBHIBBHHbBH", 0, 0, 18, 0x0000482E, 0x10, 2, 2437, 0x00A0, 0, 0, 0)
"""Flags (FCS at the end), rate 1 Mbit/s, channel, signal, antenna, RX flags: what Linux drivers write."""
FREQUENCY_AT, SIGNAL_AT = 10, 14
ADDRESS_AT, SEQUENCE_AT = 18 + 10, 18 + 22
HEADER = bytes.fromhex("40000000" + "ffffffffffff" + "000000000000" + "ffffffffffff" + "0000")

_templates: dict[tuple[str, int, int], bytes] = {}


@dataclass(slots=True)
class Phone:
    """One device with its own transmitter and its own habits."""

    model: PhoneModel
    random: Random
    offset_db: float
    """How much louder than the average this device is."""
    build: int = 0
    global_address: bytes | None = None
    period_s: float = 0.0
    sequence: int = 0
    frames: int = field(default=0)
    """Heard so far."""

    def __post_init__(self) -> None:
        self.period_s = self.model.period_s * self.random.lognormvariate(0.0, 0.25)
        self.sequence = self.random.randrange(4096)

    def address(self) -> bytes:
        """The address of a scan: global, or a fresh random one with the locally-administered bit."""
        if self.global_address is not None:
            return self.global_address
        first = self.random.getrandbits(8) & 0xFC | 0x02
        return bytes((first,)) + self.random.randbytes(5)

    def next_scan_s(self) -> float:
        """Seconds until the next scan: a rhythm that is not quite kept, and sometimes a scan left out."""
        wait = self.period_s * self.random.uniform(0.85, 1.15)
        return wait * 2 if self.random.random() < 0.1 else wait


def scan(phone: Phone, at_s: float, level_dbm: float, out: list[tuple[int, bytes]]) -> None:
    """Append what is heard of one scan that begins at ``at_s`` (epoch s) and reaches the radio at ``level_dbm`` on average."""
    random = phone.random
    address = phone.address()
    level = level_dbm + phone.offset_db + random.gauss(0.0, 3.0)
    for place, channel in enumerate(CHANNELS):
        if place and phone.model.addresses_per_scan > 1:
            address = phone.address()
            if not phone.model.keeps_counter:
                phone.sequence = random.randrange(4096)
        elif not place and not phone.model.keeps_counter and phone.global_address is None:
            phone.sequence = random.randrange(4096)
        time_s = at_s + place * 0.11
        for _ in range(random.randint(*phone.model.frames_per_channel)):
            time_s += random.uniform(0.004, 0.03)
            phone.sequence = (phone.sequence + 1) % 4096
            rssi = round(level + random.gauss(0.0, 2.0))
            if random.random() < HEARD_SHARE[channel] and rssi + random.gauss(0.0, 2.0) > SENSITIVITY_DBM:
                phone.frames += 1
                out.append(
                    (int(time_s * 1_000_000), frame(phone.model, phone.build, channel, address, phone.sequence, rssi))
                )


def frame(model: PhoneModel, build: int, channel: int, address: bytes, sequence: int, rssi_dbm: int) -> bytes:
    """One captured frame: radiotap header, probe request, FCS."""
    template = _templates.get((model.name, build, channel))
    if template is None:
        head = bytearray(RADIOTAP)
        pack_into("<H", head, FREQUENCY_AT, 2407 + 5 * channel)
        template = _templates[model.name, build, channel] = bytes(head) + HEADER + elements(model, build, channel)
    made = bytearray(template)
    made[SIGNAL_AT] = max(-110, min(-1, rssi_dbm)) & 0xFF
    made[ADDRESS_AT : ADDRESS_AT + 6] = address
    pack_into("<H", made, SEQUENCE_AT, sequence << 4)
    made += pack("<I", crc32(memoryview(made)[len(RADIOTAP) :]))
    return bytes(made)
