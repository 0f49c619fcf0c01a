"""Scans of one family -> devices, for every number of devices (core).

Units start as what one address and its counter hold together, and the two units whose union gains the most evidence are
joined again and again, down to one. So there is a best grouping for each number of devices, with its evidence: the labels
come from the best of all, the count from the whole curve (agent/tracking/counting.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.tracking.habits import Habits
from agent.tracking.likelihood import log_evidence
from agent.tracking.scans import TOUCH_US, Scan

MOST_DEVICES = 40
"""Groupings into more are not kept; a family of identical phones is rarely larger."""
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


class Agglomeration:
    """Units of one family, joined pair by pair, best first."""

    def __init__(self, units: Sequence[Sequence[Scan]], habits: Habits, variance: float) -> None:
        self._habits = habits
        self._variance = variance
        self._units = {number: list(unit) for number, unit in enumerate(units)}
        self._evidence = {number: self._evidence_of(unit) for number, unit in self._units.items()}
        self._gains: dict[int, tuple[float, int]] = {}
        """Unit -> its best gain with a later unit, and which. Kept for each unit, so that a join costs one row and not all."""
        self._rows: dict[int, dict[int, float]] = {number: {} for number in self._units}
        numbers = list(self._units)
        for place, one in enumerate(numbers):
            self._rows[one] = {other: self._gain(one, other) for other in numbers[place + 1 :]}
            self._note_best(one)

    def path(self) -> dict[int, Grouping]:
        """Number of devices -> the grouping reached with so many, down to one."""
        groupings = {len(self._units): self._grouping()}
        while len(self._units) > 1:
            self.join_best()
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
        one = max(self._gains, key=lambda number: (self._gains[number][0], -number))
        other = self._gains[one][1]
        self._units[one] = together(self._units[one], self._units.pop(other))
        self._evidence[one] = self._evidence_of(self._units[one])
        for gone in (self._evidence, self._rows, self._gains):
            gone.pop(other, None)
        for number in self._units:
            row = self._rows[number]
            row.pop(other, None)
            if number < one:
                row[one] = self._gain(number, one)
                self._note_best(number)
            elif number > one:
                self._rows[one][number] = self._gain(one, number)
                if self._gains.get(number, (0.0, -1))[1] == other:
                    self._note_best(number)
        self._note_best(one)

    def _note_best(self, number: int) -> None:
        row = self._rows[number]
        if row:
            other = max(row, key=lambda key: (row[key], -key))
            self._gains[number] = (row[other], other)
        else:
            self._gains.pop(number, None)

    def _gain(self, one: int, other: int) -> float:
        both = self._evidence_of(together(self._units[one], self._units[other]))
        return both - self._evidence[one] - self._evidence[other]

    def _evidence_of(self, scans: Sequence[Scan]) -> float:
        return log_evidence(scans, self._habits, self._variance)

    def _grouping(self) -> Grouping:
        return Grouping(sum(self._evidence.values()), tuple(tuple(unit) for unit in self._units.values()))
