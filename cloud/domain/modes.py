"""Which legal mode a store ran in on which day (core). A day has one mode, from its first minute to its last.

Mode ``count`` holds for the whole of the day on which it was chosen: what that day has of single devices is erased. Out of it another begins
with the next local day. So no day holds both counts and devices, none is read in a mode in which it was not collected, and a change back
and forth brings nothing back. Between ``day`` and ``consent``, which sense alike, a change holds at once: it is the store's page that asks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta

LEGAL_MODES = ("count", "day", "consent")
"""The strictest first."""
BEGINNING = "0001-01-01"


def keeps_devices(mode: str) -> bool:
    """True where single devices are known, for a day: pseudonyms, sightings, visits."""
    return mode != "count"


@dataclass(frozen=True, slots=True)
class ModeHistory:
    """``changes``: (first local date, mode), in order; the first begins before every date."""

    changes: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, mode: str) -> ModeHistory:
        """A store that never changed."""
        return cls(((BEGINNING, mode),))

    @property
    def only(self) -> str | None:
        """The mode of every date, where there was never another."""
        return self.changes[0][1] if len(self.changes) == 1 else None

    def on(self, date: str) -> str:
        """The mode of a local date."""
        return next(mode for first, mode in reversed(self.changes) if first <= date)

    def since(self, date: str) -> str:
        """The first date of the mode that a local date is in; ``BEGINNING`` where it was never another."""
        return next(first for first, _ in reversed(self.changes) if first <= date)

    def changed(self, today: str, mode: str) -> ModeHistory:
        """The history once ``mode`` was chosen on ``today``: from today on, out of ``count`` from tomorrow on.

        A change that was to come is overtaken. Choosing today's mode again takes such a one back.
        """
        past = tuple((first, was) for first, was in self.changes if first <= today)
        now = self.on(today)
        if mode == now:
            return ModeHistory(past)
        if not keeps_devices(now):
            return ModeHistory((*past, (_next(today), mode)))
        return ModeHistory((*(change for change in past if change[0] < today), (today, mode)))

    def as_json(self) -> str:
        """As the database keeps it."""
        return json.dumps(self.changes)


def history_from_json(text: str | None, mode: str) -> ModeHistory:
    """What the database keeps; without a word of it the store always ran in ``mode``."""
    return ModeHistory(tuple((first, was) for first, was in json.loads(text))) if text else ModeHistory.of(mode)


def _next(date: str) -> str:
    return (Date.fromisoformat(date) + timedelta(days=1)).isoformat()
