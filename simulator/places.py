"""Places: how a store and its street lie around the access point, and how loud a phone is where it stands.

Log-distance loss after measurements of phones' probe requests (exponent 1.75 to 1.9 in the open), a wall to the street, and furniture that
takes its share with depth. Each phone stands and walks about; shadowing comes from ``air.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, log10
from random import Random

LEVEL_AT_1M_DBM = -40.0
DECIBELS_A_DECADE = 18.0
WALKING_M_S = 1.2
STEP_M = 1.5
"""How far a customer has moved between two scans, standard deviation."""
FURNISHED_FROM_M = 8.0


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of store. Distances in metres from the access point."""

    wall_db: float
    """Loss between the street and the access point."""
    heard_m: float
    """A passer-by is in range this far to both sides of the door."""
    streets_m: tuple[tuple[float, float], ...]
    """Nearest and farthest path of each street or corridor."""
    inside_m: tuple[float, float]
    """Nearest and deepest place of a customer."""
    enters_m: tuple[float, float]
    """Where customers stand at first."""
    depth_db_per_m: float = 0.0
    """Loss of shelves and inner walls beyond FURNISHED_FROM_M."""


LAYOUTS: dict[str, Layout] = {
    "street": Layout(11.0, 45.0, ((6.0, 11.0),), (1.5, 14.0), (2.0, 12.0)),
    "mall": Layout(4.0, 32.0, ((9.0, 16.0),), (1.5, 9.0), (2.0, 7.0)),
    "corner": Layout(9.0, 50.0, ((7.0, 11.0), (12.0, 20.0)), (1.5, 20.0), (3.0, 14.0), 0.5),
}
"""``street``: a boutique behind its window. ``mall``: an open front on a corridor. ``corner``: a deep store between two streets."""


class Position:
    """Where one person stands. ``door_s`` are the times (epoch s) at which they pass the door."""

    def __init__(self, layout: Layout, random: Random) -> None:
        self._layout = layout
        self._random = random
        street = layout.streets_m[0] if len(layout.streets_m) == 1 else random.choice(layout.streets_m)
        self._street_m = random.uniform(*street)
        self._inside_m = random.uniform(*layout.enters_m)

    def inside_dbm(self) -> float:
        """A level inside; the person has moved a little since the last one."""
        nearest, deepest = self._layout.inside_m
        self._inside_m = min(deepest, max(nearest, self._inside_m + self._random.gauss(0.0, STEP_M)))
        depth_m = max(0.0, self._inside_m - FURNISHED_FROM_M)
        return level_dbm(self._inside_m) - self._layout.depth_db_per_m * depth_m

    def outside_dbm(self, from_door_s: float) -> float:
        """The level in the street, so many seconds' walk from the door."""
        return level_dbm(hypot(self._street_m, WALKING_M_S * from_door_s)) - self._layout.wall_db


def level_dbm(distance_m: float) -> float:
    """Mean level of an average phone at a distance, nothing between."""
    return LEVEL_AT_1M_DBM - DECIBELS_A_DECADE * log10(max(1.0, distance_m))
