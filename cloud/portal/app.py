"""The store's page and the till over HTTP: this module only puts them together, under /p."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine
from starlette.routing import BaseRoute, Mount

from cloud.fleet.registry import Fleet
from cloud.portal.page import Portal
from cloud.portal.till import Till
from cloud.portal.till_page import TillPages


class StorePage:
    """``now_ms`` is the clock; ``public_url`` what phones reach it by (None: what the request named)."""

    def __init__(
        self, database: Engine, fleet: Fleet, now_ms: Callable[[], int], public_url: str | None = None
    ) -> None:
        self.portal = Portal(database, fleet, now_ms, public_url)
        self.till = Till(database, now_ms)

    def routes(self) -> list[BaseRoute]:
        """What to mount."""
        tills = TillPages(self.portal, self.till)
        return [Mount("/p", routes=[*tills.routes(), *self.portal.routes()])]

    def purge(self) -> int:
        """Erase what is over; to be called each quarter-hour or so. Gives the number of shoppers forgotten."""
        return self.portal.shoppers.purge()
