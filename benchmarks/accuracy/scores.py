"""Scores of a grouping against the truth: count error, homogeneity, completeness, V-measure, coverage of an interval.

Homogeneity falls when one group holds several devices, completeness when one device is spread over several groups; the
V-measure is their harmonic mean. A right count with a low V is two errors that cancel.
Source: Rosenberg & Hirschberg, "V-Measure", EMNLP-CoNLL 2007.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import log
from statistics import fmean

Pair = tuple[Hashable, Hashable]
"""The true device and the group it was put into, of one frame or of one address."""


@dataclass(frozen=True)
class Agreement:
    """How well groups agree with devices, each 0..1."""

    homogeneity: float
    completeness: float

    @property
    def v_measure(self) -> float:
        """Harmonic mean of both."""
        total = self.homogeneity + self.completeness
        return 2.0 * self.homogeneity * self.completeness / total if total else 0.0


def agreement(pairs: Iterable[Pair]) -> Agreement:
    """Homogeneity and completeness of (device, group) pairs."""
    both = Counter(pairs)
    devices: Counter[Hashable] = Counter()
    groups: Counter[Hashable] = Counter()
    for (device, group), count in both.items():
        devices[device] += count
        groups[group] += count
    total = sum(both.values())
    of_devices, of_groups = _entropy(devices, total), _entropy(groups, total)
    joint = _entropy(both, total)
    return Agreement(
        1.0 - (joint - of_groups) / of_devices if of_devices else 1.0,
        1.0 - (joint - of_devices) / of_groups if of_groups else 1.0,
    )


def _entropy(counts: Counter[Hashable], total: int) -> float:
    return -sum(count / total * log(count / total) for count in counts.values())


@dataclass(frozen=True)
class Score:
    """One way of counting on one crowd. ``low`` and ``high`` are None where the way states no interval."""

    devices: int
    counted: float
    low: float | None
    high: float | None
    per_frame: Agreement
    per_address: Agreement

    @property
    def error(self) -> float:
        """Signed relative error of the count."""
        return self.counted / self.devices - 1.0

    @property
    def is_covered(self) -> bool:
        """True where the interval holds the truth."""
        return self.low is not None and self.high is not None and self.low <= self.devices <= self.high


@dataclass(frozen=True)
class Summary:
    """Scores of one way over many crowds of one kind."""

    crowds: int
    absolute_error: float
    bias: float
    v_frames: float
    v_addresses: float
    homogeneity: float
    completeness: float
    coverage: float
    width: float
    """Mean width of the interval, as a share of the truth."""


def summary(scores: Sequence[Score]) -> Summary:
    """Means over ``scores``; homogeneity and completeness are those per address."""
    return Summary(
        len(scores),
        fmean(abs(s.error) for s in scores),
        fmean(s.error for s in scores),
        fmean(s.per_frame.v_measure for s in scores),
        fmean(s.per_address.v_measure for s in scores),
        fmean(s.per_address.homogeneity for s in scores),
        fmean(s.per_address.completeness for s in scores),
        fmean(s.is_covered for s in scores),
        fmean(((s.high or 0.0) - (s.low or 0.0)) / s.devices for s in scores),
    )
