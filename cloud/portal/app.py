"""The store's page, the till and the merchant's offers over HTTP: this module only puts them together."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine
from starlette.routing import BaseRoute, Mount

from cloud.accounts.gate import Gate
from cloud.accounts.limits import Attempts
from cloud.fleet.registry import Fleet
from cloud.portal.editor import Editor
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
        self._attempts = Attempts(database, now_ms)
        self._editor = Editor(database, self.portal, self.till, now_ms)

    def routes(self) -> list[BaseRoute]:
        """What everybody may open, under /p: the shopper's page and the till's."""
        return [
            Mount("/p", routes=[*TillPages(self.portal, self.till, self._attempts).routes(), *self.portal.routes()])
        ]

    def merchant_routes(self, gate: Gate) -> list[BaseRoute]:
        """What a merchant may open, behind ``gate``."""
        return self._editor.routes(gate)
