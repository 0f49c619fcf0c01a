"""Several days of one store put together (core).

Counts are added up, ends too: the doubts of days are of one kind, so they are taken to lie on the same side, and the interval holds the
truth more often than nine times of ten. A rate is made of the sums. Of stays only the typical day can be told: the median of the days'
medians, and of their ends. Hidden days add nothing, so sums never tell one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from statistics import median

from cloud.domain.publish import Figure, K, also_hidden, follows, hidden_among

COUNTS = ("visitors", "passers_by", "engaged", "bounced")
FULL_QUARTERS = 4
Days = Mapping[str, Mapping[str, Figure]]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a stretch of days comes to. ``days`` is how many of them have a count of visitors that may be shown."""

    figures: dict[str, Figure]
    days: int

    def per_day(self, metric: str) -> Figure | None:
        """A count's mean over the days that have it."""
        figure = self.figures.get(metric)
        if figure is None or figure.value is None or not self.days:
            return figure
        value, low, high = (None if x is None else x / self.days for x in (figure.value, figure.low, figure.high))
        return Figure(metric, value, low, high, figure.coverage)


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One hour of one weekday. ``value`` is the mean over its days, to the whole device; None where it is hidden or unknown."""

    value: int | None
    days: int
    is_hidden: bool = False


def sum_up(days: Days) -> Summary:
    """Date -> figures of the day, put together."""
    figures = {metric: figure for metric in COUNTS if (figure := _sum(metric, days)) is not None}
    visitors, passers_by = figures.get("visitors"), figures.get("passers_by")
    if visitors is not None and passers_by is not None:
        figures["capture_rate"] = _rate(days)
    stays = [day["dwell_median_s"] for day in days.values() if "dwell_median_s" in day]
    if stays:
        figures["dwell_median_s"] = _typical(stays)
    shown = sum(1 for day in days.values() if "visitors" in day and day["visitors"].value is not None)
    return Summary(figures, shown)


def _sum(metric: str, days: Days) -> Figure | None:
    found = [day[metric] for day in days.values() if metric in day]
    shown = [figure for figure in found if figure.value is not None]
    if not found:
        return None
    if not shown:
        return _nothing_shown(metric, found)
    value, low, high = (sum(part(figure) or 0.0 for figure in shown) for part in (_value, _low, _high))
    return Figure(metric, value, low, high, _mean(found))


def _rate(days: Days) -> Figure:
    """Of the days on which both counts are shown."""
    both = [
        (day["visitors"], day["passers_by"])
        for day in days.values()
        if "visitors" in day and "passers_by" in day and None not in (day["visitors"].value, day["passers_by"].value)
    ]
    coverage = _mean([visitors for visitors, _ in both])
    came, low, high = (sum(part(visitors) or 0.0 for visitors, _ in both) for part in (_value, _low, _high))
    passed, few, many = (sum(part(passers_by) or 0.0 for _, passers_by in both) for part in (_value, _low, _high))
    if came + passed <= 0:
        is_small = all(figure.is_small for day in days.values() for figure in day.values() if figure.is_hidden)
        return Figure("capture_rate", None, None, None, coverage, is_hidden=not both, is_small=not both and is_small)
    return Figure(
        "capture_rate", came / (came + passed), low / (low + many or 1.0), high / (high + few or 1.0), coverage
    )


def _typical(stays: Sequence[Figure]) -> Figure:
    shown = [figure for figure in stays if figure.value is not None]
    if not shown:
        return _nothing_shown("dwell_median_s", stays)
    value, low, high = (median(part(figure) or 0.0 for figure in shown) for part in (_value, _low, _high))
    return Figure("dwell_median_s", value, low, high, _mean(stays))


def _nothing_shown(metric: str, found: Sequence[Figure]) -> Figure:
    """Of days without one that may be shown."""
    hidden = [figure for figure in found if figure.is_hidden]
    is_small = bool(hidden) and all(figure.is_small for figure in hidden)
    return Figure(metric, None, None, None, _mean(found), is_hidden=bool(hidden), is_small=is_small)


def _mean(figures: Iterable[Figure]) -> float | None:
    known = [figure.coverage for figure in figures if figure.coverage is not None]
    return sum(known) / len(known) if known else None


def _value(figure: Figure) -> float | None:
    return figure.value


def _low(figure: Figure) -> float | None:
    return figure.low


def _high(figure: Figure) -> float | None:
    return figure.high


# --- weeks --------------------------------------------------------------------------------------------------------------


def monday_of(date: str) -> str:
    """The Monday of a day's week."""
    day = Date.fromisoformat(date)
    return (day - timedelta(days=day.weekday())).isoformat()


