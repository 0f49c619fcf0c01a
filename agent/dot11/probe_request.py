"""The one value that decoding yields: a probe request, or the reason why a frame is none.

Core. Both are tuples rather than frozen dataclasses: on a 580 MHz MIPS the frozen ``__init__`` costs more than the
whole decoding of a frame, and one of these is made for each frame heard.
"""

from __future__ import annotations

from typing import NamedTuple


class ProbeRequest(NamedTuple):
    """A probe request as the air offers it. Source: IEEE 802.11-2020 9.3.3.9 (frame body of Probe Request).

    A field that the source cannot know is None: hostapd's events give neither ``sequence`` nor ``elements``.
    """

    address: bytes
    """Transmitter address, 6 bytes."""
    sequence: int | None
    """Sequence number, 0..4095."""
    rssi_dbm: int | None
    """Antenna signal in dBm, the strongest antenna; None where the header has none or the reading is junk."""
    channel: int | None
    """Channel number on which the radio heard it (from the link header, never from the DS parameter element)."""
    elements: bytes | None
    """Frame body without the FCS: the elements, in order."""


class Skipped(NamedTuple):
    """A frame that yields no probe request, and why. ``reason`` is a key of ``agent.ledger.SKIP_REASONS``."""

    reason: str
