"""Rounds: A B C, A B C, ... so that whatever else the machine does meets all of them alike (pure but for what it calls)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median


def alternate(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each measure once a round, in the order given; name -> what it gave in each round."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def ratio(over: list[float], under: list[float]) -> float:
    """The median of the rounds' own ratios: both halves of each met the same machine."""
    return median(a / b for a, b in zip(over, under, strict=True))


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile; ``values`` may not be empty."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(percent) // 100) - 1)]
