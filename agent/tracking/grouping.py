"""Scans of one family -> devices, for every number of devices (core).

Units start as what one address and its counter hold together, and the two units whose union gains the most evidence are
joined again and again, down to one. So there is a best grouping for each number of devices, with its evidence: the labels
come from the best of all, the count from the whole curve (agent/tracking/counting.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import lgamma, sqrt
from operator import attrgetter
from statistics import median_low

from agent.tracking.habits import Habits
from agent.tracking.likelihood import (
    ADDRESS_COST,
    DEVICE_COST,
    FURTHER_COST,
    LEVEL_RANGE_COST,
    PRESENCE_WEIGHT,
    QUANTUM_VARIANCE,
    SECOND_US,
    WEAKER_COST,
    arrivals,
    log_evidence,
    presence,
)
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
class Path:
    """What joining a family down to one device showed: the log evidence of each number of devices, and the best grouping of all."""

    curve: dict[int, float]
    units: tuple[tuple[Scan, ...], ...]


def is_mixed(scan: Scan, habits: Habits) -> bool:
    """True where two counters ran under one address at once. A global address keeps one counter in any case, as long as a scan lasts."""
    return (scan.is_global or habits.same.is_kept) and spans_counters(scan)


def spans_counters(scan: Scan) -> bool:
    """True where the numbers under one address span more than one phone sends in a scan."""
    if len(scan.addresses) > 1 or scan.frames < 2:
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
    return sorted((*one, *other), key=attrgetter("first_us"))


class Summary:
    """What is known of a unit at a glance, to say which pairs are worth weighing."""

    __slots__ = ("addresses", "evidence", "first_us", "last_us", "levels", "number", "stay")

    def __init__(self, scans: Sequence[Scan], evidence: float) -> None:
        self.evidence = evidence
        self.number = len(scans)
        self.first_us = scans[0].first_us
        self.last_us = scans[-1].first_us
        self.stay = presence(self.number, self.first_us, self.last_us)
        self.addresses = frozenset([address for scan in scans for address in scan.addresses])
        levels: dict[int, list[int]] = {}
        for scan in scans:
            for channel, level in scan.levels.items():
                levels.setdefault(channel, []).append(level)
        self.levels = {channel: (median_low(found), len(found)) for channel, found in levels.items()}
        """Channel -> median of the levels, and of how many."""

    def stay_with(self, other: Summary) -> float:
        """What the union's number of scans in its stay gains over both alone."""
        first_us = self.first_us if self.first_us < other.first_us else other.first_us
        last_us = self.last_us if self.last_us > other.last_us else other.last_us
        return presence(self.number + other.number, first_us, last_us) - self.stay - other.stay


