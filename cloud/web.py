"""Everything that a browser, a phone or an access point asks for, as one application, whichever parts stand behind it (shell)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import Engine as Database
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from cloud.dashboard.app import Dashboard
from cloud.dashboard.headers import SafeHeaders
from cloud.failures import note_failure, sorry
from cloud.fleet.registry import Fleet
from cloud.ingest.app import Ingest, Intake, PastTheRouter
from cloud.ingest.own import OwnAffairs
from cloud.portal.app import StorePage


class Application(Starlette):
    """Starlette, past all of whose layers batches go (docs/adr/0015-ingest-speed.md)."""

    def __init__(self, batches: ASGIApp, **options: Any) -> None:
        super().__init__(**options)
        self._ways = PastTheRouter(super().__call__, batches)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the begin and end of the server's life."""
        if scope["type"] != "http":
            return await self._ways(scope, receive, send)
        try:
            await self._ways(scope, receive, send)
        except Exception as error:
            note_failure(error)
            # RuntimeError: by it the server says that an answer has begun; it cuts the connection then.
            with suppress(RuntimeError):
                await sorry()(scope, receive, send)


def application(
    stream: Intake,
    database: Database,
    fleet: Fleet,
    now_ms: Callable[[], int],
    *,
    lifespan: Callable[[Starlette], Any],
    is_open: bool = False,
) -> Starlette:
    """Ingest, what access points settle for themselves, the merchant's pages and the store's. ``is_open`` turns sign-in off."""
    ingest = Ingest(stream, fleet, now_ms)

    @asynccontextmanager
    async def whole_life(app: Starlette) -> AsyncIterator[None]:
        async with lifespan(app):
            try:
                yield
            finally:
                ingest.batches.checker.close()

    own = OwnAffairs(database, fleet, now_ms)
    dashboard = Dashboard(database, fleet, now_ms, is_open=is_open)
    store_page = StorePage(database, fleet, now_ms)
    pages = [*dashboard.routes(), *store_page.merchant_routes(dashboard.gate), *store_page.routes()]
    return Application(
        ingest.batches,
        routes=[*ingest.routes(), *own.routes(), *pages],
        middleware=[Middleware(SafeHeaders)],
        exception_handlers={404: dashboard.not_there, 500: sorry},
        lifespan=whole_life,
    )
