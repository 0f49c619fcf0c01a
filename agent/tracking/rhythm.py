"""How regularly phones scan, learned from the air without labels (core).

Some phones scan by a timer, to a few percent; others in clumps, whenever the screen lights up. A scan that comes too early for a
timer speaks for a second phone, but only where phones keep timers. So the time between two scans of one phone is a mixture: a
*timed* part around the phone's own rhythm (and its multiples, for scans that were missed), and an *untimed* part that knows no rhythm. The
share of the untimed part is learned for each family, beginning from what all families of this air have shown so far.
"""

from __future__ import annotations

from math import exp, log, sqrt, tau

SPREAD = 0.45
"""Standard deviation of log(gap) where a phone's own is not learned yet: a factor of 1.6."""
SPREAD_WEIGHT = 3.0
LEAST_SPREAD = 0.12
MISSED = 0.15
"""Share of scans of a timer that are not heard."""
MULTIPLES = tuple((log(times), (1.0 - MISSED) * MISSED ** (times - 1)) for times in (1, 2, 3, 4))
FOLDED_WITHIN = 0.3
GAPS_KEPT = 20
"""A phone's rhythm is that of about its last 20 gaps."""
UNTIMED_UP_TO_S = 400.0
UNTIMED_SCALE = 3.9
"""log(400 s / 8 s): the untimed part gives each factor of time the same weight."""
UNTIMED, TIMED = 38.0, 2.0
"""Gaps of either kind that an air begins with: phones count as irregular until they show otherwise."""
FAMILY_WEIGHT = 8.0
"""Gaps for which the air's experience counts in a family of its own."""
AIR_KEPT, FAMILY_KEPT = 400.0, 60.0
FEWEST_GAPS = 2
"""Of a phone, before its gaps say anything about its family."""
LONGEST_GAP_S = 600.0


class Beat:
    """The rhythm of one phone: mean and spread of the logarithm of its gaps (s)."""

    __slots__ = ("gaps", "mean", "squares")

    def __init__(self) -> None:
        self.gaps = 0
        self.mean = 0.0
        self.squares = 0.0

    def expected(self, usual: float) -> float:
        """Log of the gap to be expected; ``usual`` (log s) counts as one gap."""
        return (usual + self.mean * self.gaps) / (1.0 + self.gaps)

    def hear(self, gap_s: float, usual: float) -> None:
        """Take in a gap. A multiple of the rhythm counts as the rhythm."""
        gap = log(min(gap_s, LONGEST_GAP_S))
        expected = self.expected(usual)
        for shift, _ in reversed(MULTIPLES[1:]):
            if gap - expected > shift - FOLDED_WITHIN:
                gap -= shift
                break
        if self.gaps >= GAPS_KEPT:
            self.squares *= 1.0 - 1.0 / GAPS_KEPT
        self.gaps = min(self.gaps + 1, GAPS_KEPT)
        self.mean += (gap - self.mean) / self.gaps
        self.squares += (gap - expected) ** 2

    def timed(self, gap_s: float, usual: float) -> float:
        """Density (per second) of a gap by the phone's own timer."""
        spread = max(LEAST_SPREAD, sqrt((SPREAD_WEIGHT * SPREAD**2 + self.squares) / (SPREAD_WEIGHT + self.gaps)))
        off = log(gap_s) - self.expected(usual)
        total = sum(weight * exp(-(((off - shift) / spread) ** 2) / 2.0) for shift, weight in MULTIPLES)
        return total / (gap_s * spread * sqrt(tau))


def untimed(gap_s: float) -> float:
    """Density (per second) of a gap of a phone that keeps no timer."""
    if gap_s < UNTIMED_UP_TO_S:
        return 1.0 / (UNTIMED_SCALE * gap_s)
    return exp(1.0 - gap_s / UNTIMED_UP_TO_S) / (UNTIMED_SCALE * UNTIMED_UP_TO_S)


class Regularity:
    """Gaps of either kind, as they were shared out so far; older ones count less."""

    __slots__ = ("_kept", "timed", "untimed")

    def __init__(self, kept: float, untimed: float = 0.0, timed: float = 0.0) -> None:
        self._kept = kept
        self.untimed = untimed
        self.timed = timed

    def hear(self, untimed_share: float) -> None:
        """Take in a gap that was untimed with this probability."""
        if self.untimed + self.timed > self._kept:
            self.untimed *= 1.0 - 1.0 / self._kept
            self.timed *= 1.0 - 1.0 / self._kept
        self.untimed += untimed_share
        self.timed += 1.0 - untimed_share

    def untimed_share(self, air: Regularity) -> float:
        """Share of untimed gaps in a family, with the air's experience behind it; never quite 0, nor 1."""
        share = air.untimed / (air.untimed + air.timed)
        found = (self.untimed + FAMILY_WEIGHT * share) / (self.untimed + self.timed + FAMILY_WEIGHT)
        return min(0.98, max(0.02, found))


def air_regularity() -> Regularity:
    """What is held of an air before anything was heard."""
    return Regularity(AIR_KEPT, UNTIMED, TIMED)


def family_regularity() -> Regularity:
    """What is held of a family before anything was heard: what the air says."""
    return Regularity(FAMILY_KEPT)


def density(beat: Beat, gap_s: float, usual: float, untimed_share: float) -> float:
    """Density (per second) of the gap to a phone's next scan."""
    return (1.0 - untimed_share) * beat.timed(gap_s, usual) + untimed_share * untimed(gap_s)
