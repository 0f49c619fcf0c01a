"""The page of one day of one store: its figures, charts, comparison and how it stands with the access points; the same as data, and live.

| route | answers |
| --- | --- |
| GET /sites/{site}?date=&preset= | the page |
| GET /sites/{site}/figures.json?date=&preset= | the same as data; ETag |
| GET /sites/{site}/events?date=&preset= | server-sent events: `changed` within a second of new figures |
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from datetime import date as Date
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from cloud.accounts.gate import Gate, Visit
from cloud.accounts.viewer import READ_FIGURES, Viewer
from cloud.dashboard import view
from cloud.dashboard.asked import Asked, AskedDay
from cloud.dashboard.compare import DAYS, Comparison, compare, same_weekdays, values_of
from cloud.dashboard.hours import HOUR_S, by_hour, can_be_small, hour_starts, is_sparse
from cloud.dashboard.queries import Queries, Row
from cloud.dashboard.web import NotThere, Pages, spoken_by
from cloud.domain.language import Language
from cloud.domain.preset import OWN, presets
from cloud.domain.publish import ADDITIVE, Figure
from cloud.domain.site import QUARTER_S, Site

CHARTS_DAY = ("occupancy", "visitors", "passers_by")
CHARTS_COUNT = ("heard_inside", "heard_outside")
LOOK_S = 1.0
"""How often a live page's server side looks for new figures."""
LIVE_S = 600.0
"""A live connection ends after this and the browser opens the next: so a session that ended shows nothing for longer."""
SILENT_MS = 15 * 60_000
"""An access point that nothing came from for this long is said to be silent."""
HOUR_MS = 3_600_000


