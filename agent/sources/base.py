"""What every source of frames promises (shell).

A source is an iterable of frames, of word of frames or devices, and of ticks (``Heard``). It never drops in silence: what it lost itself (kernel drops,
a broken end of a file) it counts and gives back from ``losses``. A live source says the same in its ticks, together with
how long it listened on which channel, so that both reach the ledger of the batch that they belong to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from agent.dot11.captured import CapturedFrame, Heard, Tick

if TYPE_CHECKING:
    from agent.config import SourceSection

__all__ = ["CapturedFrame", "LiveSource", "Source", "Tick"]


class Source(Protocol):
    """Frames in order of time. Iterating again is not promised."""

    @classmethod
    def from_config(cls, section: SourceSection) -> Self:
        """The source that the section ``source`` of the configuration describes. Raises SourceError."""
        ...

    def __iter__(self) -> Iterator[Heard]: ...

    def losses(self) -> dict[str, int]:
        """Frames that the source itself lost since its start, by reason (a key of ``agent.ledger.LOSS_REASONS``)."""
        ...

    def close(self) -> None:
        """Give back file handles or sockets. A second call does nothing."""
        ...


@runtime_checkable
class LiveSource(Source, Protocol):
    """A source that hears the air now. It does not end by itself; whoever stops it asks for the rest."""

    def rest(self) -> Iterator[Heard]:
        """What was heard and not yielded until now, within half a second, and a last tick. Nothing is heard from here on."""
        ...

    def state(self) -> dict[str, int | float | str | None]:
        """How it goes, for the status file and ``doctor``: plain values, units in the names, nothing about any phone."""
        ...
