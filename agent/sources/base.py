"""What every source of frames promises (shell).

A source is an iterable of ``CapturedFrame`` and ``Tick``. It never drops in silence: what it lost itself (kernel drops,
a broken end of a file) it counts and gives back from ``losses``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


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
    """Time passed without a frame: live sources yield one at least every second, so that windows close on time."""

    time_us: int


class Source(Protocol):
    """Frames in order of time. Iterating again is not promised."""

    def __iter__(self) -> Iterator[CapturedFrame | Tick]: ...

    def losses(self) -> dict[str, int]:
        """Frames that the source itself lost so far, by reason (a key of ``agent.ledger.LOSS_REASONS``)."""
        ...

    def close(self) -> None:
        """Give back file handles or sockets. A second call does nothing."""
        ...
