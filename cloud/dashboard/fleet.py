"""Access points: how they are, what to look at, enrolling, configuring from afar with its history.

| route | answers |
| --- | --- |
| GET /fleet | all of them, alerts first |
| POST /fleet/enrol | a one-time code for a store, as text and as QR code; shown once |
| GET /fleet/{agent} | one: today, the last week, its configuration and every version of it |
| POST /fleet/{agent}/config, /fleet/{agent}/revoke | 303 |
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import date as Date
from datetime import timedelta
from typing import Any

import segno
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.gate import Fields, Gate, Visit
from cloud.accounts.viewer import CHANGE_FLEET, READ_FLEET, Viewer
from cloud.dashboard.queries import Queries
from cloud.dashboard.web import Pages, spoken_by
from cloud.domain.language import NONE, Language
from cloud.domain.site import Site, SiteError
from cloud.fleet.alerts import AgentDay, Alert, alerts_of, coverage_of
from cloud.fleet.desk import Desk
from cloud.fleet.options import OPTIONS, OptionError

WEEK = 7
Row = dict[str, Any]


class FleetPages:
    """The routes. ``now_ms`` is the clock."""

    def __init__(self, queries: Queries, desk: Desk, pages: Pages, now_ms: Callable[[], int]) -> None:
        self._queries = queries
        self._desk = desk
        self._pages = pages
        self._now_ms = now_ms

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """What to mount."""
        return [
            Route("/fleet", gate.page(READ_FLEET, self.fleet), methods=["GET"]),
            Route("/fleet/enrol", gate.form(CHANGE_FLEET, self.enrol), methods=["POST"]),
            Route("/fleet/{agent}", gate.page(READ_FLEET, self.agent), methods=["GET"]),
            Route("/fleet/{agent}/config", gate.form(CHANGE_FLEET, self.configure), methods=["POST"]),
            Route("/fleet/{agent}/revoke", gate.form(CHANGE_FLEET, self.revoke), methods=["POST"]),
        ]

    # --- all of them ------------------------------------------------------------------------------------------------

    async def fleet(self, request: Request, visit: Visit) -> Response:
        """The page."""
        return await run_in_threadpool(self._fleet, request, visit)

    def _fleet(self, request: Request, visit: Visit) -> Response:
        viewer, spoken = visit.viewer, spoken_by(request, visit)
        sites = {site.site: site for site in self._queries.sites(viewer)}
        rows, alerts = self._look(viewer, sites, spoken)
        return self._pages.page(
            request, "fleet.html", visit, here="fleet", sites=list(sites.values()), agents=rows, alerts=alerts
        )

    def _look(self, viewer: Viewer, sites: dict[str, Site], spoken: Language) -> tuple[list[Row], list[Row]]:
        now_ms = self._now_ms()
        today = {name: site.date_of(now_ms) for name, site in sites.items()}
        ledgers = {(row["agent"], row["date"]): row for row in self._desk.ledgers(viewer, sorted(set(today.values())))}
        rows, found = [], []
        for agent in self._desk.agents(viewer):
            site = sites[agent["site"]]
            day = _agent_day(agent, site, ledgers.get((agent["agent"], today[site.site])), now_ms)
            alerts = alerts_of(day, now_ms) if agent["state"] == "active" and not site.allows_replay else []
            rows.append(_row(agent, site, day, alerts, now_ms, spoken))
            found += [{"agent": alert.agent, "store": site.name, "text": _said(alert, spoken)} for alert in alerts]
        return rows, found

    # --- one --------------------------------------------------------------------------------------------------------

    async def agent(self, request: Request, visit: Visit) -> Response:
        """The page of one."""
        return await run_in_threadpool(self._agent, request, visit, request.path_params["agent"])

    def _agent(self, request: Request, visit: Visit, name: str, wrong: dict[str, str] | None = None) -> Response:
        viewer, spoken, now_ms = visit.viewer, spoken_by(request, visit), self._now_ms()
        agent = self._desk.agent(viewer, name)
        site = self._queries.site(viewer, agent["site"]) if agent else None
        if agent is None or site is None:
            return self._pages.refuse(request, 404, "not_there.agent")
        today = Date.fromisoformat(site.date_of(now_ms))
        dates = [(today - timedelta(days=n)).isoformat() for n in range(WEEK)]
        ledgers = {row["date"]: row for row in self._desk.ledgers(viewer, dates) if row["agent"] == name}
        day = _agent_day(agent, site, ledgers.get(dates[0]), now_ms)
        alerts = alerts_of(day, now_ms) if agent["state"] == "active" and not site.allows_replay else []
        configs = self._desk.configs(viewer, name)
        values = _texts(configs[0]["content"]) if configs else {}
        return self._pages.page(
            request,
            "agent.html",
            visit,
            status=422 if wrong else 200,
            here="fleet",
            store=site,
            agent=_row(agent, site, day, alerts, now_ms, spoken),
            alerts=[{"agent": name, "store": site.name, "text": _said(alert, spoken)} for alert in alerts],
            week=[_ledger_row(date, ledgers[date], site, now_ms, spoken) for date in dates if date in ledgers],
            options=[
                {
                    "name": option.name,
                    "default": _plain(option.default),
                    "low": _plain(option.low),
                    "high": _plain(option.high),
                    "value": (wrong or values).get(option.name, ""),
                }
                for option in OPTIONS
            ],
            error=(wrong or {}).get("error", ""),
            configs=[
                {
                    "version": config["version"],
                    "when": spoken.moment(config["made_ms"], site.zone()),
                    "by": config["made_by"],
                    "text": _content(config["content"]),
                    "values": _texts(config["content"]),
                }
                for config in configs
            ],
        )

    async def configure(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """A new version of the configuration."""
        name = request.path_params["agent"]
        try:
            await run_in_threadpool(self._desk.set_config, visit.viewer, name, dict(fields))
        except OptionError as error:
            wrong = {**fields, "error": str(error)}
            return await run_in_threadpool(self._agent, request, visit, name, wrong)
        except SiteError:
            return self._pages.refuse(request, 404, "not_there.agent")
        return RedirectResponse(f"/fleet/{name}", 303)

    async def revoke(self, request: Request, visit: Visit, _fields: Fields) -> Response:
        """Take nothing more from it."""
        if not await run_in_threadpool(self._desk.revoke, visit.viewer, request.path_params["agent"]):
            return self._pages.refuse(request, 404, "not_there.agent")
        return RedirectResponse("/fleet", 303)

    async def enrol(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """A one-time code."""
        site = await run_in_threadpool(self._queries.site, visit.viewer, fields.get("site", ""))
        if site is None:
            return self._pages.refuse(request, 404, "not_there.store")
        token = await run_in_threadpool(self._desk.make_token, visit.viewer, site.site)
        url = str(request.base_url).rstrip("/")
        command = f"ivizone-agent enrol {url} --token {token}"
        return self._pages.page(
            request, "enrol.html", visit, here="fleet", store=site, command=command, qr=_qr(command)
        )


def _agent_day(agent: Row, site: Site, ledger: Row | None, now_ms: int) -> AgentDay:
    begun_ms = max(site.day_bounds_ms(site.date_of(now_ms))[0], int(agent["created_ms"]))
    is_new = agent["last_received_ms"] is None
    return AgentDay(
        agent["agent"], agent["created_ms"], agent["last_received_ms"], agent["clock"], is_new, ledger, begun_ms
    )


def _row(agent: Row, site: Site, day: AgentDay, alerts: list[Alert], now_ms: int, spoken: Language) -> Row:
    coverage, ledger = coverage_of(day, now_ms), day.ledger
    state = "revoked" if agent["state"] == "revoked" else "new" if day.is_new else "trouble" if alerts else "well"
    last_ms = agent["last_received_ms"]
    return {
        "agent": agent["agent"],
        "site": site.site,
        "store": site.name,
        "state": state,
        "state_text": spoken.say(f"fleet.state.{state}"),
        "last": spoken.ago(now_ms - last_ms) if last_ms else NONE,
        "coverage": spoken.percent(coverage) if coverage is not None else NONE,
        "clock": spoken.say(f"fleet.clock.{agent['clock']}") if agent["clock"] in CLOCKS else NONE,
        "software": agent["software"],
        "frames": spoken.number(ledger["frames"]) if ledger else NONE,
        **_drops(ledger, spoken),
    }


CLOCKS = ("synced", "unsynced", "replay")


def _drops(ledger: Any, spoken: Language) -> dict[str, str]:
    if ledger is None:
        return {"skipped": NONE, "kernel_drops": NONE, "evicted": NONE, "reasons": ""}
    reasons = json.loads(ledger.get("skipped_reasons") or "{}")
    told = sorted(reasons.items(), key=lambda item: -item[1])
    return {
        "skipped": spoken.number(ledger["skipped"]),
        "kernel_drops": spoken.number(ledger["kernel_drops"]),
        "evicted": spoken.number(ledger["evicted_batches"]),
        "reasons": ", ".join(f"{_reason(reason, spoken)} {spoken.number(count)}" for reason, count in told),
    }


def _reason(name: str, spoken: Language) -> str:
    """In words; the name itself where an access point is newer than this page."""
    return spoken.texts.get(f"reason.{name}", name)


def _ledger_row(date: str, ledger: Row, site: Site, now_ms: int, spoken: Language) -> Row:
    start_ms, end_ms = site.day_bounds_ms(date)
    share = min(1.0, ledger["listening_ms"] / max(1, min(end_ms, now_ms) - start_ms))
    day = Date.fromisoformat(date)
    return {
        "day": f"{spoken.weekday(day.weekday())}, {spoken.short_date(day)}",
        "coverage": spoken.percent(share),
        "batches": spoken.number(ledger["batches"]),
        "frames": spoken.number(ledger["frames"]),
        **_drops(ledger, spoken),
    }


def _said(alert: Alert, spoken: Language) -> str:
    values: dict[str, str] = {}
    if "elapsed_ms" in alert.values:
        values["ago"] = spoken.ago(int(alert.values["elapsed_ms"]))
    if "share" in alert.values:
        values["share"] = spoken.percent(alert.values["share"], 1 if alert.kind == "drops" else 0)
    if "count" in alert.values:
        values["count"] = spoken.number(alert.values["count"])
    return spoken.say(f"alert.{alert.kind}", **values)


def _texts(content: dict[str, dict[str, float]]) -> dict[str, str]:
    return {
        f"{section}.{name}": _plain(value) for section, options in content.items() for name, value in options.items()
    }


def _plain(value: float) -> str:
    return str(round(value)) if value == round(value) else f"{value:g}"


def _content(content: dict[str, dict[str, float]]) -> str:
    return ", ".join(f"{name} {text}" for name, text in sorted(_texts(content).items())) or NONE


def _qr(text: str) -> str:
    """The code as SVG, without any style of its own: the page's policy allows none."""
    out = io.BytesIO()
    segno.make(text, error="m").save(
        out, kind="svg", xmldecl=False, svgns=True, omitsize=True, svgclass="qr", lineclass=None, border=3
    )
    return out.getvalue().decode()