class DayPages:
    """The routes. ``now_ms`` is the clock."""

    def __init__(self, queries: Queries, pages: Pages, now_ms: Callable[[], int]) -> None:
        self._queries = queries
        self._pages = pages
        self._now_ms = now_ms
        self._asked = Asked(queries, now_ms)

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """What to mount."""
        return [
            Route("/sites/{site}", gate.page(READ_FIGURES, self._pages.work(self.day))),
            Route("/sites/{site}/figures.json", gate.page(READ_FIGURES, self._pages.work(self.figures))),
            Route("/sites/{site}/events", gate.page(READ_FIGURES, self.events)),
        ]

    # --- routes -----------------------------------------------------------------------------------------------------

    def day(self, request: Request, visit: Visit) -> Response:
        """The page. Raises NotThere."""
        asked = self._asked.day(visit.viewer, request.path_params["site"], request.query_params)
        spoken = spoken_by(request, visit)
        shown = self._shown(visit.viewer, asked, spoken)
        return self._pages.page(
            request,
            "day.html",
            visit,
            here="day",
            site=asked.site,
            sites=self._queries.sites(visit.viewer),
            asked=asked,
            presets=presets(),
            own=OWN,
            data=json.dumps(_as_data(shown), ensure_ascii=False, separators=(",", ":")),
            **self._links(asked, spoken),
            **shown,
        )

    def figures(self, request: Request, visit: Visit) -> Response:
        """The day as data. Raises NotThere."""
        asked = self._asked.day(visit.viewer, request.path_params["site"], request.query_params)
        shown = self._shown(visit.viewer, asked, spoken_by(request, visit))
        content = json.dumps(_as_data(shown), ensure_ascii=False, separators=(",", ":")).encode()
        etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return Response(content, media_type="application/json", headers={"ETag": etag})

    async def events(self, request: Request, visit: Visit) -> Response:
        """Say when the day's figures changed; the page then asks for them."""
        try:
            asked = await run_in_threadpool(
                self._asked.day, visit.viewer, request.path_params["site"], request.query_params
            )
        except NotThere as error:
            return self._pages.refuse(request, 404, error.key, **error.values)
        return StreamingResponse(self._changes(request, visit.viewer, asked), media_type="text/event-stream")

    async def _changes(self, request: Request, viewer: Viewer, asked: AskedDay) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        until, told = loop.time() + LIVE_S, request.headers.get("last-event-id", "")
        yield "retry: 2000\n\n"
        while loop.time() < until and not is_over(request) and not await request.is_disconnected():
            try:
                version = await run_in_threadpool(self._queries.version, viewer, asked.site.site, asked.date)
            except SQLAlchemyError:
                return  # the browser comes back by itself
            if version != told:
                told = version
                yield f"event: changed\nid: {version}\ndata: {version}\n\n"
            await asyncio.sleep(LOOK_S)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def _links(self, asked: AskedDay, spoken: Language) -> dict[str, Any]:
        day = Date.fromisoformat(asked.date)
        today = asked.site.date_of(self._now_ms())
        return {
            "yesterday": (day - timedelta(days=1)).isoformat(),
            "tomorrow": (day + timedelta(days=1)).isoformat(),
            "today": today,
            "day_text": spoken.long_date(day),
            "is_today": asked.date == today,
        }

    def _shown(self, viewer: Viewer, asked: AskedDay, spoken: Language) -> dict[str, Any]:
        site, key = asked.site, (viewer, asked.site.site, asked.date, asked.preset)
        zone, is_count = site.zone(), site.modes.on(asked.date) == "count"
        quarters, ledger = self._queries.quarters(*key), self._queries.ledger(viewer, site.site, asked.date)
        agents = self._queries.agents(viewer, site.site)
        charts = CHARTS_COUNT if is_count else CHARTS_DAY
        starts, step_s = _shown_starts(site, asked.date, quarters), QUARTER_S
        large, small = self._tiles(viewer, asked, quarters, spoken)
        heard = [t for t in (large or small) if t.value]
        notices = self._notices(viewer, asked, agents, ledger, quarters, spoken) if heard else []
        if not is_count and asked.preset == OWN and self._tells_hours(viewer, asked, quarters):
            # Under another definition a hidden quarter-hour may hold any number (cloud.domain.differences), so no hour can be told.
            starts, step_s = hour_starts(starts, zone), HOUR_S
            quarters = {metric: by_hour(figures, zone) for metric, figures in quarters.items()}
        return {
            "version": self._queries.version(viewer, site.site, asked.date),
            "state": "heard" if ledger else "silent" if agents else "new",
            "notices": notices,
            "is_count": is_count,
            "tiles": large,
            "small_tiles": small,
            "step_s": step_s,
            "is_by_hour": step_s == HOUR_S,
            "starts_s": [start // 1000 for start in starts],
            "time_zone": site.time_zone,
            "has_hours": bool(site.open_spans_ms(asked.date)),
            "series": {metric: view.quarter_series(quarters.get(metric, []), starts) for metric in charts},
            "dwell": [
                {"label": view.show_bucket(bucket), "visits": bucket.visits} for bucket in self._queries.dwell(*key)
            ],
            "left_out": view.NOT_TOLD,
            "table": _table(quarters, charts, starts, zone, spoken),
            "table_titles": [spoken.say(f"metric.{metric}.title") for metric in charts],
            "ledger": [_ledger_line(row, zone, spoken) for row in ledger],
        }

    def _tells_hours(self, viewer: Viewer, asked: AskedDay, quarters: dict[str, list[Figure]]) -> bool:
        day = self._queries.day(viewer, asked.site.site, asked.date, asked.preset)
        are_small = all(can_be_small(quarters.get(metric, []), day.get(metric)) for metric in ADDITIVE)
        return are_small and is_sparse(quarters.get("visitors", []))

    def _tiles(
        self, viewer: Viewer, asked: AskedDay, quarters: dict[str, list[Figure]], spoken: Language
    ) -> tuple[list[view.Tile], list[view.Tile]]:
        inside = self._inside(asked, quarters, spoken)
        if asked.site.modes.on(asked.date) == "count":
            return [], [inside]
        figures = self._queries.day(viewer, asked.site.site, asked.date, asked.preset)
        words = self._comparisons(viewer, asked, figures, spoken)
        factor = self._queries.people_factor(viewer, asked.site.site) if asked.preset == OWN else None
        people = view.show_people(figures.get("visitors"), factor, spoken)

        def made(metric: str) -> view.Tile:
            note = people if metric == "visitors" else ""
            return view.tile(metric, figures.get(metric), note, compared=words.get(metric, ""), spoken=spoken)

        return [made(metric) for metric in view.TILES], [inside, *(made(metric) for metric in view.SMALL_TILES)]

    def _inside(self, asked: AskedDay, quarters: dict[str, list[Figure]], spoken: Language) -> view.Tile:
        """Today: the last whole quarter-hour, and when it was fullest. Another day: when it was fullest."""
        site = asked.site
        metric = "heard_inside" if site.modes.on(asked.date) == "count" else "occupancy"
        rows, now_ms = quarters.get(metric, []), self._now_ms()
        best = view.peak(rows)
        busiest = (
            spoken.say("day.busiest", time=view.clock(best.start_ms, site.zone()))
            if best and best.value and best.start_ms
            else ""
        )
        whole = [row for row in rows if (row.start_ms or 0) + QUARTER_S * 1000 <= now_ms]
        if asked.date != site.date_of(now_ms) or not whole or not best:
            return view.tile(metric, best, busiest, spoken=spoken)
        last = whole[-1]
        since = spoken.say("day.inside_from", time=view.clock(last.start_ms or 0, site.zone()))
        most = view.show("devices", best.value, spoken) if best.value is not None else ""
        return view.tile(metric, last, since, f"{busiest} ({most})" if busiest else "", spoken)

    def _comparisons(
        self, viewer: Viewer, asked: AskedDay, figures: dict[str, Figure], spoken: Language
    ) -> dict[str, str]:
        before = same_weekdays(asked.date)
        days = self._queries.days(viewer, [asked.site.site], before, asked.preset).get(asked.site.site, {})
        known = [date for date in before if date in days]
        is_today = asked.date == asked.site.date_of(self._now_ms())
        found: dict[str, Comparison | None]
        if is_today:
            found = self._so_far(viewer, asked, figures, known[:DAYS])
        else:
            found = {
                m: compare(figures.get(m), values_of([days[d] for d in known], m)) for m in figures if m != "residents"
            }
        weekday = Date.fromisoformat(asked.date).weekday()
        return {
            metric: view.show_comparison(metric, comparison, weekday, spoken, so_far=is_today)
            for metric, comparison in found.items()
        }

    def _so_far(
        self, viewer: Viewer, asked: AskedDay, figures: dict[str, Figure], before: Sequence[str]
    ) -> dict[str, Comparison | None]:
        """A day that goes on is compared with what had come by this time of the days before."""
        site, now_ms = asked.site, self._now_ms()
        elapsed_ms = now_ms - site.day_bounds_ms(asked.date)[0]
        until_ms = {date: site.day_bounds_ms(date)[0] + elapsed_ms for date in before}
        sums = self._queries.arrivals_until(viewer, site.site, until_ms, asked.preset)
        found = {
            metric: compare(figures.get(metric), [sums.get(date, {}).get(metric) for date in before])
            for metric in ("visitors", "passers_by")
        }
        rates = [
            sums[date]["visitors"] / (sums[date]["visitors"] + sums[date]["passers_by"])
            for date in before
            if {"visitors", "passers_by"} <= set(sums.get(date, {}))
        ]
        return {**found, "capture_rate": compare(figures.get("capture_rate"), rates)}

    def _notices(
        self,
        viewer: Viewer,
        asked: AskedDay,
        agents: list[Row],
        ledger: list[Row],
        quarters: dict[str, list[Figure]],
        spoken: Language,
    ) -> list[dict[str, str]]:
        """What a reader should know before the figures: an access point that is silent, little heard, the first day."""
        site, now_ms = asked.site, self._now_ms()
        found: list[dict[str, str]] = []
        if asked.date == site.date_of(now_ms) and not site.allows_replay:
            for agent in agents:
                last_ms = agent["last_received_ms"]
                if last_ms is not None and now_ms - last_ms > SILENT_MS:
                    text = spoken.say("notice.silent", agent=agent["agent"], ago=spoken.ago(now_ms - last_ms))
                    found.append({"kind": "warning", "text": text})
        share = _heard_share(self._queries.day(viewer, site.site, asked.date, asked.preset), quarters)
        if ledger and share is not None and share < view.LOW_COVERAGE:
            text = spoken.say("notice.partial", share=spoken.percent(share))
            found.append({"kind": "warning", "text": text})
        if ledger and self._queries.dates(viewer, site.site)[-1:] == [asked.date]:
            found.append({"kind": "hint", "text": spoken.say("notice.first_day")})
        return found


def is_over(request: Request) -> bool:
    """True where the server stops (``cloud.server``)."""
    return bool(getattr(request.app.state, "is_stopping", False))


def _heard_share(figures: dict[str, Figure], quarters: dict[str, list[Figure]]) -> float | None:
    known = [figure.coverage for figure in figures.values() if figure.coverage is not None]
    if known:
        return known[0]
    heard = [figure.coverage for figure in quarters.get("heard_inside", []) if figure.coverage is not None]
    return sum(heard) / len(heard) if heard else None


def _shown_starts(site: Site, date: str, quarters: dict[str, list[Figure]]) -> list[int]:
    """The quarter-hours of the charts: an hour around the opening hours, or around what was heard where there are none."""
    every = site.quarters_ms(date)
    spans = site.open_spans_ms(date)
    busy = [row.start_ms or 0 for rows in quarters.values() for row in rows if row.value or row.is_hidden]
    if not spans and not busy:
        return every
    first = min([begin - HOUR_MS for begin, _ in spans] + ([] if spans else [min(busy) - HOUR_MS]))
    last = max([end + HOUR_MS for _, end in spans] + ([] if spans else [max(busy) + HOUR_MS + QUARTER_S * 1000]))
    return [start for start in every if first <= start < last]


def _table(
    quarters: dict[str, list[Figure]], charts: tuple[str, ...], starts: list[int], zone: ZoneInfo, spoken: Language
) -> list[dict[str, Any]]:
    by_start = {metric: {row.start_ms: row for row in quarters.get(metric, [])} for metric in charts}
    return [
        {
            "time": view.clock(start, zone),
            "cells": [view.show_cell(by_start[metric].get(start), spoken) for metric in charts],
        }
        for start in starts
    ]


def _ledger_line(row: Row, zone: ZoneInfo, spoken: Language) -> dict[str, Any]:
    counts = {name: spoken.number(row[name]) for name in ("frames", "probe_requests", "skipped")}
    lost = spoken.number(row["kernel_drops"] + row["evicted_batches"])
    return {"agent": row["agent"], **counts, "lost": lost, "until": view.clock(row["last_window_end_ms"], zone)}


def _as_data(shown: dict[str, Any]) -> dict[str, Any]:
    """What the page's script needs; the tiles as they are read."""
    kept = ("state", "step_s", "starts_s", "time_zone", "series", "dwell", "left_out", "table", "ledger")
    tiles = {tile.metric: asdict(tile) for tile in [*shown["tiles"], *shown["small_tiles"]]}
    return {**{name: shown[name] for name in kept}, "tiles": tiles}
