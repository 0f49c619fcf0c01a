"""Which batches may wait no longer: those that hold single devices of a day that was over for 24 h (core; DESIGN section 6).

A batch says itself of which day it is: by its key epoch. Batches of mode ``count`` name nobody and wait as long as there is room; so do
captures, whose days are long over; and batches made before the clock was set, of whose day nobody can tell. The cloud turns those away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from agent.wire.codec import peek_header
from agent.wire.cose import open_message
from agent.wire.errors import WireError
from agent.wire.model import ClockState, LegalMode

DAY_S = 86_400
KEPT_S = DAY_S
"""After the day's end, as in cloud.domain.retention."""
LOOKS = 256
"""Batches that are opened at one time; the others have their turn half a minute later."""


class Named(Protocol):
    """What is known of a waiting batch without opening it."""

    @property
    def sequence(self) -> int: ...


Waits = TypeVar("Waits", bound=Named)


def over_at_s(message: bytes, day_offset_s: int) -> float | None:
    """When a batch must be gone (epoch s); None where it may stay, also for what is none: the cloud says so, and it is set aside."""
    try:
        header = peek_header(open_message(message).payload)
    except WireError:
        return None
    if header.mode is LegalMode.COUNT or header.clock is not ClockState.SYNCED or header.key_epoch < 0:
        return None
    return (header.key_epoch + 1) * DAY_S + day_offset_s + KEPT_S


class Forgetting:
    """``now_s`` gives the time (epoch s), None while the clock was not set; ``day_offset_s`` is by how much a day begins after 00:00 UTC."""

    def __init__(self, now_s: Callable[[], float | None], day_offset_s: int) -> None:
        self._now_s = now_s
        self._day_offset_s = day_offset_s
        self._over_at_s: dict[str, dict[int, float | None]] = {}

    def over(self, where: str, waiting: Iterable[Waits], read: Callable[[Waits], bytes]) -> list[Waits]:
        """Those of ``waiting`` whose time is over; each is read once. ``where`` they wait. Raises what ``read`` raises."""
        now_s = self._now_s()
        if now_s is None:
            return []
        known, found, looks = self._over_at_s.get(where, {}), [], 0
        self._over_at_s[where] = kept = {}
        for entry in waiting:
            if entry.sequence in known:
                over_at = known[entry.sequence]
            elif looks < LOOKS:
                looks += 1
                over_at = over_at_s(read(entry), self._day_offset_s)
            else:
                continue
            kept[entry.sequence] = over_at
            if over_at is not None and now_s >= over_at:
                found.append(entry)
        return found
