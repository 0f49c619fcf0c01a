"""A second look at all bursts together, for `count` and `explain` (core; docs/adr/0005-tracking.md).

The tracker must decide as time goes on; a resolver may wait. It keeps a few numbers of each scan, sorts them into families
of phones with the same hardware, learns each family's habits, divides it into devices and counts. What it keeps is capped:
beyond ``max_scans`` the families and devices silent for longest are settled, counted once and forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from agent.tracking.bursts import Burst
from agent.tracking.counting import Distribution, count, family_sizes, total
from agent.tracking.estimate import DeviceEstimate
from agent.tracking.grouping import Agglomeration, Path, chains, is_mixed, spans_counters, together
from agent.tracking.habits import Habits
from agent.tracking.likelihood import SHARED_ADDRESS, STILL_VARIANCE
from agent.tracking.scans import Scan, Unit, gather

MAX_SCANS = 2500
"""About 1.5 MB."""
SILENT_US = 900_000_000
SCANS_OF_A_DEVICE = 32
MAX_ADDRESSES = 4000
MAX_UNITS = 96
"""Compared each with each; the cost grows with the square."""
STRETCH_UNITS = 32
"""Neighbours in time that are compared with each other first, where there are more."""
CROWDED = 4
"""Times MAX_UNITS, beyond which the tracker's joins are taken over."""
FEWEST_MIXED = 4
"""Bursts with two counters in one, from which on they are no accident."""
WALKING_VARIANCE = 60.0
LEVEL_PAIRS = 30
"""Pairs of scans of one address from which the restlessness of an air is learned."""
RESTLESS_GAP_US = 10_000_000


@dataclass(slots=True)
class _Family:
    """Scans of phones that share their hardware's capabilities. ``into`` is set where two turned out to be one."""

    scans: list[Scan] = field(default_factory=list)
    into: _Family | None = None

    def root(self) -> _Family:
        family = self
        while family.into is not None:
            family = family.into
        return family


@dataclass(frozen=True, slots=True)
class _Division:
    """A family's scans, as they were divided; ``mixed`` are those that were left out of it, with two counters in one."""

    path: Path
    mixed: list[Scan]
    is_shared: bool
    """Two phones at least use one address."""

    def curve(self) -> dict[int, float]:
        """Number of devices -> log evidence."""
        if not self.is_shared:
            return self.path.curve
        return {number: evidence for number, evidence in self.path.curve.items() if number > 1} or {2: 0.0}


