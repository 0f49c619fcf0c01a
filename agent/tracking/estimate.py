"""A number of devices with its interval (core)."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

Z90 = 1.645
"""Half-width of a 90 % interval in standard deviations."""


@dataclass(frozen=True, slots=True)
class DeviceEstimate:
    """How many devices, with a 90 % interval, and how sure the joins were (0..1)."""

    devices: float
    low: float
    high: float
    confidence: float

    def plus(self, other: DeviceEstimate) -> DeviceEstimate:
        """Both together, where no device can be in both: errors are independent, so their squares add."""
        devices = self.devices + other.devices
        below = hypot(self.devices - self.low, other.devices - other.low)
        above = hypot(self.high - self.devices, other.high - other.devices)
        share = (self.confidence * self.devices + other.confidence * other.devices) / devices if devices else 1.0
        return DeviceEstimate(devices, devices - below, devices + above, share)
