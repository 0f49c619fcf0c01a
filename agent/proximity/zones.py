"""In which zone a track is, with hysteresis, so that a phone at the door does not flicker (core)."""

from __future__ import annotations

from enum import Enum

from agent.proximity.inside import ProximitySettings


class Zone(Enum):
    """Where a device is held to be."""

    INSIDE = "inside"
    OUTSIDE = "outside"


class ZoneState:
    """The zone of one track over its bursts. ``odds`` are the log odds of its last one; None before there was any."""

    __slots__ = ("_settings", "odds", "zone")

    def __init__(self, settings: ProximitySettings) -> None:
        self._settings = settings
        self.zone = Zone.OUTSIDE
        self.odds: float | None = None

    def update(self, p_inside: float) -> Zone:
        """Take in one burst's probability of being inside (0..1); gives the zone that now holds."""
        if p_inside > self._settings.enter_above:
            self.zone = Zone.INSIDE
        elif p_inside < self._settings.leave_below:
            self.zone = Zone.OUTSIDE
        return self.zone
