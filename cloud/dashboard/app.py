"""The merchant's pages over HTTP: this module only puts them together.

| route | answers |
| --- | --- |
| GET / | the stores; straight to the store where there is one |
| /sites/{site}... | ``day``: one day, as page, data and events |
| /stores, /sites/{site}/weeks, /sites/{site}/report | ``weeks``: several days, several stores, paper |
| /stores/groups | ``groups``: some of the stores under a name |
| /api/v1/..., /account/api | ``api``: data for programs, export; ``api_page``: what it can do |
| /fleet... | ``fleet``: access points |
| /setup, /sites/{site}/setup | ``setup``: the guide |
| /sign-in, /welcome, /account ... | ``people`` |
| GET /static/... | styles, scripts, the charting library; nothing comes from elsewhere |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from cloud.accounts.accounts import Accounts
from cloud.accounts.colleagues import Colleagues
from cloud.accounts.gate import Gate, Visit
from cloud.accounts.limits import SignInLimits
from cloud.accounts.passwords import Passwords
from cloud.accounts.sessions import Sessions
from cloud.accounts.tokens import ApiTokens
from cloud.accounts.viewer import READ_FIGURES
from cloud.dashboard.api import ApiRoutes
from cloud.dashboard.api_page import ApiPage
from cloud.dashboard.day import DayPages
from cloud.dashboard.fleet import FleetPages
from cloud.dashboard.groups import GroupPages
from cloud.dashboard.people import PeoplePages
from cloud.dashboard.queries import Queries
from cloud.dashboard.setup import SetupPages
from cloud.dashboard.web import Pages
from cloud.dashboard.weeks import WeekPages
from cloud.fleet.desk import Desk
from cloud.fleet.groups import Groups
from cloud.fleet.registry import Fleet

STATIC = Path(__file__).parent / "static"


class Dashboard:
    """The routes. ``now_ms`` is the clock. ``is_open`` lets everybody on this machine in as the owner (`--open`, the demo)."""

    def __init__(
        self,
        database: Engine,
        fleet: Fleet,
        now_ms: Callable[[], int],
        *,
        is_open: bool = False,
        passwords: Passwords | None = None,
    ) -> None:
        self.pages = Pages()
        self._queries = Queries(database)
        sessions, tokens = Sessions(database, now_ms), ApiTokens(database, now_ms)
        self.gate = Gate(sessions, tokens, self.pages.refuse, is_open=is_open)
        self.accounts = Accounts(database, passwords or Passwords(), now_ms)
        limits, colleagues = SignInLimits(database, now_ms), Colleagues(database, now_ms)
        self._people = PeoplePages(database, self.accounts, sessions, tokens, limits, colleagues, self.pages)
        self._day = DayPages(self._queries, self.pages, now_ms)
        groups = Groups(database, now_ms)
        self._weeks = WeekPages(self._queries, groups, self.pages, now_ms)
        self._groups = GroupPages(self._queries, groups, self.pages)
        desk = Desk(database, fleet, now_ms)
        self._api = ApiRoutes(self._queries, desk, groups, now_ms)
        self._api_page = ApiPage(self._queries, self.pages)
        self._fleet = FleetPages(self._queries, desk, self.pages, now_ms)
        self._setup = SetupPages(self._queries, desk, self.accounts, self.pages, now_ms)

    def routes(self) -> list[BaseRoute]:
        """What to mount."""
        return [
            Route("/", self.gate.page(None, self.home)),
            *self._people.routes(self.gate),
            *self._day.routes(self.gate),
            *self._weeks.routes(self.gate),
            *self._groups.routes(self.gate),
            *self._api.routes(self.gate),
            *self._api_page.routes(self.gate),
            *self._fleet.routes(self.gate),
            *self._setup.routes(self.gate),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    async def home(self, request: Request, visit: Visit) -> Response:
        """The stores."""
        sites = await run_in_threadpool(self._queries.sites, visit.viewer)
        if len(sites) == 1 and visit.viewer.may(READ_FIGURES):
            return RedirectResponse(f"/sites/{sites[0].site}", status_code=302)
        if sites and visit.viewer.may(READ_FIGURES):
            return await self.pages.work(self._weeks.stores)(request, visit)
        return self.pages.page(request, "home.html", visit, here="stores", sites=sites)

    async def not_there(self, request: Request, error: Exception) -> Response:
        """The answer where no route fits."""
        return await self.pages.not_there(request, error)
