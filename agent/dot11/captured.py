"""What a source hands on: a captured frame, word of a frame or of a device, or the news that time passed (core)."""

from __future__ import annotations

from typing import NamedTuple

from agent.dot11.probe_request import ProbeRequest, Skipped


class CapturedFrame(NamedTuple):
    """One frame as it was captured. A tuple, because one is made for each frame heard."""

    data: bytes
    """The captured bytes, from the link header on."""
    time_us: int
    """Capture time, microseconds since the epoch."""
    link_type: int
    """LINKTYPE_* value of tcpdump.org, such as 127 for radiotap."""
    capture: int
    """Index of the capture or interface among those given, from 0."""
    is_cut: bool
    """True where the capture kept fewer bytes than were on the air (snap length)."""


class Event(NamedTuple):
    """Word of a frame that the source does not have: somebody else heard it and says what it was (hostapd over ubus)."""

    request: ProbeRequest | Skipped
    """What decoding it would have given, as far as the event says."""
    time_us: int
    """When the word came, microseconds since the epoch."""
    is_rssi_rejected: bool = False
    """True where the event had a level, and it was junk."""


class Presence(NamedTuple):
    """Word that a device is joined to the network, hence near, whether or not it sends probe requests. No frame: no ledger counts it."""

    request: ProbeRequest
    """Its address, and its level and channel where they are known."""
    time_us: int


class Tick(NamedTuple):
    """Time passed: live sources yield one at least every second, so that windows close on time.

    All frames up to ``time_us`` were yielded before. The two lists hold what happened since the tick before.
    """

    time_us: int
    listened_ms: tuple[tuple[int, int], ...] = ()
    """(channel, milliseconds) during which a frame on the air would have been heard; channel 0 is "not known"."""
    lost: tuple[tuple[str, int], ...] = ()
    """(reason, frames) that the source lost; reasons as in ``agent.ledger.LOSS_REASONS``."""


Heard = CapturedFrame | Event | Presence | Tick
"""Whatever a source yields."""
