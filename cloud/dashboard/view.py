"""Figures -> what a merchant reads (core): rounding, words, suppression of small cells. Nothing here asks the database.

Cells that rest on fewer than ``K`` devices are shown as "< 5" (DESIGN section 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from math import ceil, floor
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

K = 5
NONE = "–"
METRICS_FILE = Path(__file__).parents[1] / "domain" / "metrics.yaml"
TILES = ("visitors", "passers_by", "capture_rate", "dwell_median_s")
SMALL_TILES = ("engaged", "bounced", "residents")
Row = Mapping[str, Any]


@cache
def metrics() -> dict[str, dict[str, str]]:
    """Metric -> title, unit, meaning, computed."""
    loaded: dict[str, dict[str, str]] = yaml.safe_load(METRICS_FILE.read_text())
    return loaded


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure as it is read."""

    metric: str
    title: str
    value: str
    interval: str
    """"likely 121 to 149", empty where there is none."""
    coverage: str
    meaning: str
    computed: str
    note: str = ""


def tiles(figures: Mapping[str, Row], names: Iterable[str]) -> list[Tile]:
    """The day's figures, in the order of ``names``."""
    return [tile(name, figures.get(name)) for name in names]


def tile(metric: str, figure: Row | None, note: str = "") -> Tile:
    """One figure; without a row it is a dash."""
    about = metrics()[metric]
    value, interval = NONE, ""
    if figure is not None and figure["value"] is not None:
        if is_small(figure):
            value = f"< {K}" if about["unit"] == "devices" else NONE
            note = note or ("" if about["unit"] == "devices" else f"fewer than {K} devices")
        else:
            value = show(about["unit"], figure["value"])
            interval = show_interval(about["unit"], figure["low"], figure["high"])
    return Tile(
        metric,
        about["title"],
        value,
        interval,
        show_coverage(figure["coverage"] if figure else None),
        about["meaning"],
        about["computed"],
        note,
    )


def is_small(figure: Row) -> bool:
    """True where the figure may not be shown."""
    return bool(figure["devices"] < K)


def show(unit: str, value: float) -> str:
    """A value in its unit, with as many digits as mean something."""
    if unit == "share":
        return f"{100 * value:.0f} %"
    if unit == "seconds":
        minutes = round(value / 60)
        return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d}"
    return f"{value:,.0f}".replace(",", "\u202f")


def show_interval(unit: str, low: float, high: float) -> str:
    """The interval: outward to whole devices, percents or minutes, so that rounding never makes it look surer."""
    step = {"share": 0.01, "seconds": 60.0}.get(unit, 1.0)
    low, high = floor(round(low / step, 6)) * step, ceil(round(high / step, 6)) * step
    return f"likely {show(unit, low)} to {show(unit, high)}"


def show_coverage(coverage: float | None) -> str:
    """How much of the time was heard, in words."""
    if coverage is None:
        return "not heard"
    percent = 100 * coverage
    return "heard < 0.1 %" if percent < 0.1 else f"heard {percent:.1f} %" if percent < 99.95 else "heard 100 %"


def quarter_series(rows: Sequence[Row], starts_ms: Sequence[int]) -> dict[str, list[float | None]]:
    """One quarter-hour metric as columns for a chart; None is a gap. Small cells count as zero to nobody: they are gaps in the
    band and shown between 0 and ``K``."""
    by_start = {row["start_ms"]: row for row in rows}
    series: dict[str, list[float | None]] = {"value": [], "low": [], "high": [], "coverage": []}
    for start in starts_ms:
        row = by_start.get(start)
        hidden = row is not None and 0 < row["devices"] < K
        for column in ("value", "low", "high"):
            shown = (
                None
                if row is None
                else {"value": None, "low": 0.0, "high": float(K)}[column]
                if hidden
                else row[column]
            )
            series[column].append(None if shown is None else round(shown, 2))
        series["coverage"].append(None if row is None or row["coverage"] is None else round(row["coverage"], 4))
    return series


def peak(rows: Sequence[Row], zone: ZoneInfo) -> tuple[Row | None, str]:
    """The fullest quarter-hour and when it was; where none may be shown, one of them without its time."""
    if not rows:
        return None, ""
    shown = [row for row in rows if not is_small(row)]
    best = max(shown or rows, key=lambda row: (row["value"], -row["start_ms"]))
    return best, f"busiest at {clock(best['start_ms'], zone)}" if shown else ""


def clock(time_ms: int, zone: ZoneInfo) -> str:
    """HH:MM in the store."""
    return datetime.fromtimestamp(time_ms / 1000, zone).strftime("%H:%M")


def show_bucket(from_s: int, to_s: int | None) -> str:
    """A bucket of the dwell chart."""
    if to_s is None:
        return f"{from_s // 60}+"
    return f"{from_s // 60}–{to_s // 60}"


def show_cell(row: Row | None) -> str:
    """A cell of the table beside a chart."""
    if row is None or row["value"] is None:
        return NONE
    if 0 < row["devices"] < K:
        return f"< {K}"
    return f"{row['value']:.0f} ({int(row['low'])} to {-int(-row['high'] // 1)})"
