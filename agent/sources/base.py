"""What every source of frames promises (shell).

A source is an iterable of ``CapturedFrame`` and ``Tick``. It never drops in silence: what it lost itself (kernel drops,
a broken end of a file) it counts and gives back from ``losses``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from agent.dot11.captured import CapturedFrame, Tick

__all__ = ["CapturedFrame", "Source", "Tick"]


class Source(Protocol):
    """Frames in order of time. Iterating again is not promised."""

    def __iter__(self) -> Iterator[CapturedFrame | Tick]: ...

    def losses(self) -> dict[str, int]:
        """Frames that the source itself lost so far, by reason (a key of ``agent.ledger.LOSS_REASONS``)."""
        ...

    def close(self) -> None:
        """Give back file handles or sockets. A second call does nothing."""
        ...
