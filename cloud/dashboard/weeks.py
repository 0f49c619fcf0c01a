"""Pages over several days: one store's weeks, all stores side by side, the weekly report for paper.

| route | answers |
| --- | --- |
| GET /sites/{site}/weeks?from=&to=&preset= | trend, week by hour, weeks as a table |
| GET /stores?from=&to=&preset=&group= | the stores side by side, or those of a group |
| GET /sites/{site}/report?week=2026-W47&preset= | one week, made for printing |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.gate import Gate, Visit
from cloud.accounts.viewer import READ_FIGURES, Viewer
from cloud.dashboard import view
from cloud.dashboard.asked import Asked, AskedRange, preset_of
from cloud.dashboard.compare import Comparison, compare
from cloud.dashboard.queries import Queries
from cloud.dashboard.ranges import HeatCell, Summary, by_week, monday_of, monday_of_week, sum_up, week_dates, week_name
from cloud.dashboard.web import NotThere, Pages, spoken_by
from cloud.domain.language import NONE, Language
from cloud.domain.preset import OWN, presets
from cloud.domain.publish import Figure, K
from cloud.domain.site import Site
from cloud.fleet.groups import Groups, StoreGroup

COLUMNS = ("visitors", "passers_by", "capture_rate", "dwell_median_s", "engaged", "bounced")
SUMMED = ("visitors", "passers_by", "dwell_median_s")
"""What the first four columns are made of: a rate over several days comes from the sums."""
PER_DAY = ("visitors", "passers_by", "engaged", "bounced")
HEAT_STEPS = 8
BAR_STEPS = 20
WEEKS_BEFORE = 4


class WeekPages:
    """The routes. ``now_ms`` is the clock."""

    def __init__(self, queries: Queries, groups: Groups, pages: Pages, now_ms: Callable[[], int]) -> None:
        self._queries = queries
        self._groups = groups
        self._pages = pages
        self._now_ms = now_ms
        self._asked = Asked(queries, now_ms)

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """What to mount."""
        return [
            Route("/stores", gate.page(READ_FIGURES, self._pages.work(self.stores))),
            Route("/sites/{site}/weeks", gate.page(READ_FIGURES, self._pages.work(self.weeks))),
            Route("/sites/{site}/report", gate.page(READ_FIGURES, self._pages.work(self.report))),
        ]

    # --- one store's weeks ------------------------------------------------------------------------------------------

    def weeks(self, request: Request, visit: Visit) -> Response:
        """The page. Raises NotThere."""
        viewer, spoken = visit.viewer, spoken_by(request, visit)
        site = self._asked.site(viewer, request.path_params["site"])
        asked = self._asked.range(viewer, site, request.query_params)
        days = self._queries.days(viewer, [site.site], asked.dates(), asked.preset, SUMMED).get(site.site, {})
        summary = sum_up(days)
        return self._pages.page(
            request,
            "weeks.html",
            visit,
            here="weeks",
            site=site,
            asked=asked,
            presets=presets(),
            own=OWN,
            range_text=_range_text(asked, spoken),
            steps=_steps(asked),
            tiles=[_range_tile(summary, metric, spoken) for metric in COLUMNS[:4]],
            days=summary.days,
            data=json.dumps(_trend(days, asked), separators=(",", ":")),
            heat=self._heat(viewer, site, asked.dates(), asked.preset, spoken),
            weeks=[_week_row(monday, found, spoken) for monday, found in reversed(by_week(days).items())],
            columns=COLUMNS[:4],
            this_week=week_name(monday_of(asked.last)),
        )

    def _heat(
        self, viewer: Viewer, site: Site, dates: list[str], preset: str, spoken: Language
    ) -> dict[str, Any] | None:
        metric = "heard_inside" if site.legal_mode == "count" else "visitors"
        cells = self._queries.heat(viewer, site, dates, preset, metric)
        busy = [hour for (_, hour), cell in cells.items() if cell.value or cell.is_hidden]
        if not busy:
            return None
        most = max((cell.value or 0 for cell in cells.values()), default=0)
        hours = range(min(busy), max(busy) + 1)
        return {
            "title": f"heat.{metric}",
            "hours": [f"{hour:02d}" for hour in hours],
            "rows": [
                {
                    "name": spoken.say(f"calendar.short_weekday.{weekday}"),
                    "full": spoken.weekday(weekday),
                    "cells": [_heat_cell(cells.get((weekday, hour)), most, spoken) for hour in hours],
                }
                for weekday in range(7)
            ],
        }

    # --- all stores -------------------------------------------------------------------------------------------------

    def stores(self, request: Request, visit: Visit) -> Response:
        """The stores side by side. Raises NotThere."""
        viewer, spoken = visit.viewer, spoken_by(request, visit)
        sites, groups = self._queries.sites(viewer), self._groups.of(viewer)
        asked = self._asked.range(viewer, None, request.query_params)
        group = _group_of(groups, request.query_params)
        shown = [site for site in sites if group is None or site.site in group.sites]
        names = [site.site for site in shown]
        found = self._queries.days(viewer, names, asked.dates(), asked.preset, SUMMED)
        summaries = {site.site: sum_up(found.get(site.site, {})) for site in shown}
        most = max((_mean_of(summary) for summary in summaries.values()), default=0.0)
        ranked = sorted(shown, key=lambda site: (-_mean_of(summaries[site.site]), site.name))
        return self._pages.page(
            request,
            "stores.html" if sites else "home.html",
            visit,
            here="stores",
            sites=sites,
            asked=asked,
            presets=presets(),
            own=OWN,
            range_text=_range_text(asked, spoken),
            steps=_steps(asked, group),
            group=group,
            groups=groups,
            stores=[_store_row(site, summaries[site.site], most, spoken) for site in ranked],
            columns=COLUMNS[:4],
        )

    # --- for paper --------------------------------------------------------------------------------------------------

    def report(self, request: Request, visit: Visit) -> Response:
        """One week. Raises NotThere."""
        viewer, spoken = visit.viewer, spoken_by(request, visit)
        site = self._asked.site(viewer, request.path_params["site"])
        preset, monday = preset_of(request.query_params), self._monday(viewer, site, request.query_params)
        start = Date.fromisoformat(monday)
        dates = [date for n in range(WEEKS_BEFORE + 1) for date in week_dates((start - timedelta(weeks=n)).isoformat())]
        days = self._queries.days(viewer, [site.site], dates, preset).get(site.site, {})
        weeks = by_week(days)
        summary = weeks.pop(monday, Summary({}, 0))
        asked = AskedRange(monday, week_dates(monday)[-1], preset)
        return self._pages.page(
            request,
            "report.html",
            visit,
            here="weeks",
            site=site,
            asked=asked,
            week=week_name(monday),
            number=start.isocalendar().week,
            range_text=_range_text(asked, spoken),
            before=week_name((start - timedelta(weeks=1)).isoformat()),
            after=week_name((start + timedelta(weeks=1)).isoformat()),
            days=summary.days,
            tiles=[_report_tile(summary, weeks, metric, spoken) for metric in COLUMNS],
            rows=[_day_row(date, days.get(date, {}), spoken) for date in week_dates(monday)],
            columns=COLUMNS,
            heat=self._heat(viewer, site, dates, preset, spoken),  # of one week most hours may not be told
            preset=presets()[preset],
            own=OWN,
        )

    def _monday(self, viewer: Viewer, site: Site, parameters: Mapping[str, str]) -> str:
        """The week asked for; else the last one that is over, or the newest of a store that takes replays."""
        if wanted := parameters.get("week"):
            monday = monday_of_week(wanted)
            if monday is None or not "1970" <= monday < "2999":
                raise NotThere("not_there.week")
            return monday
        if site.allows_replay and (newest := self._queries.newest_date(viewer, site.site)):
            return monday_of(newest)
        today = Date.fromisoformat(site.date_of(self._now_ms()))
        return monday_of((today - timedelta(weeks=1)).isoformat())


# --- what is shown ------------------------------------------------------------------------------------------------------


def _range_text(asked: AskedRange, spoken: Language) -> str:
    first, last = Date.fromisoformat(asked.first), Date.fromisoformat(asked.last)
    year = "" if first.year == last.year else f" {first.year}"
    return spoken.say(
        "weeks.range", first=f"{spoken.short_date(first)}{year}", last=f"{spoken.short_date(last)} {last.year}"
    )


def _group_of(groups: Sequence[StoreGroup], parameters: Mapping[str, str]) -> StoreGroup | None:
    """The group asked for, None where none is. Raises NotThere, also for another merchant's."""
    wanted = parameters.get("group")
    if not wanted:
        return None
    found = next((group for group in groups if group.group == wanted), None)
    if found is None:
        raise NotThere("groups.not_there")
    return found


