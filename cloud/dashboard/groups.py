"""Groups of stores: making, changing and dissolving them. What a group is for stands in ``cloud.fleet.groups``.

| route | answers |
| --- | --- |
| GET, POST /stores/groups | the groups; a new one |
| POST /stores/groups/{group}, /stores/groups/{group}/dissolve | 303 |
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.gate import Fields, Gate, Visit
from cloud.accounts.viewer import CHANGE_OFFERS, READ_FIGURES
from cloud.dashboard.queries import Queries
from cloud.dashboard.web import Pages
from cloud.fleet.groups import LONGEST, GroupError, Groups

HERE = "/stores/groups"


class GroupPages:
    """The routes."""

    def __init__(self, queries: Queries, groups: Groups, pages: Pages) -> None:
        self._queries = queries
        self._groups = groups
        self._pages = pages

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """What to mount."""
        return [
            Route(HERE, gate.page(READ_FIGURES, self.groups), methods=["GET"]),
            Route(HERE, gate.form(CHANGE_OFFERS, self.make), methods=["POST"]),
            Route(f"{HERE}/{{group}}", gate.form(CHANGE_OFFERS, self.change), methods=["POST"]),
            Route(f"{HERE}/{{group}}/dissolve", gate.form(CHANGE_OFFERS, self.dissolve), methods=["POST"]),
        ]

    async def groups(self, request: Request, visit: Visit) -> Response:
        """The page."""
        return await run_in_threadpool(self._page, request, visit)

    async def make(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """A new one."""
        return await run_in_threadpool(self._make, request, visit, fields)

    async def change(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """Another name, other stores."""
        return await run_in_threadpool(self._change, request, visit, fields)

    async def dissolve(self, request: Request, visit: Visit, _fields: Fields) -> Response:
        """Let one go."""
        if not await run_in_threadpool(self._groups.dissolve, visit.viewer, request.path_params["group"]):
            return self._pages.refuse(request, 404, "groups.not_there")
        return RedirectResponse(HERE, 303)

    def _make(self, request: Request, visit: Visit, fields: Fields) -> Response:
        try:
            self._groups.make(visit.viewer, fields.get("name", ""), fields.get("sites", "").split())
        except GroupError as error:
            return self._page(request, visit, error.key, fields)
        return RedirectResponse(HERE, 303)

    def _change(self, request: Request, visit: Visit, fields: Fields) -> Response:
        group, wanted = request.path_params["group"], fields.get("sites", "").split()
        try:
            changed = self._groups.change(visit.viewer, group, fields.get("name", ""), wanted)
        except GroupError as error:
            return self._page(request, visit, error.key)
        if changed is None:
            return self._pages.refuse(request, 404, "groups.not_there")
        return RedirectResponse(HERE, 303)

    def _page(self, request: Request, visit: Visit, error: str = "", fields: Fields | None = None) -> Response:
        return self._pages.page(
            request,
            "groups.html",
            visit,
            status=422 if error else 200,
            here="stores",
            stores=self._queries.sites(visit.viewer),
            groups=self._groups.of(visit.viewer),
            may=visit.viewer.may(CHANGE_OFFERS),
            longest=LONGEST,
            error=error,
            fields=fields or {},
        )
