"""Published figures -> what a merchant reads (core): rounding and words. Nothing here asks the database.

What is hidden because it rests on too few devices is shown as "< 5" (DESIGN section 6, ``cloud.domain.publish``); what is hidden so that
another figure does not follow from it is said not to be told: it may be any number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from math import ceil, floor
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from cloud.dashboard.compare import Comparison
from cloud.dashboard.words import METRICS_FILE, language
from cloud.domain.intervals import Interval
from cloud.domain.language import NONE, Language
from cloud.domain.people import Factor, people_of
from cloud.domain.publish import Bucket, Figure, K

TILES = ("visitors", "passers_by", "capture_rate", "dwell_median_s")
SMALL_TILES = ("engaged", "bounced", "residents")
LOW_COVERAGE = 0.8
"""Below it the page says so in a line of its own."""
ENGLISH = language("en")
NOT_TOLD = "·"
"""In the place of a number that may be any."""


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
    compared: str = ""
    """"12 % more than on the last 4 Fridays (120)", empty where there is nothing to compare with."""


def tiles(figures: Mapping[str, Figure], names: Iterable[str], spoken: Language = ENGLISH) -> list[Tile]:
    """The day's figures, in the order of ``names``."""
    return [tile(name, figures.get(name), spoken=spoken) for name in names]


def tile(metric: str, figure: Figure | None, note: str = "", compared: str = "", spoken: Language = ENGLISH) -> Tile:
    """One figure; without one it is a dash."""
    unit = metrics()[metric]["unit"]
    value, interval = NONE, ""
    if figure is not None and figure.is_hidden:
        value = small() if unit == "devices" and figure.is_small else NONE
        note = note or _why_hidden(unit, figure, spoken)
    elif figure is not None and figure.value is not None:
        value = show(unit, figure.value, spoken)
        interval = show_interval(unit, figure.low or 0.0, figure.high or 0.0, spoken)
    said = {part: spoken.say(f"metric.{metric}.{part}") for part in ("title", "meaning", "computed")}
    coverage = show_coverage(figure.coverage if figure else None, spoken)
    return Tile(metric, value=value, interval=interval, coverage=coverage, note=note, compared=compared, **said)


def _why_hidden(unit: str, figure: Figure, spoken: Language) -> str:
    if not figure.is_small:
        return spoken.say("figure.not_told")
    return "" if unit == "devices" else spoken.say("figure.few", k=K)


def small() -> str:
    """How a hidden count is shown."""
    return f"<\u00a0{K}"


def show(unit: str, value: float, spoken: Language = ENGLISH) -> str:
    """A value in its unit, with as many digits as mean something."""
    if unit == "share":
        return spoken.percent(value)
    return spoken.duration(value) if unit == "seconds" else spoken.number(value)


def show_people(figure: Figure | None, factor: Factor | None, spoken: Language = ENGLISH) -> str:
    """The people behind a figure of devices, by which factor; empty where the store did not ask for it, or the figure is not shown."""
    if factor is None or figure is None or figure.value is None or figure.low is None or figure.high is None:
        return ""
    people = people_of(Interval(figure.value, figure.low, figure.high), factor)
    return spoken.say(
        "figure.people",
        value=spoken.number(people.value),
        low=spoken.number(floor(people.low)),
        high=spoken.number(ceil(people.high)),
        factor=spoken.number(factor.value, 2),
    )


def show_interval(unit: str, low: float, high: float, spoken: Language = ENGLISH) -> str:
    """The interval: outward to whole devices, percents or minutes, so that rounding never makes it look surer."""
    low, high = outward(unit, low, high)
    return spoken.say("figure.likely", low=show(unit, low, spoken), high=show(unit, high, spoken))


def outward(unit: str, low: float, high: float) -> tuple[float, float]:
    """Both ends to the next whole device, percent or minute outside."""
    step = {"share": 0.01, "seconds": 60.0}.get(unit, 1.0)
    return floor(round(low / step, 6)) * step, ceil(round(high / step, 6)) * step


