"""An access point has no clock at boot: frames wait until it is set, then go to their place on it (core; clocks come in as functions).

The kernel stamps frames with the wall clock, which after a boot may be hours or years wrong. What is heard meanwhile is held with the
difference between wall and monotonic clock at that moment; once the clock is set, the same difference is another, and the change is
what each time was wrong by. After ``wait_s``, or when ``held_max`` frames wait, they go on as they are and batches say "unsynced".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from agent.dot11.captured import Heard, Tick
from agent.wire.model import ClockState

SECOND_US = 1_000_000
HELD_MAX = 20_000
"""Frames that wait for the clock: about 6 MB."""


class WallClock:
    """``state`` is what the wall clock is worth now. ``is_set`` tells; ``wall_us`` and ``monotonic_us`` read the two clocks."""

    def __init__(
        self, is_set: Callable[[], bool], wall_us: Callable[[], int], monotonic_us: Callable[[], int], wait_s: float
    ) -> None:
        self._is_set = is_set
        self._wall_us = wall_us
        self._monotonic_us = monotonic_us
        self._wait_us = int(wait_s * SECOND_US)
        self.state = ClockState.SYNCED if is_set() else ClockState.UNSYNCED
        self.shifted_us = 0
        """By how much the frames that waited were moved."""

    def place(self, frames: Iterable[Heard], held_max: int = HELD_MAX) -> Iterator[Heard]:
        """The frames in their order, none lost, none before the clock is set (or it is given up)."""
        remaining = iter(frames)
        yield from self._hold(remaining, held_max)
        for frame in remaining:
            if self.state is ClockState.UNSYNCED and isinstance(frame, Tick) and self._is_set():
                self.state = ClockState.SYNCED
            yield frame

    def _hold(self, frames: Iterator[Heard], held_max: int) -> Iterator[Heard]:
        if self.state is ClockState.SYNCED:
            return
        held: list[tuple[int, Heard]] = []
        give_up_us = self._monotonic_us() + self._wait_us
        for frame in frames:
            held.append((self._difference_us(), frame))
            if self._is_set():
                self.state = ClockState.SYNCED
                break
            if len(held) >= held_max or self._monotonic_us() >= give_up_us:
                break
        last_us = self._difference_us() if self.state is ClockState.SYNCED else None
        for difference_us, frame in held:
            self.shifted_us = 0 if last_us is None else last_us - difference_us
            yield frame._replace(time_us=frame.time_us + self.shifted_us)

    def _difference_us(self) -> int:
        return self._wall_us() - self._monotonic_us()