class Agglomeration:
    """Units of one family, joined pair by pair, best first.

    A pair is worth a guess until it comes to the front; then it is weighed. Most never are, which makes the difference between a
    second and a few hundredths.
    """

    def __init__(self, units: Sequence[Sequence[Scan]], habits: Habits, variance: float) -> None:
        self._habits = habits
        self._variance = variance
        self._spread = variance + QUANTUM_VARIANCE
        self._far_db = FAR_APART * sqrt(self._spread)
        self._units = {number: list(unit) for number, unit in enumerate(units)}
        self._summaries = {number: self._summary(unit) for number, unit in self._units.items()}
        first_us = min(summary.first_us for summary in self._summaries.values())
        last_us = max(summary.last_us for summary in self._summaries.values())
        self._span_s = (last_us - first_us) / SECOND_US
        self._gains = {(one, other): self._guess(one, other) for other in self._units for one in range(other)}
        """What is known or guessed of each pair."""
        self._queue = [(-gain, one, other, False) for (one, other), gain in self._gains.items()]
        """Least first: the gain's negative, the pair, and whether it was weighed or guessed."""
        heapify(self._queue)

    def path(self) -> Path:
        """Every grouping on the way down to one device, or to where it is out of the question."""
        curve = {len(self._units): self._evidence()}
        best, units = curve[len(self._units)], self._grouping()
        highest = best
        while len(self._units) > 1:
            self.join_best()
            evidence = self._evidence()
            highest = max(highest, evidence)
            if evidence < highest - HOPELESS:
                break
            if len(self._units) <= MOST_DEVICES:
                curve[len(self._units)] = evidence
                if evidence >= best:
                    best, units = evidence, self._grouping()
        return Path(curve, units)

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
                continue  # of a unit that is gone, or guessed before the last join
            if is_weighed:
                self._join(one, other)
                return
            self._note(one, other, self._gain(one, other), True)

    def _join(self, one: int, other: int) -> None:
        sizes = self._summaries[one].number, self._summaries.pop(other).number
        self._units[one] = together(self._units[one], self._units.pop(other))
        self._summaries[one] = self._summary(self._units[one])
        del self._gains[one, other]
        for number in self._units:
            if number != one:
                first = self._gains.pop((min(number, one), max(number, one)))
                second = self._gains.pop((min(number, other), max(number, other)))
                hope = hoped(first, second, *sizes, self._summaries[number].number)
                self._note(min(number, one), max(number, one), hope, False)

    def _note(self, one: int, other: int, gain: float, is_weighed: bool) -> None:
        self._gains[one, other] = gain
        heappush(self._queue, (-gain, one, other, is_weighed))

    def _gain(self, one: int, other: int) -> float:
        first, second = self._summaries[one], self._summaries[other]
        if self._level_gain(first, second) is None:
            return -10.0 * HOPELESS
        both = log_evidence(together(self._units[one], self._units[other]), self._habits, self._variance)
        return both - first.evidence - second.evidence

    def _guess(self, one: int, other: int) -> float:
        """About what the pair gains, at a hundredth of the cost of weighing it."""
        first, second = self._summaries[one], self._summaries[other]
        level_gain = self._level_gain(first, second)
        if level_gain is None:
            return -10.0 * HOPELESS
        shared = ADDRESS_COST * len(first.addresses & second.addresses)
        return first.stay_with(second) + DEVICE_COST + shared + level_gain + self._counter_gain(one, other)

    def _level_gain(self, first: Summary, second: Summary) -> float | None:
        """About what the levels say of one device; None where they alone rule it out."""
        gain, worst = 0.0, -WEAKER_COST
        for channel, (level, many) in first.levels.items():
            if channel not in second.levels:
                continue
            other_level, other_many = second.levels[channel]
            apart = level - other_level
            fewest = many if many < other_many else other_many
            if fewest >= FEWEST_TO_COMPARE and abs(apart) > self._far_db:
                return None
            misfit = min(FEWEST_TO_COMPARE, fewest) * apart * apart / (2.0 * self._spread)
            if misfit > worst:
                misfit, worst = worst, -FURTHER_COST  # as likely a stray scan
            gain += LEVEL_RANGE_COST - misfit
        return gain

    def _counter_gain(self, one: int, other: int) -> float:
        first, second = self._units[one], self._units[other]
        if second[0].first_us < first[0].first_us:
            first, second = second, first
        if first[-1].last_us > second[0].first_us:
            return 0.0
        return self._habits.counter_score(first[-1], second[0])

    def _summary(self, scans: Sequence[Scan]) -> Summary:
        return Summary(scans, log_evidence(scans, self._habits, self._variance))

    def _evidence(self) -> float:
        own = sum(summary.evidence for summary in self._summaries.values())
        return own + arrivals(len(self._summaries), self._span_s)

    def _grouping(self) -> tuple[tuple[Scan, ...], ...]:
        return tuple(map(tuple, self._units.values()))


def hoped(first: float, second: float, first_size: int, second_size: int, size: int) -> float:
    """A guess at the gain of a unit of ``size`` scans with two just joined, from its gains with either."""
    both = first_size + second_size
    return _number_gain(both, size) + max(
        first - _number_gain(first_size, size), second - _number_gain(second_size, size)
    )


def _number_gain(one: int, other: int) -> float:
    """What two sets of so many scans in one time gain by falling to one device, from their numbers alone."""
    return PRESENCE_WEIGHT * (lgamma(one + other) - lgamma(one) - lgamma(other))
