"""The till over HTTP: a page for a person at the counter, and the same for a till that is a program.

| route under /p/{site} | answers |
| --- | --- |
| GET, POST /till | the page; the token travels in the form, so that nothing is stored in the till's browser |
| POST /till/check, /till/redeem | JSON {"code"} with Authorization: Bearer ivztill-...; 200, 404 unknown, 409 used or expired |
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.limits import Attempts, neighbourhood
from cloud.accounts.secrets import hash_of
from cloud.domain.site import Site
from cloud.portal.limits import TILL_LIMITS, WINDOW_MS
from cloud.portal.page import HEADERS, Asked, Portal, Refused, day_text
from cloud.portal.till import EXPIRED, GOOD, REDEEMED, UNKNOWN, USED, Checked, Till
from cloud.portal.words import chosen

MAX_BODY_BYTES = 4096
STATUS = {GOOD: 200, REDEEMED: 200, USED: 409, EXPIRED: 409, UNKNOWN: 404}


@dataclass(frozen=True, slots=True)
class _Limited(Exception):
    wait_s: int


class TillPages:
    """The routes, beside the shopper's of ``portal``. ``attempts`` counts over all processes."""

    def __init__(self, portal: Portal, till: Till, attempts: Attempts) -> None:
        self._portal = portal
        self._till = till
        self._attempts = attempts

    def routes(self) -> list[BaseRoute]:
        """What to mount under /p."""
        return [
            Route("/{site}/till", self._portal.reads(self.form), methods=["GET"]),
            Route("/{site}/till", self._portal.acts(self.take), methods=["POST"]),
            Route("/{site}/till/check", self._api(self._till.check), methods=["POST"]),
            Route("/{site}/till/redeem", self._api(self._till.redeem), methods=["POST"]),
        ]

    # --- the page ---------------------------------------------------------------------------------------------------

    async def form(self, _request: Request, asked: Asked) -> Response:
        """The empty form."""
        return self._portal.html("till.html", asked, token="", typed="", found=None, error=None)

    async def take(self, request: Request, asked: Asked) -> Response:
        """A code: look, or use it."""
        fields: dict[str, str] = request.state.fields
        token, typed = fields.get("token", ""), fields.get("code", "")
        try:
            is_let_in = await run_in_threadpool(self._let_in, request, asked.site, token)
            work = self._till.redeem if fields.get("act") == "redeem" else self._till.check
            found = await run_in_threadpool(self._worked, work, asked.site, token, typed) if is_let_in else None
        except _Limited as limited:
            raise Refused(429, "limited", limited.wait_s) from None
        shown = _shown(found, asked) if found else None
        error = None if is_let_in else asked.spoken.say("till.refused")
        kept = token if is_let_in else ""
        return self._portal.html("till.html", asked, token=kept, typed=typed[:20], found=shown, error=error)

    # --- data -------------------------------------------------------------------------------------------------------

    def _api(self, work: Callable[[Site, str], Checked]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            site = await run_in_threadpool(self._portal.site, request)
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            spoken = chosen(None, request.headers.get("accept-language", ""))
            try:
                if (
                    site is None
                    or kind.lower() != "bearer"
                    or not await run_in_threadpool(self._let_in, request, site, token.strip())
                ):
                    headers = {**HEADERS, "WWW-Authenticate": "Bearer"}
                    return JSONResponse({"error": "send the token of a till of this store"}, 401, headers)
                typed = _code_in(await _body(request))
                if typed is None:
                    return JSONResponse({"error": 'send JSON such as {"code": "K7QXM-2PZ9D"}'}, 400, HEADERS)
                found = await run_in_threadpool(self._worked, work, site, token.strip(), typed)
            except _Limited as error:
                headers = {**HEADERS, "Retry-After": str(error.wait_s)}
                return JSONResponse({"error": f"too many wrong tries; wait {error.wait_s} s"}, 429, headers)
            words = (found.words or {}).get(spoken.code) or next(iter((found.words or {}).values()), None)
            answer = {
                "outcome": found.outcome,
                "title": words.title if words else None,
                "body": words.body if words else None,
                "last_date": found.last_date,
                "used_date": found.used_date,
            }
            return JSONResponse(answer, STATUS[found.outcome], HEADERS)

        return endpoint

    # --- both -------------------------------------------------------------------------------------------------------

    def _let_in(self, request: Request, site: Site, token: str) -> bool:
        """True for a token of the store. Wrong ones are counted against where they come from. Raises _Limited."""
        address = neighbourhood(request.client.host if request.client else "")
        self._within("till_token", address, count=False)
        if self._till.is_token(site, token):
            return True
        self._within("till_token", address, count=True)
        return False

    def _worked(self, work: Callable[[Site, str], Checked], site: Site, token: str, typed: str) -> Checked:
        """Look a code up or use it. Unknown ones are counted against the token. Raises _Limited."""
        self._within("till_code", hash_of(token), count=False)
        found = work(site, typed)
        if found.outcome == UNKNOWN:
            self._within("till_code", hash_of(token), count=True)
        return found

    def _within(self, kind: str, name: str, *, count: bool) -> None:
        ask = self._attempts.take if count else self._attempts.wait_s
        if wait_s := ask(TILL_LIMITS[kind], WINDOW_MS, kind, name):
            raise _Limited(wait_s)


def _shown(found: Checked, asked: Asked) -> dict[str, Any]:
    words = (found.words or {}).get(asked.spoken.code) or next(iter((found.words or {}).values()), None)
    day = found.used_date if found.outcome == USED else found.last_date
    spoken_day = day_text(day, asked.spoken) or ""
    text = asked.spoken.say(f"till.{found.outcome}", date=spoken_day)
    is_good = found.outcome in (GOOD, REDEEMED)
    return {"words": words, "text": text, "is_good": is_good, "may_redeem": found.outcome == GOOD}


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            return b""
        parts.append(part)
    return b"".join(parts)


def _code_in(body: bytes) -> str | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    code = found.get("code") if isinstance(found, dict) else None
    return code if isinstance(code, str) else None
