"""What every page shares: templates, languages, and the pages that say why not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from cloud.accounts.gate import Page, Visit
from cloud.dashboard.words import language
from cloud.domain.language import CODES, NAMES, Language, accepted
from cloud.templates import environment

FOLDER = Path(__file__).parent
LANGUAGE_COOKIE = "ivizone_language"


class NotThere(Exception):
    """The URL asks for something that does not exist. ``key`` names the text that says so, ``values`` fill it."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


class Pages:
    """Templates -> answers. ``folders`` hold templates of pages that stand elsewhere and share the frame."""

    def __init__(self, *folders: Path) -> None:
        self._templates = environment(FOLDER / "templates", *folders)

    def page(
        self, request: Request, template: str, visit: Visit | None = None, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """A page in the reader's language."""
        spoken = self.spoken(request, visit)
        given = {"here": "", "site": None, "message": "", **values}
        text = self._templates.get_template(template).render(
            t=spoken.say, spoken=spoken, languages=NAMES, visit=visit, path=_path(request), **given
        )
        return HTMLResponse(text, status, {"Content-Language": spoken.code, "Vary": "Cookie, Accept-Language"})

    def spoken(self, request: Request, visit: Visit | None) -> Language:
        """The reader's language."""
        return spoken_by(request, visit)

    def work(self, handler: Callable[[Request, Visit], Response]) -> Page:
        """A handler that asks the database: off the event loop, and where it raises NotThere the page that says what is not there."""

        @functools.wraps(handler)
        async def worked(request: Request, visit: Visit) -> Response:
            try:
                return await run_in_threadpool(handler, request, visit)
            except NotThere as error:
                return self.refuse(request, 404, error.key, **error.values)

        return worked

    def refuse(self, request: Request, status: int, key: str, **values: object) -> Response:
        """The answer to something that cannot be had: data for who asks for data, a page for a person."""
        text = spoken_by(request, None).say(key, **values)
        if request.url.path.endswith(".json") or request.url.path.startswith("/api/"):
            return JSONResponse({"error": text}, status)
        title = "not_there.title" if status == 404 else "refused.title"
        return self.page(request, "not_there.html", status=status, title=title, message=text)

    async def not_there(self, request: Request, _error: Exception) -> Response:
        """The answer where no route fits."""
        if request.url.path.startswith("/v1/"):
            return PlainTextResponse("there is no such route; agent/wire/SPEC.md, section 7 lists them\n", 404)
        return self.refuse(request, 404, "not_there.page")


def spoken_by(request: Request, visit: Visit | None) -> Language:
    """The reader's language: what they chose, or what their browser asks for."""
    chosen = request.cookies.get(LANGUAGE_COOKIE) or (visit.viewer.language if visit else None)
    return language(chosen if chosen in CODES else accepted(request.headers.get("accept-language", "")))


def _path(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
