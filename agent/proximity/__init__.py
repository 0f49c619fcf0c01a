"""RSSI -> probability of being inside (core). Metres are not recoverable from a level, so none are given."""

from __future__ import annotations

from agent.proximity.inside import ProximitySettings, p_inside
from agent.proximity.placing import Placer
from agent.proximity.zones import Zone, ZoneState

__all__ = ["Placer", "ProximitySettings", "Zone", "ZoneState", "p_inside"]