def _steps(asked: AskedRange, group: StoreGroup | None = None) -> dict[str, str]:
    """The stretch before and after, as queries."""
    more = f"&group={group.group}" if group else ""
    first, last = Date.fromisoformat(asked.first), Date.fromisoformat(asked.last)
    length = last - first + timedelta(days=1)

    def query(by: timedelta) -> str:
        return f"?from={first + by}&to={last + by}&preset={asked.preset}{more}"

    return {"before": query(-length), "after": query(length)}


def _range_tile(summary: Summary, metric: str, spoken: Language) -> view.Tile:
    note = spoken.say("weeks.typical_day") if metric == "dwell_median_s" else spoken.say("weeks.whole")
    per_day, note = (
        (summary.per_day(metric), spoken.say("weeks.per_day"))
        if metric in PER_DAY
        else (summary.figures.get(metric), note)
    )
    return view.tile(metric, per_day, note, spoken=spoken)


def _report_tile(summary: Summary, before: Mapping[str, Summary], metric: str, spoken: Language) -> view.Tile:
    made = _range_tile(summary, metric, spoken)
    earlier = [_figure(week, metric) for week in before.values()]
    found = compare(_figure(summary, metric), [figure.value if figure else None for figure in earlier])
    return view.tile(metric, _figure(summary, metric), made.note, _weeks_before(metric, found, spoken), spoken)


