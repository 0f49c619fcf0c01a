"""How often the interval of a store's factor from devices to people holds the truth, on simulated sets of hand counts.

    python -m benchmarks.people

Each set is so many half-hours of about 60 people. Each carries a phone that is heard with some chance, which differs from one half-hour to the
next, and for every hundred people five devices more are heard that are nobody's. Sets too small for any factor are refused and counted beside.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import product
from random import Random
from statistics import fmean

from cloud.domain.people import CountsError, Factor, fit_factor

SETS = 1500
COUNTS = (1, 3, 6, 12)
CARRIED = (0.45, 0.8)
"""Shares of people with a phone that is heard."""
STRAY = 0.05
"""Devices that are nobody's, for each person."""


@dataclass(frozen=True, slots=True)
class Held:
    """Of the sets that gave a factor: how often it held, and how far it reached to the upper side, as a share of the factor."""

    share: float
    reach: float
    refused: int


def held(counts: int, carried: float, sets: int = SETS) -> Held:
    """Simulate ``sets`` of so many ``counts``."""
    random = Random(f"{counts}/{carried}")
    truth = 1 / (carried + STRAY)
    factors = [factor for _ in range(sets) if (factor := _factor(random, counts, carried)) is not None]
    is_held = [factor.low <= truth <= factor.high for factor in factors]
    reach = fmean(factor.high / factor.value - 1 for factor in factors)
    return Held(fmean(is_held), reach, sets - len(factors))


def _factor(random: Random, counts: int, carried: float) -> Factor | None:
    pairs = []
    for _ in range(counts):
        people = round(max(8.0, random.gauss(60, 20)))
        share = min(1.0, max(0.0, random.gauss(carried, 0.06)))
        devices = sum(random.random() < share for _ in range(people)) + sum(
            random.random() < STRAY for _ in range(people)
        )
        pairs.append((people, float(devices)))
    try:
        return fit_factor(pairs)
    except CountsError:
        return None


def main() -> int:
    """Print a row for each case; gives the exit code."""
    print(f"{'carried':>8} {'counts':>7} {'held':>7} {'reach':>7} {'refused':>8} of {SETS}")
    for carried, counts in product(CARRIED, COUNTS):
        found = held(counts, carried)
        print(f"{carried:8.0%} {counts:7} {found.share:7.1%} {found.reach:7.1%} {found.refused:8}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
