"""90 % intervals of published figures (core). What goes in and what does not: docs/adr/0008-intervals.md.

Three things make a count uncertain, and each widens its interval by what is known of it; a median dwell has the sample, and `DWELL_ERROR`:

* the access point's own estimate: how many devices were behind the addresses (low and high of its windows, as shares);
* the class: a visit is a visitor's with some probability, so a count of visitors has the variance sum p (1 - p);
* what was not heard: with a coverage of 0.8, up to a quarter more may have been there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt

HELD_PERCENT = 90
"""How often an interval shall hold the truth."""
Z90 = 1.6449
"""Quantile of the normal distribution for that: 5 % lie above."""

DWELL_ERROR = 0.03
"""Relative standard deviation of a median dwell that its sample does not know of: visits cut in two, or two taken for one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 90 % interval; ``low`` <= ``value`` <= ``high``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DeviceError:
    """How far the access points' estimates reach around their value, as shares of it: 0.9 and 1.2 are -10 % and +20 %."""

    low: float = 1.0
    high: float = 1.0


def device_error(devices: float, low: float, high: float) -> DeviceError:
    """The shares from sums of estimates. Nothing estimated is nothing known: no widening can be derived from it."""
    return DeviceError(min(1.0, low / devices), max(1.0, high / devices)) if devices > 0 else DeviceError()


def count_interval(
    value: float, variance: float, error: DeviceError, coverage: float | None, *, expected: float | None = None
) -> Interval:
    """The interval of a count. ``variance`` is sum p (1 - p) over what was counted, ``expected`` the sum of p where it is known:
    a rule with thresholds and a sum of probabilities are two readings of one day, and the interval holds both."""
    spread = Z90 * sqrt(max(0.0, variance))
    lowest, highest = min(value, expected if expected is not None else value), max(value, expected or 0.0)
    low = min(value, max(0.0, lowest - spread) * error.low)
    high = max(value, (highest + spread) * error.high)
    return Interval(value, low, high / _heard(coverage))


def share_interval(
    part: float, whole: float, variance: float, error: DeviceError, *, expected: float
) -> Interval | None:
    """The interval of ``part`` / ``whole``: Wilson's for a sample of ``whole``, widened by the classes' variance, held around both
    readings of the part, and by the devices' error: a device taken for two adds to the whole and seldom to the part. None for 0 / 0.

    Source: E. B. Wilson, 1927; Brown, Cai, DasGupta, "Interval Estimation for a Binomial Proportion", 2001.
    """
    if whole <= 0:
        return None
    low = _wilson(min(part, expected) / whole, whole, variance)[0] / error.high
    high = _wilson(min(whole, max(part, expected)) / whole, whole, variance)[1] / error.low if error.low > 0 else 1.0
    share = part / whole
    return Interval(share, max(0.0, min(share, low)), min(1.0, max(share, high)))


def dwell_interval(median: float, low: float, high: float) -> Interval:
    """The interval of a median dwell, in the unit of its arguments: ``low`` and ``high`` are the sample's, two ranks of the same visits."""
    spread = Z90 * DWELL_ERROR * median
    return Interval(median, max(0.0, median - hypot(median - low, spread)), median + hypot(high - median, spread))


def _wilson(share: float, whole: float, variance: float) -> tuple[float, float]:
    squared = Z90 * Z90
    middle = (share + squared / (2 * whole)) / (1 + squared / whole)
    sampling = share * (1 - share) / whole + squared / (4 * whole * whole)
    half = Z90 / (1 + squared / whole) * sqrt(sampling + variance / (whole * whole))
    return middle - half, middle + half


def _heard(coverage: float | None) -> float:
    """The share heard that divides a high end. Unknown coverage cannot widen; below a tenth no number would mean anything."""
    return 1.0 if coverage is None else min(1.0, max(0.1, coverage))