def _figure(summary: Summary, metric: str) -> Figure | None:
    return summary.per_day(metric) if metric in PER_DAY else summary.figures.get(metric)


def _weeks_before(metric: str, found: Comparison | None, spoken: Language) -> str:
    if found is None:
        return ""
    days = spoken.say("compare.last_weeks", count=found.days) if found.days > 1 else spoken.say("compare.last_week")
    return view.said(metric, found, days, spoken)


def _trend(days: Mapping[str, Mapping[str, Figure]], asked: AskedRange) -> dict[str, Any]:
    """Columns for the chart: noon UTC of each date, so that no zone moves it."""
    dates = asked.dates()
    series = {}
    for metric in ("visitors", "passers_by"):
        figures = [days.get(date, {}).get(metric) for date in dates]
        small = [figure is not None and figure.is_small for figure in figures]
        series[metric] = {
            "value": [figure.value if figure else None for figure in figures],
            "low": [
                0 if is_small else figure.low if figure else None
                for figure, is_small in zip(figures, small, strict=True)
            ],
            "high": [
                K if is_small else figure.high if figure else None
                for figure, is_small in zip(figures, small, strict=True)
            ],
        }
    return {"dates": dates, "series": series}


def _week_row(monday: str, summary: Summary, spoken: Language) -> dict[str, Any]:
    return {
        "name": week_name(monday),
        "first": spoken.short_date(Date.fromisoformat(monday)),
        "days": summary.days,
        "cells": [_cell(metric, _figure(summary, metric), spoken) for metric in COLUMNS[:4]],
        "coverage": _coverage(summary, spoken),
    }


def _store_row(site: Site, summary: Summary, most: float, spoken: Language) -> dict[str, Any]:
    return {
        "site": site.site,
        "name": site.name,
        "is_count": site.legal_mode == "count",
        "days": summary.days,
        "bar": round(BAR_STEPS * _mean_of(summary) / most) if most else 0,
        "cells": [_cell(metric, _figure(summary, metric), spoken) for metric in COLUMNS[:4]],
        "coverage": _coverage(summary, spoken),
    }


def _day_row(date: str, figures: Mapping[str, Figure], spoken: Language) -> dict[str, Any]:
    day = Date.fromisoformat(date)
    covered = [figure.coverage for figure in figures.values() if figure.coverage is not None]
    return {
        "name": f"{spoken.weekday(day.weekday())}, {spoken.short_date(day)}",
        "cells": [_cell(metric, figures.get(metric), spoken) for metric in COLUMNS],
        "coverage": spoken.percent(covered[0]) if covered else NONE,
    }


def _cell(metric: str, figure: Figure | None, spoken: Language) -> dict[str, str]:
    """A figure in a table: value, and its interval in few signs."""
    shown = view.tile(metric, figure, spoken=spoken)
    if figure is None or figure.value is None:
        return {"value": shown.value, "interval": ""}
    unit = view.metrics()[metric]["unit"]
    low, high = view.outward(unit, figure.low or 0.0, figure.high or 0.0)
    return {"value": shown.value, "interval": f"{view.show(unit, low, spoken)}–{view.show(unit, high, spoken)}"}


def _coverage(summary: Summary, spoken: Language) -> str:
    visitors = summary.figures.get("visitors")
    return spoken.percent(visitors.coverage) if visitors and visitors.coverage is not None else NONE


def _mean_of(summary: Summary) -> float:
    figure = summary.per_day("visitors")
    return figure.value if figure and figure.value is not None else 0.0


def _heat_cell(cell: HeatCell | None, most: int, spoken: Language) -> dict[str, Any]:
    if cell is None:
        return {"text": "", "step": "none"}
    if cell.value is None:
        return {"text": view.NOT_TOLD, "step": "few"}
    return {"text": spoken.number(cell.value), "step": -(-cell.value * HEAT_STEPS // most) if most else 0}
