"""The installer's walk: one phone with its Wi-Fi settings open, inside or outside, for `ivizone-agent calibrate`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from random import Random

from simulator.air import Phone, scan
from simulator.day import DaySettings
from simulator.phones import MODELS
from simulator.places import LAYOUTS, Position

SCAN_EVERY_S = (8.0, 14.0)
"""A phone whose Wi-Fi settings are open scans this often."""
WALK_M = 20.0
"""Outside, the installer goes this far to both sides of the door."""


def walk(settings: DaySettings, where: str, minutes: float) -> list[tuple[int, bytes]]:
    """Frames (time in µs, captured bytes) of a walk ``where`` is "inside" or "outside", one hour before the store opens."""
    layout = LAYOUTS[settings.layout]
    random = Random(f"{settings.seed}/walk/{where}")
    phone = Phone(random.choice(MODELS), random, random.gauss(0.0, 3.0))
    begins_s = datetime.combine(date.fromisoformat(settings.date), datetime.min.time(), UTC).timestamp()
    begins_s += (settings.opens_h - 1) * 3600 - settings.utc_offset_min * 60
    frames: list[tuple[int, bytes]] = []
    at_s = begins_s
    while at_s < begins_s + minutes * 60:
        place = Position(layout, random)  # an installer goes everywhere; a customer stands about
        level = place.inside_dbm() if where == "inside" else place.outside_dbm(random.uniform(-WALK_M, WALK_M) / 1.2)
        scan(phone, at_s, level, frames)
        at_s += random.uniform(*SCAN_EVERY_S)
    return frames
