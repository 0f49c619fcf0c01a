"""From a walk inside and a walk outside to the site's curve (core).

The curve is a logistic one over a burst's median level (``inside.py``); its two numbers are those that make the walk likeliest, under a
prior that keeps the slope from becoming a step where a short walk happens to be separated without overlap: by half an hour later, people
and doors have moved levels by some decibels. It is then made flatter by what phones differ in, because a single one walked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean

from agent.proximity.inside import ProximitySettings, p_inside

FEWEST_BURSTS = 8
"""Of each side; a phone that scans each half minute gives them in four minutes."""
FOLDS = 5
"""The walk is judged in fifths, each by the curve of the other four: one fit costs an access point seconds."""
THRESHOLDS_DBM = tuple(float(level) for level in range(-95, -34))
SLOPES_DB = tuple(1.5 * 1.15**step for step in range(17))
"""1.5 to 14 dB. Narrower no place is: a phone held in another hand moves a level by that much."""
USUAL_SLOPE_DB, SLOPE_SPREAD = 4.0, 0.5
"""Prior of the slope: log-normal. Places measured so far gave 2 to 8 dB."""
USUAL_THRESHOLD_DBM, THRESHOLD_SPREAD_DB = -65.0, 15.0
"""Prior of the threshold: so wide that eight bursts outvote it. Best thresholds of places ran from -52 to -79 dBm."""
PHONE_SPREAD_DB = 4.0
"""Standard deviation of how much louder one phone is than another. Fits of five transmitters in one place left 2.6 to 5.4 dB."""
SLOPE_MAX_DB = 20.0
STEP_DB = 0.1
"""The curve that ships is how a configuration says that nobody walked (``compose.proximity_settings``), so no walk gives it: its slope is a step wider."""
GOOD_SHARE, POOR_SHARE = 0.9, 0.75
COIN_SHARE, BACKWARDS_SHARE = 0.6, 0.4
"""Below the first a curve tells nothing, and a site with it is worse off than one that nobody walked; below the second inside was the softer side."""


class TooFewBursts(Exception):
    """The walk holds too little to fit a curve."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted curve and how well it told the walk apart. Levels in dBm, shares 0..1."""

    threshold_dbm: float
    slope_db: float
    inside: int
    outside: int
    right_share: float
    """Share of bursts on the right side of the threshold, inside and outside weighing the same; each judged by a curve that did not see it."""
    brier: float
    """Mean squared error of the probabilities, judged in the same way; 0.25 is a coin."""

    def is_usable(self) -> bool:
        """True where it tells inside from outside better than a coin does."""
        return self.right_share >= COIN_SHARE

    def verdict(self) -> str:
        """One sentence for the installer."""
        if self.right_share >= GOOD_SHARE:
            return "Inside and outside are told apart well."
        if self.right_share >= POOR_SHARE:
            return "Inside and outside overlap somewhat; figures of visitors will have wider intervals."
        if self.right_share < BACKWARDS_SHARE:
            return "Outside was heard louder than inside. Are the two walks exchanged? If not, the access point hangs in the street: move it, and walk again."
        return (
            "Inside and outside can hardly be told apart from here. Move the access point away from the shop window, "
            "or use a directed antenna, and walk again."
        )


def calibrate(inside_dbm: Sequence[int], outside_dbm: Sequence[int]) -> Calibration:
    """Fit the curve to burst medians (dBm) of a walk inside and one outside. Raises TooFewBursts."""
    for name, levels in (("inside", inside_dbm), ("outside", outside_dbm)):
        if len(levels) < FEWEST_BURSTS:
            raise TooFewBursts(
                f"{len(levels)} bursts with a level {name}; at least {FEWEST_BURSTS} are needed: walk longer, with the phone's Wi-Fi settings open"
            )
    walk = [(level, True) for level in inside_dbm] + [(level, False) for level in outside_dbm]
    threshold, own_slope = _fit(walk)
    judged = [pair for fold in range(FOLDS) for pair in _judge(walk, fold)]
    brier = sum((share - is_inside) ** 2 / _side(walk, is_inside) for share, is_inside in judged) / 2
    right = sum(((share >= 0.5) == is_inside) / _side(walk, is_inside) for share, is_inside in judged) / 2
    slope = for_any_phone(own_slope, fmean(inside_dbm) - fmean(outside_dbm))
    return Calibration(
        threshold,
        slope + STEP_DB if ProximitySettings(threshold, slope) == ProximitySettings() else slope,
        len(inside_dbm),
        len(outside_dbm),
        right,
        brier,
    )


def for_any_phone(own_slope_db: float, apart_db: float) -> float:
    """The slope for phones that did not walk: each is louder or softer than the average by its own amount, and so was the one that walked.

    Where levels inside and outside are spread by a variance v around means that lie ``apart_db`` apart, the slope is v / apart (two normal
    distributions of one variance: linear discriminant analysis). Both offsets add their variance to v, as random effects.
    """
    return round(min(SLOPE_MAX_DB, own_slope_db + 2.0 * PHONE_SPREAD_DB**2 / max(1.0, apart_db)), 1)


def _side(walk: Sequence[tuple[int, bool]], is_inside: bool) -> int:
    return sum(1 for _, inside in walk if inside is is_inside)


def _judge(walk: list[tuple[int, bool]], fold: int) -> list[tuple[float, bool]]:
    """(probability of being inside, truth) of a fifth of the bursts, by the curve of the others."""
    threshold, slope = _fit([burst for number, burst in enumerate(walk) if number % FOLDS != fold])
    curve = ProximitySettings(threshold, slope)
    return [(p_inside([level], curve) or 0.0, is_inside) for level, is_inside in walk[fold::FOLDS]]


def _fit(walk: Sequence[tuple[int, bool]]) -> tuple[float, float]:
    """Threshold (dBm) and slope (dB) of the greatest posterior on a grid of decibels. Sides weigh the same, however long each walk was."""
    counted: dict[tuple[int, bool], float] = {}
    for level, is_inside in walk:
        counted[level, is_inside] = counted.get((level, is_inside), 0.0) + len(walk) / 2 / _side(walk, is_inside)
    best = (-1e300, 0.0, 0.0)
    for slope in SLOPES_DB:
        prior = -((log(slope / USUAL_SLOPE_DB) / SLOPE_SPREAD) ** 2) / 2
        for threshold in THRESHOLDS_DBM:
            score = prior - ((threshold - USUAL_THRESHOLD_DBM) / THRESHOLD_SPREAD_DB) ** 2 / 2
            score += sum(
                weight * _log_chance((level - threshold) / slope * (1 if is_inside else -1))
                for (level, is_inside), weight in counted.items()
            )
            best = max(best, (score, threshold, slope))
    return best[1], round(best[2], 1)


def _log_chance(x: float) -> float:
    """log(1 / (1 + exp(-x))), without overflow."""
    return -log(1.0 + exp(-x)) if x > -30.0 else x
