"""From the levels of one burst to the probability that the phone was inside (core).

A logistic curve over the burst's median: at ``threshold_dbm`` inside and outside are equally likely; ``slope_db`` is how many
decibels change the odds by a factor e. The median, because fading throws single frames about by 10 dB and more.
Carried from one place to another a threshold is right 56 % of the time, so a site that was never calibrated gets a flat
curve (a wide slope), and one that was gets its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp


@dataclass(frozen=True, slots=True)
class ProximitySettings:
    """The site's curve, and how sure a track must be before it changes its zone."""

    threshold_dbm: float = -67.0
    """Level at which inside and outside are equally likely, -100..-20."""
    slope_db: float = 6.0
    """Decibels that change the odds by e, 0.5..20; small where calibrated."""
    enter_above: float = 0.6
    """A track becomes 'inside' above this probability, 0.5..1."""
    leave_below: float = 0.4
    """A track becomes 'outside' below this probability, 0..0.5."""
    is_calibrated: bool = False
    """Threshold and slope were fitted here: what else is known of a track may sharpen what they say (``placing.py``)."""


def p_inside(rssi_dbm: Sequence[int], settings: ProximitySettings) -> float | None:
    """Probability 0..1 that the phone behind these levels (dBm, one a frame) was inside; None without a level."""
    return logistic(odds_inside(rssi_dbm, settings)) if rssi_dbm else None


def odds_inside(rssi_dbm: Sequence[int], settings: ProximitySettings) -> float:
    """Log odds of having been inside, by the levels alone (dBm, at least one): 0 at the threshold, 1 a slope above it."""
    levels = sorted(rssi_dbm)
    middle = len(levels) // 2
    median = levels[middle] if len(levels) % 2 else (levels[middle - 1] + levels[middle]) / 2
    return (median - settings.threshold_dbm) / settings.slope_db


def logistic(odds: float) -> float:
    """Log odds as a probability."""
    return 1.0 / (1.0 + exp(min(-odds, 60.0)))