class Resolver:
    """``take`` decided bursts as they come; ``resolve`` when all are in. Then ``burst.device()`` is the resolved number."""

    def __init__(self) -> None:
        self._families: dict[int, _Family] = {}
        self._of_address: dict[bytes, _Family] = {}
        self._older_addresses: dict[bytes, _Family] = {}
        self._same_hardware: dict[int, int] = {}
        """Capabilities -> others that were named under one address: bits that a phone changes by itself."""
        self._hardware_of: dict[bytes, int] = {}
        self._kept = 0
        self._next_number = 0
        self._certain = 0
        self.curves: list[dict[int, float]] = []
        """Number of devices -> log evidence, of each family. Set by ``resolve``."""
        self._settled: Distribution = {0: 1.0}

    def take(self, bursts: Iterable[Burst]) -> None:
        """Keep what counts of ``bursts``, whose ``track`` and ``fingerprints`` are set."""
        for burst in bursts:
            if burst.fingerprints:
                burst.scan = Scan(burst)
                self._learn_hardware(burst)
                self._family_of(burst).scans.append(burst.scan)
                self._kept += 1
            elif burst.track.head == burst.address and burst.track.first_us == burst.first_us:
                self._certain += 1  # nothing but its address is known, and that was not heard before
        if self._kept > MAX_SCANS:
            self._settle()

    def resolve(self) -> DeviceEstimate:
        """Divide all that is kept into devices, number them, and count."""
        self.curves = []
        for division in self._divide(self._roots()):
            self._number(division)
            self.curves.append(division.curve())
        return count(total((self._settled, *family_sizes(self.curves))), self._certain)

    # --- families ---------------------------------------------------------------------------------------------------

    def _family_of(self, burst: Burst) -> _Family:
        """By capabilities; families whose capabilities were sent under one address are one."""
        family = self._known_address(burst.address)
        for fingerprint in burst.fingerprints:
            known = self._families.get(fingerprint.capabilities)
            if known is None:
                known = family or _Family()
                self._families[fingerprint.capabilities] = known
            known = known.root()
            if family is not None and family is not known:
                known.scans += family.scans
                family.scans = []
                family.into = known
            family = known
        assert family is not None, "a burst with a fingerprint has a family"  # noqa: S101 - cannot happen
        self._remember(burst.address, family)
        return family

    def _learn_hardware(self, burst: Burst) -> None:
        """Capabilities named under one address are one phone's."""
        if burst.address == SHARED_ADDRESS:
            return
        named = [fingerprint.capabilities for fingerprint in burst.fingerprints if not fingerprint.is_bare]
        if burst.address in self._hardware_of:
            named.append(self._hardware_of[burst.address])
        if not named:
            return
        first = self._hardware(named[-1])
        for other in map(self._hardware, named[:-1]):
            if other != first:
                self._same_hardware[other] = first
        if len(self._same_hardware) >= MAX_ADDRESSES:
            self._same_hardware.clear()
        if len(self._hardware_of) >= MAX_ADDRESSES // 2:
            self._hardware_of.clear()
        self._hardware_of[burst.address] = first

    def _hardware(self, capabilities: int) -> int:
        while capabilities in self._same_hardware:
            capabilities = self._same_hardware[capabilities]
        return capabilities

    def _known_address(self, address: bytes) -> _Family | None:
        known = self._of_address.get(address) or self._older_addresses.get(address)
        return known.root() if known is not None else None

    def _remember(self, address: bytes, family: _Family) -> None:
        if address == SHARED_ADDRESS:
            return
        if len(self._of_address) >= MAX_ADDRESSES // 2:
            self._older_addresses, self._of_address = self._of_address, {}
        self._of_address[address] = family

    def _roots(self) -> list[_Family]:
        roots = {id(family.root()): family.root() for family in self._families.values()}
        return [family for family in roots.values() if family.scans]

    # --- dividing -----------------------------------------------------------------------------------------------------

    def _divide(self, families: Sequence[_Family]) -> list[_Division]:
        prepared = []
        for family in families:
            family.scans = list(gather(family.scans))
            for scan in family.scans:
                scan.hardware = None if scan.hardware is None else self._hardware(scan.hardware)
            # Two phones at once under one address would show a counter that jumps, where each alone runs on.
            own = [scan for scan in family.scans if not (scan.is_global and spans_counters(scan))]
            habits = Habits(own or family.scans)
            mixed = [scan for scan in family.scans if is_mixed(scan, habits)]
            plain = [scan for scan in family.scans if not is_mixed(scan, habits)]
            is_shared = len(mixed) >= FEWEST_MIXED
            if not plain:
                plain, mixed = mixed, []
            prepared.append((chains(plain, habits), mixed, is_shared, habits))
        variance = restlessness([chain for units, *_ in prepared for chain in units])
        divisions = []
        for units, mixed, is_shared, habits in prepared:
            divisions.append(_Division(in_stretches(units, habits, variance), mixed, is_shared))
        return divisions

    def _number(self, division: _Division) -> None:
        """Give each device of the best grouping a number, and each mixed scan that of the nearest in time."""
        units = [Unit(list(scans)) for scans in division.path.units]
        for unit in sorted(units, key=lambda unit: unit.scans[0].first_us):
            unit.number = self._next_number
            self._next_number += 1
        for scan in division.mixed:
            scan.unit = min(units, key=lambda unit: _distance(unit, scan))
        for unit in units:
            unit.scans = []  # a scan that stays would keep all that were settled

    # --- the cap ------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Free half of the room: first what is silent, then the early scans of who is not, at last whole families."""
        families = sorted(self._roots(), key=_last_us)
        divisions = self._divide(families)
        sizes = family_sizes([division.curve() for division in divisions])
        self._kept = sum(len(family.scans) for family in families)
        silent_us = max(map(_last_us, families)) - SILENT_US
        for family, division, size in zip(families, divisions, sizes, strict=True):
            if self._is_roomy():
                break
            if _last_us(family) < silent_us:
                self._settle_family(family, division, size)
            else:
                self._settle_devices(family, division, silent_us)
        for family, division, size in zip(families, divisions, sizes, strict=True):
            if not self._is_roomy() and family.scans:
                self._settle_family(family, division, size)
        self._families = {key: family for key, family in self._families.items() if family.root().scans}

    def _is_roomy(self) -> bool:
        return self._kept <= MAX_SCANS // 2

    def _settle_family(self, family: _Family, division: _Division, size: Distribution) -> None:
        self._number(division)
        self._settled = total((self._settled, size))
        self._kept -= len(family.scans)
        family.scans = []

    def _settle_devices(self, family: _Family, division: _Division, silent_us: int) -> None:
        """Devices that are silent leave; of the others the last scans stay, and speak for the earlier ones."""
        self._number(division)
        kept: list[Scan] = []
        for scans in division.path.units:
            if scans[-1].last_us < silent_us:
                self._certain += 1
                continue
            kept += scans[-SCANS_OF_A_DEVICE:]
            for scan in scans[:-SCANS_OF_A_DEVICE]:
                scan.into = scans[-1]
        self._kept -= len(family.scans) - len(kept)
        family.scans = kept

    def scans_kept(self) -> int:
        """How many scans are in memory."""
        return sum(len(family.scans) for family in self._roots())

    def addresses_kept(self) -> int:
        """How many addresses are in memory beside those of scans."""
        return len(self._of_address) + len(self._older_addresses)


