"""The merchant's page over HTTP.

| route | answers |
| --- | --- |
| GET / | the stores; straight to the store where there is one |
| GET /sites/{site}?date=&preset= | the page of one day |
| GET /sites/{site}/figures.json?date=&preset= | the same as data, for the page's refresh; ETag |
| GET /static/... | styles, scripts, the charting library; nothing comes from elsewhere |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import date as Date
from datetime import timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from cloud.dashboard import view
from cloud.dashboard.queries import Queries
from cloud.domain.preset import OWN, presets
from cloud.domain.site import Site
from cloud.fleet.registry import Fleet

FOLDER = Path(__file__).parent
CHARTS_DAY = ("occupancy", "visitors", "passers_by")
CHARTS_COUNT = ("heard_inside", "heard_outside")
FIRST_DATE, LAST_DATE = "1969-12-31", "2999-12-31"
"""A capture without a clock begins in 1970, west of Greenwich a day earlier; at the calendar's own ends no day has a neighbour."""
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the URL asks for."""

    site: Site
    date: str
    preset: str


class NotThere(Exception):
    """The URL asks for something that does not exist; the message is for the reader."""


class Dashboard:
    """The routes. ``now_ms`` is the clock; ``version`` grows whenever figures changed."""

    def __init__(self, database: Engine, fleet: Fleet, now_ms: Callable[[], int], version: Callable[[], int]) -> None:
        self._queries = Queries(database)
        self._fleet = fleet
        self._now_ms = now_ms
        self._version = version
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def routes(self) -> list[BaseRoute]:
        """What to mount."""
        return [
            Route("/", self.home),
            Route("/sites/{site}", self.day),
            Route("/sites/{site}/figures.json", self.figures),
            Mount("/static", StaticFiles(directory=FOLDER / "static")),
        ]

    async def home(self, _request: Request) -> Response:
        """The stores."""
        sites = await run_in_threadpool(self._fleet.sites)
        if len(sites) == 1:
            return RedirectResponse(f"/sites/{sites[0].site}", status_code=302)
        return self._page("home.html", sites=sites)

    async def day(self, request: Request) -> Response:
        """One day of one store."""
        try:
            asked = await run_in_threadpool(self._asked, request)
        except NotThere as error:
            return self._page("not_there.html", status=404, message=str(error))
        shown = await run_in_threadpool(self._shown, asked)
        return self._page("day.html", asked=asked, presets=presets(), **self._links(asked), **shown)

    async def figures(self, request: Request) -> Response:
        """The day as data."""
        try:
            asked = await run_in_threadpool(self._asked, request)
        except NotThere as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        shown = await run_in_threadpool(self._shown, asked)
        content = json.dumps(_as_data(shown), ensure_ascii=False, separators=(",", ":")).encode()
        etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return Response(content, media_type="application/json", headers={"ETag": etag})

    async def not_there(self, request: Request, _error: Exception) -> Response:
        """The answer where no route fits."""
        if request.url.path.startswith("/v1/"):
            return PlainTextResponse("there is no such route; agent/wire/SPEC.md, section 7 lists them\n", 404)
        return self._page("not_there.html", status=404, message="There is no page of that name.")

    # --- what is asked and shown --------------------------------------------------------------------------------------

    def _asked(self, request: Request) -> Asked:
        name = request.path_params["site"]
        site = self._fleet.site(name)
        if site is None:
            raise NotThere("There is no store of that name.")
        preset = request.query_params.get("preset") or OWN
        if preset not in presets():
            raise NotThere(f"There is no definition of that name; there are {', '.join(presets())}.")
        date = request.query_params.get("date") or self._default_date(site)
        try:
            date = Date.fromisoformat(date).isoformat()
        except ValueError:
            raise NotThere("The date cannot be read; write it as 2026-11-20.") from None
        if not FIRST_DATE <= date <= LAST_DATE:
            raise NotThere(f"There are days from {FIRST_DATE} to {LAST_DATE}.")
        return Asked(site, date, preset)

    def _default_date(self, site: Site) -> str:
        """Today; where replays are taken, the newest day that has anything."""
        today = site.date_of(self._now_ms())
        dates = self._queries.dates(site.site) if site.allows_replay else []
        return today if today in dates or not dates else dates[0]

    def _links(self, asked: Asked) -> dict[str, Any]:
        day = Date.fromisoformat(asked.date)
        today = asked.site.date_of(self._now_ms())
        return {
            "yesterday": (day - timedelta(days=1)).isoformat(),
            "tomorrow": (day + timedelta(days=1)).isoformat(),
            "today": today,
            "weekday": f"{day:%A}, {day.day} {day:%B %Y}",
            "is_today": asked.date == today,
        }

    def _shown(self, asked: Asked) -> dict[str, Any]:
        site, key = asked.site, (asked.site.site, asked.date, asked.preset)
        zone = site.zone()
        figures, quarters = self._queries.day(*key), self._queries.quarters(*key)
        ledger = self._queries.ledger(site.site, asked.date)
        is_count = site.legal_mode == "count"
        charts = CHARTS_COUNT if is_count else CHARTS_DAY
        busiest, when = view.peak(quarters.get(charts[0], []), zone)
        starts = _shown_starts(site, asked.date, quarters)
        return {
            "version": self._version(),
            "state": self._state(site, ledger),
            "is_count": is_count,
            "tiles": [] if is_count else view.tiles(figures, view.TILES),
            "small_tiles": [
                view.tile(charts[0], busiest, when),
                *([] if is_count else view.tiles(figures, view.SMALL_TILES)),
            ],
            "starts_s": [start // 1000 for start in starts],
            "time_zone": site.time_zone,
            "hours": "opening hours" if site.open_spans_ms(asked.date) else "day",
            "series": {metric: view.quarter_series(quarters.get(metric, []), starts) for metric in charts},
            "dwell": _dwell(self._queries.dwell(*key)),
            "table": _table(quarters, charts, starts, zone),
            "table_titles": [view.metrics()[metric]["title"] for metric in charts],
            "ledger": [_ledger_line(row, zone) for row in ledger],
        }

    def _state(self, site: Site, ledger: list[dict[str, Any]]) -> str:
        """'heard', 'silent' (access points, but nothing that day) or 'new' (no access point yet)."""
        if ledger:
            return "heard"
        return "silent" if self._queries.agents(site.site) else "new"

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(**values), status)


def _shown_starts(site: Site, date: str, quarters: dict[str, list[dict[str, Any]]]) -> list[int]:
    """The quarter-hours of the charts: an hour around the opening hours, or around what was heard, whichever is longer."""
    every = site.quarters_ms(date)
    spans = site.open_spans_ms(date)
    busy = [row["start_ms"] for rows in quarters.values() for row in rows if row["value"]]
    if not spans and not busy:
        return every
    first = min([begin - 3_600_000 for begin, _ in spans] + ([] if spans else [min(busy) - 3_600_000]))
    last = max([end + 3_600_000 for _, end in spans] + ([] if spans else [max(busy) + 4_500_000]))
    return [start for start in every if first <= start < last]


def _dwell(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Buckets; those of fewer than k visits are merged into their neighbour's silence: shown as none."""
    return [
        {
            "label": view.show_bucket(row["from_s"], row["to_s"]),
            "visits": row["visits"] if row["visits"] >= view.K else None,
        }
        for row in rows
    ]


