"""A store's page for tests: a merchant with stores, offers, a till, and shoppers who only have what is in a link."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from support.clouds import Clock, served

from cloud.accounts.viewer import of_role
from cloud.dashboard.headers import SafeHeaders
from cloud.databases.base import migrate
from cloud.databases.sqlite import sqlite_database
from cloud.domain.site import Site, parse_hours
from cloud.fleet.registry import Fleet
from cloud.portal.app import StorePage
from cloud.portal.offers import Audience, CodeRule, Offer, Trial, Words

VISIT = "a" * 24
OWNER = of_role("main", "owner@main", "owner")
BASE = "https://shop.example"


class Switch:
    """One server for all tests of a run: what it serves is changed by hand."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            return await self.app(scope, receive, send)
        for said in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{said}.complete"})
        return None


@contextmanager
def switched() -> Iterator[tuple[Switch, httpx.Client]]:
    """A server and a client of it, which follows redirects as a browser does."""
    switch = Switch()
    with served(switch) as client:
        client.follow_redirects = True
        yield switch, client


@cache
def migrated() -> Path:
    """A database with the newest schema and nothing in it, to be copied: the migrations are tested elsewhere."""
    path = Path(tempfile.mkdtemp(prefix="ivizone-")) / "ivizone.sqlite"
    database = sqlite_database(path)
    migrate(database)
    database.dispose()
    return path


@dataclass
class Store:
    """The shop of `main` in mode consent, its page over HTTP, and hands to write offers with."""

    folder: Path
    switch: Switch
    client: httpx.Client
    mode: str = "consent"
    time_zone: str = "Europe/Paris"
    database: Any = None
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        if self.database is None:
            shutil.copy(migrated(), self.folder / "ivizone.sqlite")
            self.database = sqlite_database(self.folder / "ivizone.sqlite")
        self.fleet = Fleet(self.database, self.clock)
        self.site = Site("shop", "The shop", self.time_zone, self.mode, opening_hours=parse_hours("10:00-19:00"))
        self.fleet.add_site(self.site)
        self.page = StorePage(self.database, self.fleet, self.clock, BASE)
        self.offers = self.page.portal.offers
        self.shoppers = self.page.portal.shoppers
        self.till = self.page.till
        self.switch.app = Starlette(routes=self.page.routes(), middleware=[Middleware(SafeHeaders)])

    def close(self) -> None:
        """Let go of the database."""
        self.client.cookies.clear()
        self.database.dispose()

    def offer(self, title: str = "Coffee for free", **changes: Any) -> Offer:
        """A running offer; ``audience`` may be a name, and ``is_draft`` leaves it one."""
        is_draft = changes.pop("is_draft", False)
        audience = changes.pop("audience", "everyone")
        audience = Audience(audience) if isinstance(audience, str) else audience
        usual = {
            "texts": {"a": {"en": Words(title, "With a cake.")}},
            "sites": frozenset({"shop"}),
            "codes": CodeRule(),
        }
        written = self.offers.save(OWNER, Offer("", "main", audience=audience, **{**usual, **changes}))
        if not is_draft:
            assert self.offers.start(OWNER, written.offer)
        return written

    def measured(self, title: str = "For you", audience: str = "agreed", **changes: Any) -> Offer:
        """A running offer with a trial."""
        return self.offer(title, audience=audience, **{"trial": Trial(), **changes})

    def shopper(self, **carried: str) -> Shopper:
        """Somebody with a phone, who has opened the page."""
        made = Shopper(self)
        made.open(**carried)
        return made

    def dump(self) -> str:
        """Everything that is in the database, as text."""
        with self.database.connect() as connection:
            raw = connection.connection.driver_connection
            return "\n".join(raw.iterdump())

    def rows(self, table: Any) -> list[dict[str, Any]]:
        """All rows of a table."""
        with self.database.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(table.select())]


class Shopper:
    """A phone: follows links and sends the forms that a page shows, and keeps nothing but the address of the last page."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.answer: httpx.Response | None = None

    def open(self, path: str = "", **query: str) -> httpx.Response:
        """Open a page of the store."""
        self.answer = self._store.client.get(f"/p/shop/{path}", params=query or None, headers={"accept-language": "en"})
        return self.answer

    def reload(self) -> httpx.Response:
        """The address once more, from nothing else."""
        self._store.client.cookies.clear()
        self.answer = self._store.client.get(str(self.answer.url), headers={"accept-language": "en"})
        return self.answer

    def send(self, action: str, number: int = 0, **changes: str) -> httpx.Response:
        """Send the page's form with that action, the ``number``-th if there are several."""
        form = [f for f in forms(self.answer.text) if f["action"].endswith(f"/{action}")][number]
        self._store.client.cookies.clear()
        self.answer = self._store.client.post(form["action"], data={**form["fields"], **changes})
        return self.answer

    def follow(self, text: str) -> httpx.Response:
        """Follow the link with that text."""
        target = next(href for href, words in links(self.answer.text) if words == text)
        self.answer = self._store.client.get(target)
        return self.answer

    def carried(self) -> dict[str, str]:
        """What the address carries."""
        return dict(parse_qsl(urlsplit(str(self.answer.url)).query))

    def text(self) -> str:
        """The page as it is read."""
        return plain(self.answer.text)

    def offers(self) -> list[str]:
        """The titles of the offers that are shown."""
        return re.findall(r'class="card offer">\s*<h3[^>]*>([^<]+)<', self.answer.text)

    def codes(self) -> list[str]:
        """The codes on the page."""
        return re.findall(r'class="code">([^<]+)<', self.answer.text)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.found.append({"action": given["action"], "fields": {}})
        elif tag == "input" and self.found and given.get("name"):
            self.found[-1]["fields"][given["name"]] = given.get("value") or ""


def forms(html: str) -> list[dict[str, Any]]:
    """The forms of a page: action and fields."""
    parser = _Forms()
    parser.feed(html)
    return parser.found


def links(html: str) -> list[tuple[str, str]]:
    """(address, words) of a page's links."""
    return [
        (unescape(href), plain(words)) for href, words in re.findall(r'<a [^>]*href="([^"]*)"[^>]*>(.*?)</a>', html)
    ]


def plain(html: str) -> str:
    """Without tags and style, spaces folded."""
    without = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", unescape(without)).strip()
