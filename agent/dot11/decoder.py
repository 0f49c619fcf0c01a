"""Captured bytes -> ProbeRequest or Skipped (core). The hottest code of the agent, so it is flat.

A frame passes: link header -> frame control -> FCS -> transmitter address -> elements. Whatever the bytes, ``decode``
gives a value and never raises.

Two kinds of FCS that no header announces exist (drivers that leave it in place with the flag clear, link type 105), so
without a flag the check sum itself decides: where the last four bytes are the CRC-32 of the rest, they are an FCS and
are counted as unflagged; otherwise the elements must end exactly where the frame does. A frame that the capture cut
short (snap length) has neither, and is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from agent.dot11.channels import CHANNEL_OF_MHZ
from agent.dot11.elements import elements_are_whole
from agent.dot11.errors import UnknownLinkType
from agent.dot11.linklayers import LinkHeader, read_avs, read_none, read_ppi, read_prism
from agent.dot11.probe_request import ProbeRequest, Skipped
from agent.dot11.radiotap import (
    FLAG_BAD_FCS,
    FLAG_FCS_AT_END,
    Layout,
    has_vendor_namespace,
    presence_words_end,
    read_layout,
)
from agent.dot11.reasons import (
    BAD_ADDRESS,
    BAD_FCS,
    EMPTY_FRAME,
    NO_SIGNAL,
    NOT_PROBE_REQUEST,
    TRUNCATED_ELEMENTS,
    TRUNCATED_FRAME_HEADER,
    TRUNCATED_LINK_HEADER,
)

RADIOTAP = 127
LINK_TYPES: dict[int, tuple[str, Callable[[bytes], LinkHeader | Skipped] | None]] = {
    105: ("802.11", read_none),
    119: ("Prism", read_prism),
    RADIOTAP: ("radiotap", None),
    163: ("AVS", read_avs),
    192: ("PPI", read_ppi),
}
"""LINKTYPE_* numbers of tcpdump.org that hold 802.11 frames."""

PROBE_REQUEST = 0x40
"""First octet of Frame Control: version 0, type management, subtype 4. Source: IEEE 802.11-2020 9.2.4.1.3, table 9-1."""
ORDER = 0x80
"""+HTC/Order bit in the second octet: four bytes of HT Control follow the header. Source: IEEE 802.11-2020 9.2.4.1.10."""
HEADER_LENGTH = 24
HT_CONTROL_LENGTH = 4
FCS_LENGTH = 4
FCS_RESIDUE = 0x2144DF1C
"""CRC-32 of any frame together with its own FCS. Source: IEEE 802.11-2020 9.2.4.8 (the polynomial), its residue in zlib's bit order."""

RSSI_JUNK_FROM_DBM = 0
RSSI_JUNK_BELOW_DBM = -110
"""A phone heard at 0 dBm or more would sit inside the antenna (and 0 is how drivers say "not known"); below -110 dBm
lies under the thermal noise of 20 MHz (-101 dBm) by more than any receiver decodes. Field captures hold both (+17 dBm
in 2 % of one sensor's rows)."""

NO_ADDRESS = bytes(6)
LAYOUTS_KEPT = 256
BODIES_KEPT = 4096
BODY_KEPT_BYTES = 512
"""Longest body that is remembered: phones send 80 to 250 bytes, and who invents long ones shall not fill the memory with them."""


