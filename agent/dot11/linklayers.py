"""The older headers in front of 802.11 frames: Prism, AVS, PPI, and none at all (core).

Rare beside radiotap, so they are read plainly. Each gives a ``LinkHeader``, or Skipped with the reason.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from agent.dot11.channels import CHANNEL_OF_MHZ
from agent.dot11.probe_request import Skipped
from agent.dot11.reasons import BAD_FCS, BAD_LINK_HEADER, NO_SIGNAL, TRUNCATED_LINK_HEADER


class LinkHeader(NamedTuple):
    """What stands in front of a frame. ``has_fcs`` is None where the header does not say."""

    length: int
    has_fcs: bool | None
    rssi_dbm: int | None
    channel: int | None


NO_HEADER = LinkHeader(0, None, None, None)


def read_none(data: bytes) -> LinkHeader | Skipped:
    """Link type 105: the frame stands alone, and nothing says whether its FCS is kept."""
    del data
    return NO_HEADER


PRISM_LENGTH = 144
PRISM_MESSAGES = (0x44, 0x41)
PRISM_CHANNEL, PRISM_SIGNAL, PRISM_IS_SENT = 2, 5, 8
AVS_MAGIC = 0x80211000


def read_prism(data: bytes) -> LinkHeader | Skipped:
    """Link type 119: a message of ten items (did, status, length, value), in the byte order of the machine that captured.

    Some drivers put an AVS header under this link type; its magic number tells. Source: wlan-ng ``p80211msg.h``,
    tcpdump.org LINKTYPE_IEEE802_11_PRISM.
    """
    if len(data) < 8:
        return TRUNCATED_LINK_HEADER
    if int.from_bytes(data[:4], "big") & 0xFFFFF000 == AVS_MAGIC:
        return read_avs(data)
    order = "<" if int.from_bytes(data[:4], "little") in PRISM_MESSAGES else ">"
    message, length = struct.unpack_from(order + "II", data)
    if message not in PRISM_MESSAGES or length < PRISM_LENGTH:
        return BAD_LINK_HEADER
    if len(data) < length:
        return TRUNCATED_LINK_HEADER
    items = [struct.unpack_from(order + "IHHi", data, 24 + 12 * item) for item in range(10)]
    given = {item: value for item, (did, status, _, value) in enumerate(items) if did and status == 0}
    if given.get(PRISM_IS_SENT):
        return NO_SIGNAL
    channel = given.get(PRISM_CHANNEL)
    return LinkHeader(length, None, given.get(PRISM_SIGNAL), channel if channel and 0 < channel < 256 else None)


AVS_LENGTH = 64
AVS_SIGNAL_IS_DBM = 2


def read_avs(data: bytes) -> LinkHeader | Skipped:
    """Link type 163, always big-endian. The signal counts only where its type says dBm. Source: tcpdump.org LINKTYPE_IEEE802_11_AVS."""
    if len(data) < AVS_LENGTH:
        return TRUNCATED_LINK_HEADER
    magic, length = struct.unpack_from(">II", data)
    if magic & 0xFFFFF000 != AVS_MAGIC or length < AVS_LENGTH:
        return BAD_LINK_HEADER
    if length > len(data):
        return TRUNCATED_LINK_HEADER
    channel, signal_type, signal = struct.unpack_from(">I12xIi", data, 28)
    if channel >= 256:
        channel = CHANNEL_OF_MHZ.get(channel if channel < 10_000 else channel // 1000)
    return LinkHeader(length, None, signal if signal_type == AVS_SIGNAL_IS_DBM else None, channel or None)


PPI_802_11_COMMON = 2
PPI_LINK_TYPE = 105
PPI_FLAG_ALIGNED = 0x01
PPI_FCS_AT_END, PPI_FCS_INVALID, PPI_PHY_ERROR = 0x1, 0x4, 0x8


def read_ppi(data: bytes) -> LinkHeader | Skipped:
    """Link type 192: type-length-value fields, little-endian; we read 802.11-Common. Source: CACE PPI specification 1.0.10, 4.1.2."""
    if len(data) < 8:
        return TRUNCATED_LINK_HEADER
    version, flags, length, link_type = struct.unpack_from("<BBHI", data)
    if version != 0 or length < 8 or link_type != PPI_LINK_TYPE:
        return BAD_LINK_HEADER
    if length > len(data):
        return TRUNCATED_LINK_HEADER
    header = LinkHeader(length, None, None, None)
    position = 8
    while position + 4 <= length:
        kind, size = struct.unpack_from("<HH", data, position)
        position += 4
        if position + size > length:
            return BAD_LINK_HEADER
        if kind == PPI_802_11_COMMON and size >= 20:
            frame_flags, frequency, signal = struct.unpack_from("<8xH2xH4xb", data, position)
            if frame_flags & (PPI_FCS_INVALID | PPI_PHY_ERROR):
                return BAD_FCS
            header = LinkHeader(length, bool(frame_flags & PPI_FCS_AT_END), signal, CHANNEL_OF_MHZ.get(frequency))
        position += size
        if flags & PPI_FLAG_ALIGNED:
            position = (position + 3) // 4 * 4
    return header
