"""Does an offer help? The difference of two shares with its 90 % interval (core).

What is compared is the share that came back within the trial's days: of those who were shown the offer, and of those who were not
because chance said so. Newcombe's interval from two Wilson intervals keeps its promise with a hundred shoppers on one side and ten
on the other, where the textbook's does not. Source: R. G. Newcombe, "Interval Estimation for the Difference Between Independent
Proportions", Statistics in Medicine 17 (1998), method 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from cloud.domain.intervals import Z90, Interval
from cloud.domain.publish import K


@dataclass(frozen=True, slots=True)
class Counted:
    """One side of a comparison: how many there were, and how many of them did it."""

    whole: int
    part: int

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.whole + other.whole, self.part + other.part)

    def share(self) -> float:
        """The share, 0 where nobody was counted."""
        return self.part / self.whole if self.whole else 0.0

    def is_small(self) -> bool:
        """True where it may not be shown: fewer than k did it, or fewer than k did not."""
        return self.part < K or self.whole - self.part < K


@dataclass(frozen=True, slots=True)
class Compared:
    """Two sides and the difference of their shares, in shares (0.05 is five points). ``difference`` is None where it may not be shown."""

    first: Counted
    second: Counted
    difference: Interval | None

    def verdict(self) -> str:
        """few, better, worse or open: what can be said with 90 % confidence."""
        if self.difference is None:
            return "few"
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "open"


def compare(first: Counted, second: Counted) -> Compared:
    """Published: nothing comes out where either side is small."""
    if first.is_small() or second.is_small():
        return Compared(_hidden(first), _hidden(second), None)
    return Compared(first, second, difference_interval(first, second))


def difference_interval(first: Counted, second: Counted) -> Interval:
    """first.share - second.share with its 90 % interval. Both sides must have counted somebody."""
    low_1, high_1 = _wilson(first)
    low_2, high_2 = _wilson(second)
    share_1, share_2 = first.share(), second.share()
    value = share_1 - share_2
    low = value - sqrt((share_1 - low_1) ** 2 + (high_2 - share_2) ** 2)
    high = value + sqrt((high_1 - share_1) ** 2 + (share_2 - low_2) ** 2)
    return Interval(value, max(-1.0, low), min(1.0, high))


def _wilson(counted: Counted) -> tuple[float, float]:
    """Wilson's interval of one share. Source: E. B. Wilson, 1927."""
    whole, share, squared = counted.whole, counted.share(), Z90 * Z90
    middle = (share + squared / (2 * whole)) / (1 + squared / whole)
    half = Z90 / (1 + squared / whole) * sqrt(share * (1 - share) / whole + squared / (4 * whole * whole))
    return middle - half, middle + half


def _hidden(counted: Counted) -> Counted:
    return Counted(counted.whole if counted.whole >= K else 0, 0)
