"""The JSON API, version 1, and the export. ``openapi.yaml`` beside this file describes it; schemathesis holds one to the other.

| route | scope |
| --- | --- |
| GET /api/v1/openapi.json | none |
| GET /api/v1/metrics, /presets, /groups, /sites, /sites/{site} | figures:read |
| GET /api/v1/sites/{site}/days?from=&to=&preset= | figures:read |
| GET /api/v1/sites/{site}/quarters?date=&preset= | figures:read |
| GET /api/v1/sites/{site}/dwell?date=&preset= | figures:read |
| GET /api/v1/sites/{site}/export?from=&to=&preset=&table=&format= | figures:read |
| GET /api/v1/agents | fleet:read |
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.gate import Gate
from cloud.accounts.viewer import READ_FIGURES, READ_FLEET, Viewer
from cloud.dashboard import view
from cloud.dashboard.asked import Asked, AskedDay, AskedRange
from cloud.dashboard.queries import Queries
from cloud.dashboard.web import NotThere
from cloud.dashboard.words import language
from cloud.domain.preset import presets
from cloud.domain.publish import PUBLISHED, Figure
from cloud.domain.site import Site
from cloud.fleet.desk import Desk
from cloud.fleet.groups import Groups, StoreGroup

DESCRIPTION = Path(__file__).with_name("openapi.yaml")
FORMATS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
TABLES = ("days", "quarters")
MAX_QUARTER_DAYS = 100
"""Days of quarter-hours in one export."""
Answer = Callable[[Request, Viewer], Any]


class ApiRoutes:
    """The routes. ``now_ms`` is the clock."""

    def __init__(self, queries: Queries, desk: Desk, groups: Groups, now_ms: Callable[[], int]) -> None:
        self._queries = queries
        self._desk = desk
        self._groups = groups
        self._asked = Asked(queries, now_ms)

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """What to mount."""

        def data(path: str, right: str, answer: Answer) -> Route:
            async def handler(request: Request, viewer: Viewer) -> Response:
                return await run_in_threadpool(_answered, answer, request, viewer)

            return Route(f"/api/v1/{path}", gate.api(right, handler), methods=["GET"])

        return [
            Route("/api/v1/openapi.json", self.description, methods=["GET"]),
            data("metrics", READ_FIGURES, lambda _request, _viewer: _metrics()),
            data("presets", READ_FIGURES, lambda _request, _viewer: [asdict(preset) for preset in presets().values()]),
            data("groups", READ_FIGURES, lambda _, viewer: [_group(group) for group in self._groups.of(viewer)]),
            data("sites", READ_FIGURES, lambda _, viewer: [_site(site) for site in self._queries.sites(viewer)]),
            data("sites/{site}", READ_FIGURES, lambda request, viewer: _site(self._site(request, viewer))),
            data("sites/{site}/days", READ_FIGURES, self._days),
            data("sites/{site}/quarters", READ_FIGURES, self._quarters),
            data("sites/{site}/dwell", READ_FIGURES, self._dwell),
            data("sites/{site}/export", READ_FIGURES, self._export),
            data("agents", READ_FLEET, lambda _, viewer: [_agent(row) for row in self._desk.agents(viewer)]),
        ]

    async def description(self, _request: Request) -> Response:
        """What can be asked, as OpenAPI 3.1."""
        return JSONResponse(described())

    def _site(self, request: Request, viewer: Viewer) -> Site:
        return self._asked.site(viewer, request.path_params["site"])

    def _days(self, request: Request, viewer: Viewer) -> dict[str, Any]:
        site = self._site(request, viewer)
        asked = self._asked.range(viewer, site, request.query_params)
        days = self._queries.days(viewer, [site.site], asked.dates(), asked.preset).get(site.site, {})
        return {
            "site": site.site,
            "preset": asked.preset,
            "from": asked.first,
            "to": asked.last,
            "days": [
                {"date": date, "figures": [_figure(f) for f in figures.values()]} for date, figures in days.items()
            ],
        }

    def _quarters(self, request: Request, viewer: Viewer) -> dict[str, Any]:
        asked = self._day(request, viewer)
        found = self._queries.quarters(viewer, asked.site.site, asked.date, asked.preset)
        quarters = [
            {"start": _time(figure.start_ms or 0), **_figure(figure)}
            for figures in found.values()
            for figure in figures
        ]
        return {"site": asked.site.site, "preset": asked.preset, "date": asked.date, "quarters": quarters}

    def _dwell(self, request: Request, viewer: Viewer) -> dict[str, Any]:
        asked = self._day(request, viewer)
        buckets = [
            {**asdict(bucket), "hidden": bucket.visits is None}
            for bucket in self._queries.dwell(viewer, asked.site.site, asked.date, asked.preset)
        ]
        return {"site": asked.site.site, "preset": asked.preset, "date": asked.date, "buckets": buckets}

    def _day(self, request: Request, viewer: Viewer) -> AskedDay:
        return self._asked.day(viewer, request.path_params["site"], request.query_params)

    # --- export -----------------------------------------------------------------------------------------------------

    def _export(self, request: Request, viewer: Viewer) -> Response:
        site, parameters = self._site(request, viewer), request.query_params
        asked = self._asked.range(viewer, site, parameters)
        table, form = parameters.get("table", "days"), parameters.get("format", "csv")
        if table not in TABLES or form not in FORMATS:
            raise NotThere("not_there.format", formats=f"table={'|'.join(TABLES)}, format={'|'.join(FORMATS)}")
        if table == "quarters" and len(asked.dates()) > MAX_QUARTER_DAYS:
            raise NotThere("not_there.range", days=MAX_QUARTER_DAYS)
        rows = list(self._day_rows(viewer, site, asked) if table == "days" else self._quarter_rows(viewer, site, asked))
        made = table_of(rows)
        content = to_csv(made) if form == "csv" else to_parquet(made)
        name = f"{site.site}-{table}-{asked.first}-{asked.last}-{asked.preset}.{form}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=FORMATS[form], headers=headers)

    def _day_rows(self, viewer: Viewer, site: Site, asked: AskedRange) -> Iterator[dict[str, Any]]:
        days = self._queries.days(viewer, [site.site], asked.dates(), asked.preset).get(site.site, {})
        for date, figures in days.items():
            for figure in figures.values():
                yield {**_row_key(site, asked, date), "start": None, **_figure(figure)}

    def _quarter_rows(self, viewer: Viewer, site: Site, asked: AskedRange) -> Iterator[dict[str, Any]]:
        found = self._queries.quarters_of_days(viewer, site.site, asked.dates(), asked.preset)
        for date, metrics in sorted(found.items()):
            for figures in metrics.values():
                for figure in figures:
                    yield {**_row_key(site, asked, date), "start": _time(figure.start_ms or 0), **_figure(figure)}


SCHEMA = pa.schema(
    [
        pa.field("site", pa.string()),
        pa.field("preset", pa.string()),
        pa.field("date", pa.string()),
        pa.field("start", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("coverage", pa.float64()),
        pa.field("hidden", pa.bool_()),
    ]
)
"""Of an export; times are ISO 8601 in UTC, shares 0..1, stays seconds. ``hidden``: the value is left out, because it rests on fewer than
five devices or would give such a one away."""


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows in the schema of an export."""
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def to_csv(table: pa.Table) -> bytes:
    """RFC 4180, a comma between fields and a point in numbers, whatever the reader's language: it is for machines."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(table.column_names)
    for row in table.to_pylist():
        writer.writerow(
            [
                "" if value is None else str(value).lower() if isinstance(value, bool) else value
                for value in row.values()
            ]
        )
    return out.getvalue().encode()


def to_parquet(table: pa.Table) -> bytes:
    """The same as Parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    made: bytes = sink.getvalue().to_pybytes()
    return made