def show_coverage(coverage: float | None, spoken: Language = ENGLISH) -> str:
    """How much of the time was heard, in words."""
    if coverage is None:
        return spoken.say("figure.not_heard")
    if 100 * coverage < 0.1:
        return spoken.say("figure.heard", share=f"<\u00a0{spoken.percent(0.001, 1)}")
    digits = 1 if coverage < 0.9995 else 0
    return spoken.say("figure.heard", share=spoken.percent(coverage, digits))


def show_comparison(metric: str, comparison: Comparison | None, weekday: int, spoken: Language, *, so_far: bool) -> str:
    """What a comparison says, in a few words; empty without one."""
    if comparison is None:
        return ""
    return said(metric, comparison, _those_days(comparison.days, weekday, spoken), spoken, "_so_far" if so_far else "")


def said(metric: str, comparison: Comparison, days: str, spoken: Language, ending: str = "") -> str:
    """A comparison with ``days``, in words."""
    mean = show(metrics()[metric]["unit"], comparison.mean, spoken)
    if comparison.is_alike or comparison.share is None:
        return spoken.say(f"compare.alike{ending}", days=days, mean=mean)
    key = "more" if comparison.share > 0 else "less"
    return spoken.say(f"compare.{key}{ending}", days=days, mean=mean, amount=spoken.percent(abs(comparison.share)))


def _those_days(count: int, weekday: int, spoken: Language) -> str:
    if count == 1:
        return spoken.say(f"calendar.last_one.{weekday}")
    return spoken.say(f"calendar.last_some.{weekday}", count=count)


def quarter_series(figures: Sequence[Figure], starts_ms: Sequence[int]) -> dict[str, list[Any]]:
    """One quarter-hour metric as columns for a chart; None is a gap. What is small is a band between 0 and ``K`` without a line.

    A note stands in the place of a number that is hidden; where nothing is told of it, the chart hatches it by that.
    """
    by_start = {figure.start_ms: figure for figure in figures}
    series: dict[str, list[Any]] = {"value": [], "low": [], "high": [], "coverage": [], "note": []}
    for start in starts_ms:
        figure = by_start.get(start)
        is_small = figure is not None and figure.is_small
        series["value"].append(_rounded(figure.value if figure else None, 2))
        series["low"].append(0.0 if is_small else _rounded(figure.low if figure else None, 2))
        series["high"].append(float(K) if is_small else _rounded(figure.high if figure else None, 2))
        series["coverage"].append(_rounded(figure.coverage if figure else None, 4))
        series["note"].append(show_cell(figure) if figure and figure.is_hidden else "")
    return series


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def peak(figures: Sequence[Figure]) -> Figure | None:
    """The fullest quarter-hour. Where only empty ones may be shown, one of the hidden: they were fuller."""
    shown = [figure for figure in figures if figure.value]
    if shown:
        return max(shown, key=lambda figure: (figure.value or 0.0, -(figure.start_ms or 0)))
    return next((figure for figure in figures if figure.is_hidden), figures[0] if figures else None)


def clock(time_ms: int, zone: ZoneInfo) -> str:
    """HH:MM in the store."""
    return datetime.fromtimestamp(time_ms / 1000, zone).strftime("%H:%M")


def show_bucket(bucket: Bucket) -> str:
    """A bucket of the dwell chart, in minutes."""
    if bucket.to_s is None:
        return f"{bucket.from_s // 60}+"
    return f"{bucket.from_s // 60}–{bucket.to_s // 60}"


def show_cell(figure: Figure | None, spoken: Language = ENGLISH) -> str:
    """A cell of the table beside a chart."""
    if figure is None or (figure.value is None and not figure.is_hidden):
        return NONE
    if figure.value is None:
        return small() if figure.is_small else NOT_TOLD
    return spoken.say(
        "figure.cell",
        value=spoken.number(figure.value),
        low=spoken.number(int(figure.low or 0)),
        high=spoken.number(ceil(figure.high or 0)),
    )
