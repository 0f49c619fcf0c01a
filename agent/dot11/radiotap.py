"""Radiotap headers: where in the header the few fields that we need stand (core).

Fields follow one another in the order of the presence bits, each at its natural alignment, so the presence words alone
say where everything is; the layout is found once and kept. Only a vendor namespace carries a length of its own.
Source: radiotap.org (header format, namespaces, defined fields) and the Linux kernel's ``net/wireless/radiotap.c`` for
the rule that numbers above 31 without a namespace bit cannot be skipped.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.dot11.probe_request import Skipped
from agent.dot11.reasons import BAD_LINK_HEADER, TRUNCATED_LINK_HEADER

FLAG_FCS_AT_END = 0x10
FLAG_BAD_FCS = 0x40

BIT_FLAGS, BIT_CHANNEL, BIT_SIGNAL, BIT_TX_FLAGS, BIT_XCHANNEL = 1, 3, 5, 15, 18
XCHANNEL_FREQUENCY_AT = 4
"""Behind its flags."""
BIT_TLV, BIT_RADIOTAP_NAMESPACE, BIT_VENDOR_NAMESPACE, BIT_MORE = 28, 29, 30, 31

FIELDS: tuple[tuple[int, int], ...] = (
    (8, 8),  # 0 TSFT
    (1, 1),  # 1 flags
    (1, 1),  # 2 rate
    (2, 4),  # 3 channel: MHz, flags
    (2, 2),  # 4 FHSS
    (1, 1),  # 5 antenna signal, dBm
    (1, 1),  # 6 antenna noise, dBm
    (2, 2),  # 7 lock quality
    (2, 2),  # 8 TX attenuation
    (2, 2),  # 9 dB TX attenuation
    (1, 1),  # 10 TX power, dBm
    (1, 1),  # 11 antenna
    (1, 1),  # 12 antenna signal, dB
    (1, 1),  # 13 antenna noise, dB
    (2, 2),  # 14 RX flags
    (2, 2),  # 15 TX flags
    (1, 1),  # 16 RTS retries
    (1, 1),  # 17 data retries
    (4, 8),  # 18 XChannel
    (1, 3),  # 19 MCS
    (4, 8),  # 20 A-MPDU status
    (2, 12),  # 21 VHT
    (8, 12),  # 22 timestamp
    (2, 12),  # 23 HE
    (2, 12),  # 24 HE-MU
    (2, 6),  # 25 HE-MU, other user
    (1, 1),  # 26 zero-length PSDU
    (2, 4),  # 27 L-SIG
)
"""(alignment, size) in bytes, by presence bit."""


class Layout(NamedTuple):
    """Where the fields stand, as offsets from the start of the header; 0 where a field is absent (no field can stand at 0)."""

    length: int
    flags_at: int
    frequency_at: int
    signal_at: int
    """The first antenna's signal."""
    more_signals_at: tuple[int, ...]
    """Those of the other antennas."""
    is_sent: bool
    """The frame was sent by this radio, not heard by it: it carries TX flags and no signal."""


def presence_words_end(data: bytes) -> int:
    """Offset behind the last presence word, or 0 where the data ends before."""
    end = 8
    while end <= len(data):
        if not data[end - 1] & 0x80:
            return end
        end += 4
    return 0


def read_layout(data: bytes) -> Layout | Skipped:
    """Find where the fields of a radiotap header stand.

    ``data`` starts with the header (at least 8 bytes). Gives Skipped where the version is unknown or the fields do not
    fit into the length that the header states.
    """
    if data[0] != 0:
        return BAD_LINK_HEADER  # the only version there is; radiotap.org: "currently this is always 0"
    length = data[2] | data[3] << 8
    position = presence_words_end(data)
    if not position or length > len(data):
        return TRUNCATED_LINK_HEADER
    if position > length:
        return BAD_LINK_HEADER
    places: dict[int, list[int]] = {}
    in_radiotap = True
    base = 0
    for at in range(4, position, 4):
        word = int.from_bytes(data[at : at + 4], "little")
        if in_radiotap:
            if base and word & 0x1FFFFFFF:
                break  # numbers 32 and up: of unknown size, so nothing behind them can be found
            for bit in range(BIT_TLV):
                if word >> bit & 1:
                    align, size = FIELDS[bit]
                    position = (position + align - 1) // align * align
                    if position + size > length:
                        return BAD_LINK_HEADER
                    places.setdefault(bit, []).append(position)
                    position += size
            if word >> BIT_TLV & 1:
                break  # what follows are TLVs, none of which we need
        if word >> BIT_VENDOR_NAMESPACE & 1:
            position = (position + 1) // 2 * 2
            if position + 6 > length:
                return BAD_LINK_HEADER
            position += 6 + (data[position + 4] | data[position + 5] << 8)
            if position > length:
                return BAD_LINK_HEADER
            in_radiotap, base = False, 0
        elif word >> BIT_RADIOTAP_NAMESPACE & 1:
            in_radiotap, base = True, 0
        else:
            base += 32
    signals = places.get(BIT_SIGNAL, [0])
    # FreeBSD's drivers may give the extended channel alone.
    channels = places.get(BIT_CHANNEL) or [at + XCHANNEL_FREQUENCY_AT for at in places.get(BIT_XCHANNEL, ())]
    return Layout(
        length=length,
        flags_at=places.get(BIT_FLAGS, [0])[0],
        frequency_at=channels[0] if channels else 0,
        signal_at=signals[0],
        more_signals_at=tuple(signals[1:]),
        is_sent=BIT_TX_FLAGS in places and BIT_SIGNAL not in places,
    )


def has_vendor_namespace(data: bytes) -> bool:
    """True where the layout depends on more than the presence words, so that it must not be kept."""
    return any(data[at + 3] & 0x40 for at in range(4, presence_words_end(data), 4))
