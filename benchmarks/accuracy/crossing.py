"""The constants of the count on crowds of some of the phones: fitted here, judged on the others.

Nothing of a phone in a judged crowd was used to fit. The sessions of all phones are read once by each process.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from statistics import fmean

from agent.tracking import grouping, likelihood, resolver
from agent.tracking.counting import EVIDENCE_WEIGHT, HIDDEN_BONUS, count, family_sizes, total
from agent.tracking.estimate import DeviceEstimate
from agent.tracking.resolver import Resolver
from benchmarks.accuracy.crowds import KINDS, Crowd, Session, load_sessions
from benchmarks.accuracy.ways import bursts_of

TARGETS = {"different": 0.08, "twins": 0.05, "identical": 0.08, "walk-in": 0.08}
WEIGHTS = (0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4)
BONUSES = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
Pair = tuple[float, float]
"""Evidence weight and hidden bonus."""
SHIPPED_PAIR = (EVIDENCE_WEIGHT, HIDDEN_BONUS)
Constants = Mapping[str, float]
"""Name in agent.tracking.likelihood -> value."""
SHIPPED: Constants = {
    name: getattr(likelihood, name)
    for name in (
        "DEVICE_COST",
        "STILL_VARIANCE",
        "MEMORY_SCANS",
        "WEAKER_COST",
        "STRONGER_COST",
        "MOVED_COST",
        "KIND_COST",
        "RETURN_COST",
        "OVERLAP_COST",
    )
}
"""Those that were chosen and not derived; each is tried at half and at twice its value."""
FACTORS = (0.5, 2.0)
FEWEST_PHONES = 4
"""A subset of fewer makes no crowd worth the name."""
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


@dataclass(frozen=True, slots=True)
class Crossed:
    """One row of the cross-validation."""

    name: str
    pair: Pair
    constants: Constants
    errors: Judged


def subsets(phones: Sequence[str]) -> dict[str, Sequence[str]]:
    """All phones; halves; two thirds."""
    middle = (len(phones) + 1) // 2
    thirds = [phones[start::3] for start in range(3)]
    return {
        "all": phones,
        "every other": phones[::2],
        "the others": phones[1::2],
        "first half": phones[:middle],
        "without a third": [*thirds[0], *thirds[1]],
        "without another": [*thirds[1], *thirds[2]],
        "without the last": [*thirds[0], *thirds[2]],
    }


def crossed(phones: Sequence[str], crowds: int, pool: Executor) -> list[Crossed]:
    """Fit on one half, judge on the other: the pair alone, then the likelihood's constants too; last, what is shipped on either."""
    print("crossed by phone", file=sys.stderr)
    halves = {"first half": phones[::2], "second half": phones[1::2]}
    rows = []
    for (name, half), other in zip(halves.items(), reversed(halves.values()), strict=True):
        for constants in (SHIPPED, _best_constants(half, crowds, pool)):
            what = "fitted" if constants is SHIPPED else "all fitted"
            pair = by_regret(on_subsets(half, crowds, pool, constants))[0][1]
            errors = errors_of(cases_of(other, crowds, pool, constants), *pair)
            rows.append(Crossed(f"{what} on the {name}, judged on the other", pair, constants, errors))
    for name, half in halves.items():
        errors = errors_of(cases_of(half, crowds, pool), *SHIPPED_PAIR)
        rows.append(Crossed(f"as shipped, judged on the {name}", SHIPPED_PAIR, SHIPPED, errors))
    return rows


def _best_constants(phones: Sequence[str], crowds: int, pool: Executor) -> Constants:
    """One constant after the other at half, once or twice its value, whichever loses least with those before it."""
    best = dict(SHIPPED)
    lowest = loss_of(errors_of(cases_of(phones, crowds, pool, best), *SHIPPED_PAIR))
    for name, factor in product(SHIPPED, FACTORS):
        tried = {**best, name: SHIPPED[name] * factor}
        loss = loss_of(errors_of(cases_of(phones, crowds, pool, tried), *SHIPPED_PAIR))
        if loss < lowest:
            best, lowest = tried, loss
    return best


OnSubsets = Mapping[str, Mapping[Pair, Judged]]
"""Subset of the phones -> pair -> its errors there."""


def on_subsets(phones: Sequence[str], crowds: int, pool: Executor, constants: Constants = SHIPPED) -> OnSubsets:
    """What every pair does on each subset of ``phones`` that is large enough."""
    found = {}
    for name, some in subsets(phones).items():
        if len(some) >= FEWEST_PHONES:
            cases = cases_of(some, crowds, pool, constants)
            found[name] = {pair: errors_of(cases, *pair) for pair in product(WEIGHTS, BONUSES)}
    return found


def by_regret(judged: OnSubsets) -> list[tuple[float, Pair]]:
    """Each pair's loss as a multiple of the best that any reaches, mean over the subsets, least first: the best of one subset is chance."""
    losses = [{pair: loss_of(errors) for pair, errors in of_pair.items()} for of_pair in judged.values()]
    lowest = [min(of_pair.values()) for of_pair in losses]
    return sorted(
        (fmean(of_pair[pair] / low for of_pair, low in zip(losses, lowest, strict=True)), pair) for pair in losses[0]
    )


def cases_of(phones: Sequence[str], crowds: int, pool: Executor, constants: Constants = SHIPPED) -> list[Case]:
    """Crowds of some of the phones, each with its truth and what the resolver says of it."""
    wanted = list(product(CROSSED_KINDS, (1, 3), range(10_000, 10_000 + crowds)))
    return list(pool.map(partial(_case, phones, constants), wanted))


def _case(phones: Sequence[str], constants: Constants, wanted: tuple[str, int, int]) -> Case:
    kind, radios, seed = wanted
    for module, (name, value) in product((likelihood, grouping, resolver), constants.items()):
        if hasattr(module, name):
            setattr(module, name, value)  # of this process, which tries nothing else meanwhile
    crowd = KINDS[kind](_of(phones), Random(seed), radios)
    return (kind, radios), crowd.devices, _curves(crowd)


def _curves(crowd: Crowd) -> list[dict[int, float]]:
    found = Resolver()
    bursts_of(crowd, found.take)
    found.resolve()
    return found.curves


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
