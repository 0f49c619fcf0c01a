"""The set-up guide: from no store to the first devices heard, step by step, each showing whether it is done.

The sign for the door is the store's page's (``cloud.portal.notice``); the guide leads there.

| route | answers |
| --- | --- |
| GET, POST /setup | a new store |
| GET /sites/{site}/setup | the guide |
| POST /sites/{site}/setup/hours, /mode, /store, /contact | 303 to the guide |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import available_timezones

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.accounts import Accounts
from cloud.accounts.errors import AccountRefused
from cloud.accounts.gate import Fields, Gate, Visit
from cloud.accounts.viewer import CHANGE_SITES
from cloud.dashboard.queries import Queries
from cloud.dashboard.web import Pages, spoken_by
from cloud.domain.language import CODES
from cloud.domain.site import LEGAL_MODES, Hours, SiteError, parse_hours
from cloud.fleet.desk import Desk

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MANY_ZONES = ("Europe/Paris", "Europe/Lisbon", "Europe/London", "Europe/Brussels", "Europe/Madrid", "America/Sao_Paulo", "America/Montreal", "UTC")  # fmt: skip


class SetupPages:
    """The routes. ``now_ms`` is the clock."""

    def __init__(
        self, queries: Queries, desk: Desk, accounts: Accounts, pages: Pages, now_ms: Callable[[], int]
    ) -> None:
        self._queries = queries
        self._desk = desk
        self._accounts = accounts
        self._pages = pages
        self._now_ms = now_ms

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """What to mount."""
        return [
            Route("/setup", gate.page(CHANGE_SITES, self.new), methods=["GET"]),
            Route("/setup", gate.form(CHANGE_SITES, self.add), methods=["POST"]),
            Route("/sites/{site}/setup", gate.page(CHANGE_SITES, self.guide), methods=["GET"]),
            Route("/sites/{site}/setup/{step}", gate.form(CHANGE_SITES, self.change), methods=["POST"]),
        ]

    # --- a new store ------------------------------------------------------------------------------------------------

    async def new(self, request: Request, visit: Visit) -> Response:
        """The form."""
        return await run_in_threadpool(self._new, request, visit, {}, "")

    async def add(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """Take it."""
        return await run_in_threadpool(self._add, request, visit, fields)

    def _add(self, request: Request, visit: Visit, fields: Fields) -> Response:
        try:
            site = self._desk.add_site(visit.viewer, fields.get("name", ""), fields.get("time_zone", ""))
        except SiteError as error:
            return self._new(request, visit, fields, str(error))
        return RedirectResponse(f"/sites/{site.site}/setup", 303)

    def _new(self, request: Request, visit: Visit, fields: Fields, error: str) -> Response:
        sites = self._queries.sites(visit.viewer)
        return self._pages.page(
            request,
            "new_store.html",
            visit,
            status=422 if error else 200,
            here="setup",
            sites=sites,
            name=fields.get("name", ""),
            time_zone=fields.get("time_zone", "Europe/Paris"),
            zones=_zones(),
            error=error,
        )

    # --- the guide --------------------------------------------------------------------------------------------------

    async def guide(self, request: Request, visit: Visit) -> Response:
        """The page."""
        return await run_in_threadpool(self._guide, request, visit)

    def _guide(self, request: Request, visit: Visit, error: str = "", step: str = "") -> Response:
        viewer, spoken = visit.viewer, spoken_by(request, visit)
        site = self._queries.site(viewer, request.path_params["site"])
        if site is None:
            return self._pages.refuse(request, 404, "not_there.store")
        merchant = self._accounts.merchant_of(viewer)
        agents = self._queries.agents(viewer, site.site)
        newest = self._queries.newest_date(viewer, site.site)
        ledger = self._queries.ledger(viewer, site.site, newest) if newest else []
        heard = max((agent["last_received_ms"] or 0 for agent in agents), default=0)
        return self._pages.page(
            request,
            "setup.html",
            visit,
            status=422 if error else 200,
            here="setup",
            site=site,
            sites=self._queries.sites(viewer),
            merchant=merchant,
            zones=_zones(),
            hours=hours_as_text(site.opening_hours),
            modes=LEGAL_MODES,
            agents=agents,
            is_heard=bool(heard),
            heard=spoken.ago(self._now_ms() - heard) if heard else "",
            frames=spoken.number(sum(row["frames"] for row in ledger)),
            probe_requests=spoken.number(sum(row["probe_requests"] for row in ledger)),
            error=error,
            failed=step,
            codes=CODES,
        )

    async def change(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """Take one step's form."""
        return await run_in_threadpool(self._change, request, visit, fields)

    def _change(self, request: Request, visit: Visit, fields: Fields) -> Response:
        name, step = request.path_params["site"], request.path_params["step"]
        if self._queries.site(visit.viewer, name) is None:
            return self._pages.refuse(request, 404, "not_there.store")
        try:
            if step == "contact":
                self._accounts.change_merchant(visit.viewer, fields.get("name", ""), fields.get("contact", ""))
            elif (changes := _changes(step, fields)) is not None:
                self._desk.change_site(visit.viewer, name, **changes)
            else:
                return self._pages.refuse(request, 404, "not_there.page")
        except (SiteError, AccountRefused) as error:
            return self._guide(request, visit, str(error), step)
        return RedirectResponse(f"/sites/{name}/setup#{step}", 303)


def hours_as_text(hours: Hours) -> str:
    """As ``parse_hours`` reads them; days with the same hours go together."""
    parts: list[tuple[list[int], str, str]] = []
    for day in range(7):
        for opens, closes in hours.get(day, []):
            for days, begin, end in parts:
                if (begin, end) == (opens, closes) and days[-1] == day - 1:
                    days.append(day)
                    break
            else:
                parts.append(([day], opens, closes))
    return ", ".join(
        f"{WEEKDAYS[days[0]]}{'-' + WEEKDAYS[days[-1]] if len(days) > 1 else ''} {opens}-{closes}"
        for days, opens, closes in parts
    )


def _changes(step: str, fields: Fields) -> dict[str, Any] | None:
    if step == "hours":
        text = fields.get("hours", "").strip()
        return {"opening_hours": parse_hours(text) if text else {}}
    if step == "mode":
        return {"legal_mode": fields.get("mode", "")}
    if step == "store":
        return {"name": fields.get("name", "").strip(), "time_zone": fields.get("time_zone", "").strip()}
    return None


def _zones() -> list[str]:
    return [*MANY_ZONES, *sorted(zone for zone in available_timezones() - set(MANY_ZONES) if "/" in zone)]
