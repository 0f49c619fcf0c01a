"""The count's two fitted constants on crowds of some of the phones: fitted here, judged on the others.

Nothing of a phone in a judged crowd was used to fit. The sessions of all phones are read once by each process.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from statistics import fmean

from agent.tracking.counting import EVIDENCE_WEIGHT, HIDDEN_BONUS, count, family_sizes, total
from agent.tracking.estimate import DeviceEstimate
from agent.tracking.resolver import Resolver
from benchmarks.accuracy.crowds import KINDS, Crowd, Session, load_sessions
from benchmarks.accuracy.ways import bursts_of

TARGETS = {"different": 0.08, "twins": 0.05, "identical": 0.08, "walk-in": 0.08}
WEIGHTS = (0.1, 0.15, 0.2, 0.25, 0.4, 0.7)
BONUSES = (0.0, 0.15, 0.3, 0.45, 0.6, 0.9)
NO_CAPTURES = "{}: holds no captures <model>/<start>-<mode>-ch<channel>.pcap"
CROSSED_KINDS = ("different", "twins", "identical")
Kind = tuple[str, int]
"""Kind of crowd, and how many radios heard it."""
Case = tuple[Kind, int, list[dict[int, float]]]
"""What kind of crowd, true number of devices, and the resolver's curves."""
Judged = Mapping[Kind, tuple[float, float]]
"""Kind of crowd -> mean absolute count error and coverage."""
SESSIONS: list[Session] = []
"""Of this process: each reads them once."""


def load(phones: Path) -> None:
    """Read the sessions of a folder, once for each process."""
    SESSIONS[:] = load_sessions(phones)


def phones_loaded() -> list[str]:
    """Names of the phones that were read, sorted."""
    return sorted({session.phone for session in SESSIONS})


def _of(phones: Collection[str]) -> list[Session]:
    return [session for session in SESSIONS if session.phone in phones]


def crossed(phones: Sequence[str], crowds: int, pool: Executor) -> list[tuple[str, float, float, Judged]]:
    """Fit on one half, judge on the other: (what was fitted on, weight, bonus, errors by kind)."""
    print("crossed by phone", file=sys.stderr)
    cases = [cases_of(half, crowds, pool) for half in (phones[::2], phones[1::2])]
    rows = []
    for fitted, judged, name in ((0, 1, "first half"), (1, 0, "second half")):
        weight, bonus = min(product(WEIGHTS, BONUSES), key=lambda pair: loss_of(errors_of(cases[fitted], *pair)))
        rows.append(
            (f"fitted on the {name}, judged on the other", weight, bonus, errors_of(cases[judged], weight, bonus))
        )
    for judged, name in ((0, "first half"), (1, "second half")):
        errors = errors_of(cases[judged], EVIDENCE_WEIGHT, HIDDEN_BONUS)
        rows.append((f"as shipped, judged on the {name}", EVIDENCE_WEIGHT, HIDDEN_BONUS, errors))
    return rows


def cases_of(phones: Sequence[str], crowds: int, pool: Executor) -> list[Case]:
    """Crowds of some of the phones, each with its truth and what the resolver says of it."""
    wanted = list(product(CROSSED_KINDS, (1, 3), range(10_000, 10_000 + crowds)))
    return list(pool.map(partial(_case, phones), wanted))


def _case(phones: Sequence[str], wanted: tuple[str, int, int]) -> Case:
    kind, radios, seed = wanted
    crowd = KINDS[kind](_of(phones), Random(seed), radios)
    return (kind, radios), crowd.devices, _curves(crowd)


def _curves(crowd: Crowd) -> list[dict[int, float]]:
    resolver = Resolver()
    bursts_of(crowd, resolver.take)
    resolver.resolve()
    return resolver.curves


def _estimate(curves: list[dict[int, float]], weight: float, bonus: float) -> DeviceEstimate:
    return count(total(family_sizes(curves, weight, bonus)))


def errors_of(cases: Sequence[Case], weight: float, bonus: float) -> Judged:
    """Mean absolute count error and coverage, by kind of crowd and number of radios."""
    found: dict[Kind, list[tuple[float, bool]]] = {}
    for kind, truth, curves in cases:
        estimate = _estimate(curves, weight, bonus)
        is_covered = estimate.low <= truth <= estimate.high
        found.setdefault(kind, []).append((abs(estimate.devices / truth - 1.0), is_covered))
    return {kind: (fmean(e for e, _ in errors), fmean(c for _, c in errors)) for kind, errors in found.items()}


def loss_of(errors: Judged) -> float:
    """Sum of the errors, each as a multiple of what it may be."""
    return sum(error / TARGETS[kind] for (kind, _), (error, _) in errors.items())