def _table(
    quarters: dict[str, list[dict[str, Any]]], charts: tuple[str, ...], starts: list[int], zone: Any
) -> list[dict[str, Any]]:
    by_start = {metric: {row["start_ms"]: row for row in quarters.get(metric, [])} for metric in charts}
    return [
        {"time": view.clock(start, zone), "cells": [view.show_cell(by_start[metric].get(start)) for metric in charts]}
        for start in starts
    ]


def _ledger_line(row: dict[str, Any], zone: Any) -> dict[str, Any]:
    return {
        "agent": row["agent"],
        "frames": f"{row['frames']:,}".replace(",", "\u202f"),
        "probe_requests": f"{row['probe_requests']:,}".replace(",", "\u202f"),
        "skipped": f"{row['skipped']:,}".replace(",", "\u202f"),
        "lost": f"{row['kernel_drops'] + row['evicted_batches']:,}".replace(",", "\u202f"),
        "until": view.clock(row["last_window_end_ms"], zone),
    }


def _as_data(shown: dict[str, Any]) -> dict[str, Any]:
    """What the page's script needs; the tiles as they are read."""
    kept = ("state", "starts_s", "time_zone", "series", "dwell", "table", "ledger")
    tiles = {tile.metric: asdict(tile) for tile in [*shown["tiles"], *shown["small_tiles"]]}
    return {**{name: shown[name] for name in kept}, "tiles": tiles}
