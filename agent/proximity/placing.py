"""From the bursts of one track, one after the other, to the probability that each was inside (core).

A level alone knows two things too few. It does not know that a phone that was inside a minute ago mostly still is; and it takes inside and
outside for equally likely, though a phone that is heard again and again is far more often a customer's than a passer-by's, the more so the
busier the store. So 0.75, said by the level alone, was right 96 times of 100 on simulated streets (docs/proximity.md). Here the odds of a
burst are those of its level, times what remains of the odds of the track's last burst, times the share of bursts inside among the bursts
of phones that were heard before, which the store's own air teaches. A track's first burst is placed by its level alone.

Only where the curve was fitted to the site: where it was not, all this would but make a guess bolder.

Source of the share: Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural
Computation 14(1), 2002, 2.2, as a running mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from agent.proximity.inside import ProximitySettings, logistic, odds_inside
from agent.proximity.zones import ZoneState

REMEMBERED = 0.7
"""Share of a track's last log odds that holds for its next burst. Fitted on simulated streets, each kind of store left out in turn."""
SUREST = 1.8
"""Log odds beyond which a track's past is not believed: e ** 1.8 is six to one. A phone must be able to leave."""
SHARE_BEFORE, BURSTS_BEFORE = 0.75, 50.0
"""Share of bursts inside that is held before anything was heard, and the bursts that it is worth."""
BURSTS_KEPT = 1000.0
"""When so many were heard, half are forgotten: the share of the morning is not that of the evening."""
SHARE_LOW, SHARE_HIGH = 0.1, 0.9
CUSTOMER_US = 3_600_000_000
"""Tracks that last for longer are residents more often than not, and teach nothing of customers."""


class Placer:
    """Places the bursts of all tracks of one air. No state in it is of any one device."""

    def __init__(self, settings: ProximitySettings) -> None:
        self._settings = settings
        self._inside = SHARE_BEFORE * BURSTS_BEFORE
        self._heard = BURSTS_BEFORE
        self._usual = log_odds(SHARE_BEFORE)

    def place(self, rssi_dbm: Sequence[int], state: ZoneState, age_us: int) -> float:
        """Probability 0..1 that the phone behind these levels (dBm, at least one) was inside; ``state`` is its track's, which takes it in.
        ``age_us`` is how long the track has been heard."""
        odds = odds_inside(rssi_dbm, self._settings)
        if not self._settings.is_calibrated:
            share = logistic(odds)
        else:
            past = state.odds
            if past is not None:
                odds += self._usual + REMEMBERED * (SUREST if past > SUREST else -SUREST if past < -SUREST else past)
            share = logistic(odds)
            if past is not None and age_us <= CUSTOMER_US:
                self._learn(share)
            state.odds = odds
        state.update(share)
        return share

    def _learn(self, share: float) -> None:
        self._inside += share
        self._heard += 1.0
        if self._heard > BURSTS_KEPT:
            self._inside /= 2.0
            self._heard /= 2.0
        self._usual = log_odds(max(SHARE_LOW, min(SHARE_HIGH, self._inside / self._heard)))


def log_odds(share: float) -> float:
    """log(p / (1 - p)) of a share strictly between 0 and 1."""
    return log(share / (1.0 - share))