def _last_us(family: _Family) -> int:
    return max(scan.last_us for scan in family.scans)


def restlessness(chains_of_scans: Iterable[Sequence[Scan]]) -> float:
    """Variance (dB^2) of the strongest level from scan to scan under one address: small where phones lie still."""
    changes = sorted(
        abs(level - before.levels[channel])
        for chain in chains_of_scans
        for before, after in pairwise(chain)
        if after.first_us - before.last_us >= RESTLESS_GAP_US
        for channel, level in after.levels.items()
        if channel in before.levels
    )
    if len(changes) < LEVEL_PAIRS:
        return STILL_VARIANCE
    typical = 1.48 * changes[len(changes) // 2]
    return min(WALKING_VARIANCE, max(STILL_VARIANCE, typical * typical / 2.0))


def in_stretches(units: list[list[Scan]], habits: Habits, variance: float) -> Path:
    """Groupings of units in order of time. Too many to compare each with each are first joined among their neighbours in time."""
    if len(units) > CROWDED * MAX_UNITS:
        units = by_track(units)
    while len(units) > MAX_UNITS:
        joined = []
        for start in range(0, len(units), STRETCH_UNITS):
            stretch = Agglomeration(units[start : start + STRETCH_UNITS], habits, variance)
            stretch.join_down_to(max(1, len(stretch.units()) // 2))
            joined += stretch.units()
        units = joined
    return Agglomeration(units, habits, variance).path()


def by_track(units: Iterable[list[Scan]]) -> list[list[Scan]]:
    """Units joined as the tracker had joined them when they were heard: cheap, and good enough for a multitude."""
    of_track: dict[int, list[Scan]] = {}
    for unit in units:
        of_track.setdefault(unit[0].track, []).extend(unit)
    return [together(unit, ()) for unit in of_track.values()]


def _distance(unit: Unit, scan: Scan) -> tuple[bool, int]:
    has_address = any(not set(other.addresses).isdisjoint(scan.addresses) for other in unit.scans)
    return (not has_address, min(abs(other.first_us - scan.first_us) for other in unit.scans))
