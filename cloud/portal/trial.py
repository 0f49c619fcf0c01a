"""What a trial counts (core): of the shoppers for whom an offer was due, how many came back within the trial's days.

A shopper is counted when those days are over, whichever arm they are in: before, a later start would look like a lower share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from cloud.portal.uplift import Counted


@dataclass(frozen=True, slots=True)
class Entered:
    """One shopper in one arm: the day on which the offer was first due, and the days on which they opened the page."""

    arm: str
    date: str
    visits: frozenset[str]


def came_back(since: str, visits: Iterable[str], return_days: int) -> bool:
    """True where the page was opened on a later day, ``return_days`` after ``since`` at the latest."""
    last = last_day(since, return_days)
    return any(since < day <= last for day in visits)


def last_day(since: str, days: int) -> str:
    """The day that many days after."""
    return (date.fromisoformat(since) + timedelta(days=days)).isoformat()


def counted_arms(
    entered: Iterable[Entered], tallies: Mapping[str, Counted], return_days: int, today: str
) -> dict[str, Counted]:
    """Arm -> how many were counted and how many of them came back. ``tallies`` are of shoppers who are erased."""
    arms = dict(tallies)
    for one in entered:
        if last_day(one.date, return_days) < today:
            returned = came_back(one.date, one.visits, return_days)
            arms[one.arm] = arms.get(one.arm, Counted(0, 0)) + Counted(1, int(returned))
    return arms