class Decoder:
    """Decodes the frames of one link type. Raises UnknownLinkType for a type that holds no 802.11 frames.

    ``decode(data, is_cut)`` takes the captured bytes from the link header on. ``rssi_rejected`` and ``fcs_unflagged``
    count, since the start, readings that were junk and check sums that no header announced.
    """

    __slots__ = ("_bodies", "_layouts", "_read_header", "decode", "fcs_unflagged", "rssi_rejected")

    decode: Callable[[bytes, bool], ProbeRequest | Skipped]

    def __init__(self, link_type: int) -> None:
        if link_type not in LINK_TYPES:
            known = ", ".join(f"{number} ({name})" for number, (name, _) in sorted(LINK_TYPES.items()))
            raise UnknownLinkType(f"link type {link_type} holds no 802.11 frames that we read; we read {known}")
        self.rssi_rejected = 0
        self.fcs_unflagged = 0
        self._layouts: dict[bytes, Layout] = {}
        self._bodies: dict[bytes, bytes] = {}
        read_header = LINK_TYPES[link_type][1]
        if read_header is None:
            self.decode = self._decode_radiotap
        else:
            self._read_header = read_header
            self.decode = self._decode_other

    def _decode_radiotap(self, data: bytes, is_cut: bool) -> ProbeRequest | Skipped:
        layout: Layout | Skipped | None = self._layouts.get(data[:8])
        if layout is None:
            layout = self._layout(data)
            if isinstance(layout, Skipped):
                return layout
        start, flags_at, frequency_at, signal_at, more_signals_at, is_sent = layout  # type: ignore[misc]
        if is_sent:
            return NO_SIGNAL
        frame = data[start:]
        if len(frame) < HEADER_LENGTH:
            return self._too_short(data, start)
        if frame[0] != PROBE_REQUEST:
            return NOT_PROBE_REQUEST
        flags = data[flags_at] if flags_at else 0
        if flags & FLAG_BAD_FCS:
            return BAD_FCS
        head = HEADER_LENGTH if frame[1] < ORDER else HEADER_LENGTH + HT_CONTROL_LENGTH
        if flags & FLAG_FCS_AT_END:
            if crc32(frame) != FCS_RESIDUE:
                return TRUNCATED_ELEMENTS if is_cut else BAD_FCS
            body = frame[head:-4]
        else:
            end = self._end_without_flag(frame, head, is_cut)
            if not end:
                return TRUNCATED_ELEMENTS
            body = frame[head:end]
        elements = self._bodies.get(body)
        if elements is None:
            if not elements_are_whole(body):
                return TRUNCATED_ELEMENTS
            if not body and _ends_in_header(frame, head):
                return TRUNCATED_FRAME_HEADER
            elements = self._keep(body) if body else body
        address = frame[10:16]
        if address[0] & 1 or address == NO_ADDRESS:
            return BAD_ADDRESS
        rssi = data[signal_at] - 256 if signal_at else None
        if more_signals_at or (rssi is not None and rssi < RSSI_JUNK_BELOW_DBM):
            rssi = self._plausible([data[at] for at in (signal_at, *more_signals_at)])
        channel = CHANNEL_OF_MHZ.get(data[frequency_at] | data[frequency_at + 1] << 8) if frequency_at else None
        return ProbeRequest(address, frame[22] >> 4 | frame[23] << 4, rssi, channel, elements)

    def _decode_other(self, data: bytes, is_cut: bool) -> ProbeRequest | Skipped:
        if not data:
            return EMPTY_FRAME
        header = self._read_header(data)
        if isinstance(header, Skipped):
            return header
        start, has_fcs, rssi, channel = header
        frame = data[start:]
        if len(frame) < HEADER_LENGTH:
            return self._too_short(data, start)
        if frame[0] != PROBE_REQUEST:
            return NOT_PROBE_REQUEST
        head = HEADER_LENGTH if frame[1] < ORDER else HEADER_LENGTH + HT_CONTROL_LENGTH
        if has_fcs:
            if crc32(frame) != FCS_RESIDUE:
                return TRUNCATED_ELEMENTS if is_cut else BAD_FCS
            end = len(frame) - FCS_LENGTH
        else:
            end = self._end_without_flag(frame, head, is_cut)
        if not end or not elements_are_whole(frame[head:end]):
            return TRUNCATED_ELEMENTS
        if end <= head and _ends_in_header(frame, head):
            return TRUNCATED_FRAME_HEADER
        address = frame[10:16]
        if address[0] & 1 or address == NO_ADDRESS:
            return BAD_ADDRESS
        if rssi is not None and not RSSI_JUNK_BELOW_DBM <= rssi < RSSI_JUNK_FROM_DBM:
            self.rssi_rejected += 1
            rssi = None
        return ProbeRequest(address, frame[22] >> 4 | frame[23] << 4, rssi, channel, frame[head:end])

    @staticmethod
    def _too_short(data: bytes, start: int) -> Skipped:
        """Which part of a frame that has no whole 802.11 header is missing."""
        if len(data) < start:
            return TRUNCATED_LINK_HEADER
        return TRUNCATED_FRAME_HEADER if len(data) > start else EMPTY_FRAME

    def _layout(self, data: bytes) -> Layout | Skipped:
        """The layout of a header seen for the first time, or one whose presence words run on beyond the first."""
        if len(data) < 8:
            return TRUNCATED_LINK_HEADER if data else EMPTY_FRAME
        key = data[: presence_words_end(data)]
        layout: Layout | Skipped | None = self._layouts.get(key) if len(key) > 8 else None
        if layout is None:
            layout = read_layout(data)
            if isinstance(layout, Layout) and not has_vendor_namespace(data):
                if len(self._layouts) >= LAYOUTS_KEPT:
                    self._layouts.clear()
                self._layouts[key] = layout
        return layout

    def _end_without_flag(self, frame: bytes, head: int, is_cut: bool) -> int:
        """Where the elements end, 0 where nobody can say (see the module's docstring)."""
        if is_cut:
            return 0
        if crc32(frame) == FCS_RESIDUE:
            self.fcs_unflagged += 1
            return len(frame) - FCS_LENGTH
        return len(frame) if elements_are_whole(frame[head:]) else 0

    def _keep(self, body: bytes) -> bytes:
        """Remember a body whose elements are whole. Phones repeat theirs, so most frames cost one look-up."""
        if len(body) > BODY_KEPT_BYTES:
            return body
        if len(self._bodies) >= BODIES_KEPT:
            self._bodies.clear()
        self._bodies[body] = body
        return body

    def _plausible(self, readings: list[int]) -> int | None:
        """The strongest plausible reading of several antennas, each an octet in two's complement; None where all are junk."""
        best: int | None = None
        for octet in readings:
            rssi = octet - 256 if octet > 127 else octet
            if not RSSI_JUNK_BELOW_DBM <= rssi < RSSI_JUNK_FROM_DBM:
                self.rssi_rejected += 1
            elif best is None or rssi > best:
                best = rssi
        return best


def _ends_in_header(frame: bytes, head: int) -> bool:
    """True where a frame that seems to have no elements lacks a part of its own header: then the FCS or nothing stands in its place."""
    return len(frame) - (FCS_LENGTH if crc32(frame) == FCS_RESIDUE else 0) < head
