"""Scans of one family -> devices, for every number of devices (core).

Units start as what one address and its counter hold together, and the two units whose union gains the most evidence are
joined again and again, down to one. So there is a best grouping for each number of devices, with its evidence: the labels
come from the best of all, the count from the whole curve (agent/tracking/counting.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import sqrt
from statistics import median_low

from agent.tracking.habits import Habits
from agent.tracking.likelihood import QUANTUM_VARIANCE, log_evidence, partition_gain
from agent.tracking.scans import TOUCH_US, Scan

MOST_DEVICES = 40
"""Groupings into more are not kept; a family of identical phones is rarely larger."""
HOPELESS = 100.0
"""Nats below the best grouping at which joining ends."""
FAR_APART = 8.0
"""Standard deviations between the levels of two units that are not compared further."""
FEWEST_TO_COMPARE = 3
MIXED_SPAN = 3
MIXED_SLACK = 100


@dataclass(frozen=True, slots=True)
class Grouping:
    """One way of dividing a family: the units, and the log evidence of all of them."""

    evidence: float
    units: tuple[tuple[Scan, ...], ...]


def is_mixed(scan: Scan, habits: Habits) -> bool:
    """True where two counters ran under one address at once: the numbers span more than one phone sends in a scan."""
    if not habits.same.is_kept or len(scan.addresses) > 1 or scan.frames < 2:
        return False
    if scan.sequence_first is None or scan.sequence_last is None:
        return False
    return (scan.sequence_last - scan.sequence_first) % 4096 > MIXED_SPAN * scan.frames + MIXED_SLACK


def chains(scans: Iterable[Scan], habits: Habits) -> list[list[Scan]]:
    """Scans that one address and its counter hold together. An address whose counter jumps begins another chain."""
    by_address: dict[bytes, list[list[Scan]]] = {}
    found: list[list[Scan]] = []
    for scan in scans:
        known = [chain for address in scan.addresses for chain in by_address.get(address, ())]
        scored = [(habits.counter_score(chain[-1], scan), -n, chain) for n, chain in enumerate(known)]
        scored = [entry for entry in scored if entry[0] >= 0.0 and entry[2][-1].last_us - TOUCH_US <= scan.first_us]
        if scored:
            chain = max(scored, key=lambda entry: entry[:2])[2]
            chain.append(scan)
        else:
            chain = [scan]
            found.append(chain)
        for address in scan.addresses:
            of_address = by_address.setdefault(address, [])
            if not any(other is chain for other in of_address):
                of_address.append(chain)
    return found


def together(one: Sequence[Scan], other: Sequence[Scan]) -> list[Scan]:
    """Both in order of time."""
    return sorted((*one, *other), key=lambda scan: scan.first_us)


def typical_levels(scans: Sequence[Scan]) -> dict[int, int]:
    """Channel -> median of the levels, where there are enough to say."""
    levels: dict[int, list[int]] = {}
    for scan in scans:
        for channel, level in scan.levels.items():
            levels.setdefault(channel, []).append(level)
    return {channel: median_low(found) for channel, found in levels.items() if len(found) >= FEWEST_TO_COMPARE}


class Agglomeration:
    """Units of one family, joined pair by pair, best first.

    After a join the pairs of the new unit are worth a hopeful guess until they come to the front; then they are weighed.
    Most never do, which makes the difference between a second and a few hundredths.
    """

    def __init__(self, units: Sequence[Sequence[Scan]], habits: Habits, variance: float) -> None:
        self._habits = habits
        self._variance = variance
        self._far_db = FAR_APART * sqrt(variance + QUANTUM_VARIANCE)
        self._units = {number: list(unit) for number, unit in enumerate(units)}
        self._evidence = {number: self._evidence_of(unit) for number, unit in self._units.items()}
        self._levels = {number: typical_levels(unit) for number, unit in self._units.items()}
        self._gains = {(one, other): self._gain(one, other) for other in self._units for one in range(other)}
        """What is known or hoped of each pair."""
        self._queue = [(-gain, one, other, True) for (one, other), gain in self._gains.items()]
        """Least first: the gain's negative, the pair, and whether it was weighed or hoped."""
        heapify(self._queue)

    def path(self) -> dict[int, Grouping]:
        """Number of devices -> the grouping reached with so many, down to one or to where it is out of the question."""
        groupings = {len(self._units): self._grouping()}
        best = groupings[len(self._units)].evidence
        while len(self._units) > 1:
            self.join_best()
            evidence = sum(self._evidence.values())
            best = max(best, evidence)
            if evidence < best - HOPELESS:
                break
            if len(self._units) <= MOST_DEVICES:
                groupings[len(self._units)] = self._grouping()
        return groupings

    def join_down_to(self, number: int) -> None:
        """Join until no more than ``number`` units are left."""
        while len(self._units) > number:
            self.join_best()

    def units(self) -> list[list[Scan]]:
        """The units as they are now."""
        return list(self._units.values())

    def join_best(self) -> None:
        """Join the two units that gain the most (or lose the least) by it."""
        while True:
            negative, one, other, is_weighed = heappop(self._queue)
            if self._gains.get((one, other)) != -negative:
                continue  # of a unit that is gone, or hoped before the last join
            if is_weighed:
                self._join(one, other)
                return
            self._note(one, other, self._gain(one, other), True)

    def _join(self, one: int, other: int) -> None:
        sizes = len(self._units[one]), len(self._units[other])
        self._units[one] = together(self._units[one], self._units.pop(other))
        self._evidence[one] = self._evidence_of(self._units[one])
        self._levels[one] = typical_levels(self._units[one])
        del self._levels[other], self._evidence[other], self._gains[one, other]
        for number, unit in self._units.items():
            if number == one:
                continue
            first = self._gains.pop((min(number, one), max(number, one)))
            second = self._gains.pop((min(number, other), max(number, other)))
            hope = hoped(first, second, *sizes, len(unit))
            self._note(min(number, one), max(number, one), hope, False)

    def _note(self, one: int, other: int, gain: float, is_weighed: bool) -> None:
        self._gains[one, other] = gain
        heappush(self._queue, (-gain, one, other, is_weighed))

    def _gain(self, one: int, other: int) -> float:
        if self._are_far_apart(one, other):
            return -10.0 * HOPELESS
        both = self._evidence_of(together(self._units[one], self._units[other]))
        return both - self._evidence[one] - self._evidence[other]

    def _are_far_apart(self, one: int, other: int) -> bool:
        """True where the levels alone rule out one device."""
        levels = self._levels[other]
        return any(
            abs(level - levels[channel]) > self._far_db
            for channel, level in self._levels[one].items()
            if channel in levels
        )

    def _evidence_of(self, scans: Sequence[Scan]) -> float:
        return log_evidence(scans, self._habits, self._variance)

    def _grouping(self) -> Grouping:
        return Grouping(sum(self._evidence.values()), tuple(tuple(unit) for unit in self._units.values()))


def hoped(first: float, second: float, first_size: int, second_size: int, size: int) -> float:
    """A hopeful guess at the gain of a unit of ``size`` scans with two just joined, from its gains with either."""
    both = first_size + second_size
    grown = max(
        first + partition_gain(both, size) - partition_gain(first_size, size),
        second + partition_gain(both, size) - partition_gain(second_size, size),
    )
    return grown + max(0.0, min(first, second))
