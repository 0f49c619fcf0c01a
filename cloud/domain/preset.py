"""A preset: one vendor's definition of visit, visitor and engaged (core; the YAML files are read once).

The same day can be read under each of them, so a figure here can be compared with a figure there. Source: docs/presets.md.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path

import yaml

OWN = "ivizone"
FOLDER = Path(__file__).parent / "presets"
RESIDENT_MIN_S = 8 * 3600
RESIDENT_CLOSED_HOURS = 2


KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "label": ((str,), "text"),
    "source": ((str,), "text"),
    "p_inside_min": ((int, float), "a number"),
    "fills_edges": ((bool,), "true or false"),
}
"""Option -> types a file may give, in words; all others are whole numbers."""


class PresetError(ValueError):
    """No such preset, or its file is wrong."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One definition. Levels in dBm, times in seconds."""

    preset: str
    label: str
    source: str
    visit_gap_s: int
    visitor_min_s: int
    engaged_min_s: int
    p_inside_min: float = 0.5
    """Inside where the probability reaches this, unless ``rssi_min_dbm`` is given."""
    rssi_min_dbm: int | None = None
    """Inside where the median level reaches this."""
    heard_min_dbm: int | None = None
    """What is weaker counts for nothing."""
    resident_min_s: int = RESIDENT_MIN_S
    resident_closed_hours: int = RESIDENT_CLOSED_HOURS
    fills_edges: bool = False
    """Stays are counted from before the first sighting to after the last, as long as phones pause between scans."""

    def row(self) -> dict[str, object]:
        """What the shared SQL reads of it."""
        return {
            "preset": self.preset,
            "heard_min_dbm": self.heard_min_dbm,
            "rssi_min_dbm": self.rssi_min_dbm,
            "p_inside_min": self.p_inside_min,
            "visit_gap_ms": self.visit_gap_s * 1000,
            "visitor_min_ms": self.visitor_min_s * 1000,
            "engaged_min_ms": self.engaged_min_s * 1000,
            "resident_min_ms": self.resident_min_s * 1000,
            "resident_closed_hours": self.resident_closed_hours,
            "fills_edges": int(self.fills_edges),
        }


@cache
def presets() -> dict[str, Preset]:
    """All presets by name, our own first. Raises PresetError where a file is wrong."""
    found = {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yaml"))}
    return {OWN: found[OWN], **found}


def preset(name: str) -> Preset:
    """The preset of that name. Raises PresetError."""
    if name not in presets():
        raise PresetError(f"preset {name!r} is unknown; use one of {', '.join(presets())}")
    return presets()[name]


def _read(path: Path) -> Preset:
    values = yaml.safe_load(path.read_text())
    options = {field.name: field for field in fields(Preset) if field.name != "preset"}
    if not isinstance(values, dict):
        raise PresetError(f"{path.name}: holds no options; it needs {', '.join(sorted(options))}")
    unknown = sorted(set(values) - set(options))
    if unknown:
        raise PresetError(f"{path.name}: {', '.join(unknown)} unknown; allowed: {', '.join(sorted(options))}")
    missing = sorted(name for name, option in options.items() if option.default is MISSING and name not in values)
    if missing:
        raise PresetError(f"{path.name}: {', '.join(missing)} missing")
    for name, value in values.items():
        kinds, wanted = KINDS.get(name, ((int,), "a number"))
        if type(value) not in kinds:
            raise PresetError(f"{path.name}: {name} is {value!r}; use {wanted}")
    return Preset(preset=path.stem, **values)