def _row_key(site: Site, asked: AskedRange, date: str) -> dict[str, Any]:
    return {"site": site.site, "preset": asked.preset, "date": date}


def _answered(answer: Answer, request: Request, viewer: Viewer) -> Response:
    try:
        found = answer(request, viewer)
    except NotThere as error:
        return JSONResponse({"error": language("en").say(error.key, **error.values)}, 404)
    return found if isinstance(found, Response) else JSONResponse(found)


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "metric": figure.metric,
        "unit": view.metrics()[figure.metric]["unit"],
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "coverage": figure.coverage,
        "hidden": figure.is_hidden,
    }


def _metrics() -> list[dict[str, str]]:
    shown = (*PUBLISHED, "occupancy", "heard_inside", "heard_outside")
    return [{"metric": metric, **about} for metric, about in view.metrics().items() if metric in shown]


def _site(site: Site) -> dict[str, Any]:
    return {
        "site": site.site,
        "name": site.name,
        "time_zone": site.time_zone,
        "legal_mode": site.legal_mode,
        "opening_hours": {str(day): [list(span) for span in spans] for day, spans in site.opening_hours.items()},
    }


def _group(group: StoreGroup) -> dict[str, Any]:
    return {"group": group.group, "name": group.name, "sites": sorted(group.sites)}


def _agent(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "agent": row["agent"],
        "site": row["site"],
        "state": row["state"],
        "software": row["software"],
        "clock": row["clock"],
        "last_batch": _time(row["last_batch_ms"]) if row["last_batch_ms"] else None,
        "last_received": _time(row["last_received_ms"]) if row["last_received_ms"] else None,
    }


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def described() -> dict[str, Any]:
    """``openapi.yaml``."""
    loaded: dict[str, Any] = yaml.safe_load(DESCRIPTION.read_text())
    return loaded
