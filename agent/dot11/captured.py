"""What a source hands on: a captured frame, or the news that time passed (core)."""

from __future__ import annotations

from typing import NamedTuple


class CapturedFrame(NamedTuple):
    """One frame as it was captured. A tuple, because one is made for each frame heard."""

    data: bytes
    """The captured bytes, from the link header on."""
    time_us: int
    """Capture time, microseconds since the epoch."""
    link_type: int
    """LINKTYPE_* value of tcpdump.org, such as 127 for radiotap; negative for sources that yield events."""
    capture: int
    """Index of the capture or interface among those given, from 0."""
    is_cut: bool
    """True where the capture kept fewer bytes than were on the air (snap length)."""


class Tick(NamedTuple):
    """Time passed: live sources yield one at least every second, so that windows close on time.

    All frames up to ``time_us`` were yielded before. The two lists hold what happened since the tick before.
    """

    time_us: int
    listened_ms: tuple[tuple[int, int], ...] = ()
    """(channel, milliseconds) during which a frame on the air would have been heard; channel 0 is "not known"."""
    lost: tuple[tuple[str, int], ...] = ()
    """(reason, frames) that the source lost; reasons as in ``agent.ledger.LOSS_REASONS``."""