def week_name(monday: str) -> str:
    """2026-W47. Source: ISO 8601-1:2019, 5.2.3."""
    year, week, _ = Date.fromisoformat(monday).isocalendar()
    return f"{year}-W{week:02d}"


def monday_of_week(name: str) -> str | None:
    """The Monday of "2026-W47", None for what is no week."""
    year, _, week = name.partition("-W")
    try:
        return Date.fromisocalendar(int(year), int(week), 1).isoformat()
    except ValueError:
        return None


def week_dates(monday: str) -> list[str]:
    """Its seven days."""
    day = Date.fromisoformat(monday)
    return [(day + timedelta(days=n)).isoformat() for n in range(7)]


def by_week(days: Days) -> dict[str, Summary]:
    """Monday -> what its week comes to, in order."""
    weeks: dict[str, dict[str, Mapping[str, Figure]]] = {}
    for date, figures in sorted(days.items()):
        weeks.setdefault(monday_of(date), {})[date] = figures
    return {monday: sum_up(found) for monday, found in weeks.items()}


# --- heat ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeardQuarter:
    """One quarter-hour before it is published: only ``heat`` may take it, which publishes hours over several weeks."""

    date: str
    start_ms: int
    value: float
    devices: int


def heat(
    quarters: Iterable[HeardQuarter], hour_of: Callable[[int], int], *, is_sum: bool
) -> dict[tuple[int, int], HeatCell]:
    """(weekday, hour) -> mean of the days on which the whole hour was heard; sums of its quarters, or means of them.

    A cell that rests on fewer than ``K`` devices over all its days is hidden, and values are rounded to whole devices, so that two
    stretches which differ by a day do not tell that day.
    """
    hours: dict[tuple[str, int], list[HeardQuarter]] = {}
    for quarter in quarters:
        hours.setdefault((quarter.date, hour_of(quarter.start_ms)), []).append(quarter)
    cells: dict[tuple[int, int], list[list[HeardQuarter]]] = {}
    for (date, hour), found in hours.items():
        if len(found) >= FULL_QUARTERS:
            cells.setdefault((Date.fromisoformat(date).weekday(), hour), []).append(found)
    hidden = _hidden_quarters(hours, is_sum=is_sum)
    concealed = {
        place: [q.devices for hour in found for q in hour if q.start_ms in hidden] for place, found in cells.items()
    }
    published = {place: _cell(found, concealed[place], is_sum=is_sum) for place, found in cells.items()}
    for weekday in range(7) if is_sum else ():  # a day's hours add up to a figure that is published elsewhere
        places = sorted(place for place in published if place[0] == weekday)
        more = [places[n] for n in also_hidden([published[place].value for place in places])]
        while True:
            published |= {place: HeatCell(None, published[place].days, is_hidden=True) for place in more}
            shown = {place: value for place in places if (value := published[place].value) is not None}
            is_told = _tells([n for place in places if place not in shown for n in concealed[place]])
            more = sorted((place for place in shown if concealed[place]), key=shown.__getitem__)[:1]
            if not is_told or not more:
                break
    return published


def _hidden_quarters(hours: Mapping[tuple[str, int], list[HeardQuarter]], *, is_sum: bool) -> set[int]:
    """When the quarter-hours begin that are hidden where single days are shown (``publish_quarters``)."""
    by_date: dict[str, list[HeardQuarter]] = {}
    for (date, _), found in hours.items():
        by_date.setdefault(date, []).extend(found)
    hidden = set()
    for quarters in by_date.values():
        quarters.sort(key=lambda quarter: quarter.start_ms)
        places = {place for place, quarter in enumerate(quarters) if 0 < quarter.devices < K}
        if is_sum:
            places = hidden_among([quarter.devices for quarter in quarters], places, least=1)
        hidden |= {quarters[place].start_ms for place in places}
    return hidden


def _tells(concealed: Sequence[int]) -> bool:
    """True where the sum of quarter-hours that are hidden by themselves would tell one of them, or fewer than ``K``."""
    return follows(concealed, least=1)


def _cell(hours: list[list[HeardQuarter]], concealed: Sequence[int], *, is_sum: bool) -> HeatCell:
    """``concealed``: the devices of its quarter-hours that are hidden where single days are shown; the others follow from there."""
    if 0 < sum(quarter.devices for hour in hours for quarter in hour) < K or _tells(concealed):
        return HeatCell(None, len(hours), is_hidden=True)
    values = [sum(q.value for q in hour) / (1 if is_sum else len(hour)) for hour in hours]
    return HeatCell(round(sum(values) / len(values)), len(hours))
