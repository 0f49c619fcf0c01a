"""The gate of the pages and of the API over HTTP: finds out who asks before any handler runs, and turns away forged forms.

A handler of a page takes (request, visit); of a form (request, visit, fields); of the API (request, viewer). What has no gate in front of
it is in the list of a test, with the reason.

The cookie is HttpOnly and SameSite=Lax, and Secure with the prefix __Host- where the connection is TLS (RFC 6265bis). Each form carries a
key made for the session. Where the gate is ``open`` (`--open`, the demo), everybody on this machine is the owner of the merchant ``main``;
then only requests that name this machine are answered, so that no page on the web can reach in by a name of its own (DNS rebinding).
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from cloud.accounts.secrets import form_key_of, is_form_key, new_secret
from cloud.accounts.sessions import WHOLE_MS, Sessions
from cloud.accounts.tokens import ApiTokens
from cloud.accounts.viewer import LOCAL_LOGIN, MAIN, Viewer, of_role

COOKIE = "ivizone_session"
BROWSER_COOKIE = "ivizone_browser"
"""Of somebody who has not signed in: the sign-in form is bound to it."""
SIGN_IN = "/sign-in"
MAX_FORM_BYTES = 64 * 1024
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
Fields = Mapping[str, str]
Page = Callable[[Request, "Visit"], Awaitable[Response]]
Form = Callable[[Request, "Visit", Fields], Awaitable[Response]]
Api = Callable[[Request, Viewer], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]
Refusal = Callable[[Request, int, str], Response]
"""Makes the page that says why not: request, status, key of the text."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of one viewer. ``form_key`` goes into every form."""

    viewer: Viewer
    form_key: str
    secret: str
    """Of the session; for ending it."""
    is_open: bool = False


class Gate:
    """``refusal`` makes the page for somebody who is turned away."""

    def __init__(self, sessions: Sessions, tokens: ApiTokens, refusal: Refusal, *, is_open: bool = False) -> None:
        self._sessions = sessions
        self._tokens = tokens
        self._refusal = refusal
        self.is_open = is_open
        self._open_secret = new_secret()

    # --- what handlers are wrapped in -------------------------------------------------------------------------------

    def page(self, right: str | None, handler: Page) -> Endpoint:
        """A page for who has ``right``, or for whoever is signed in. Others are led to the sign-in."""

        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            visit = await self.visit(request)
            if visit is None:
                return self._to_sign_in(request)
            if right is not None and not visit.viewer.may(right):
                return self._refusal(request, 403, "refused.right")
            return await handler(request, visit)

        return endpoint

    def form(self, right: str | None, handler: Form) -> Endpoint:
        """A form for who has ``right``; it must carry the key that was made for the session."""

        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            visit = await self.visit(request)
            if visit is None:
                return self._to_sign_in(request)
            fields = await form_fields(request)
            if fields is None or not is_own_form(request, visit.secret, fields):
                return self._refusal(request, 403, "refused.form")
            if right is not None and not visit.viewer.may(right):
                return self._refusal(request, 403, "refused.right")
            return await handler(request, visit, fields)

        return endpoint

    def api(self, right: str, handler: Api) -> Endpoint:
        """Data for a token with the scope, or for a signed-in viewer with the right."""

        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            viewer = await self.api_viewer(request)
            if viewer is None:
                headers = {"WWW-Authenticate": "Bearer"}
                text = "send a token of the API: Authorization: Bearer ivzapi-...; make one on the page 'Account'"
                return JSONResponse({"error": text}, 401, headers)
            if not viewer.may(right):
                return JSONResponse({"error": f"this needs the scope {right}"}, 403)
            return await handler(request, viewer)

        return endpoint

    # --- who it is --------------------------------------------------------------------------------------------------

    async def visit(self, request: Request) -> Visit | None:
        """Who asks, None where nobody is signed in."""
        if self.is_open:
            if not is_local(request):
                return None
            return Visit(of_role(MAIN, LOCAL_LOGIN, "owner"), form_key_of(self._open_secret), self._open_secret, True)
        secret = session_secret(request)
        viewer = await run_in_threadpool(self._sessions.viewer, secret) if secret else None
        return Visit(viewer, form_key_of(secret), secret) if viewer and secret else None

    async def api_viewer(self, request: Request) -> Viewer | None:
        """Who asks the API: a token where one is sent, the session otherwise."""
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return await run_in_threadpool(self._tokens.viewer, secret.strip())
        visit = await self.visit(request)
        return visit.viewer if visit else None

    def _to_sign_in(self, request: Request) -> Response:
        if self.is_open:
            return PlainTextResponse(
                "with --open only this machine is answered, by the name localhost or 127.0.0.1\n", 403
            )
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN}?next={quote(wanted)}" if request.method == "GET" else SIGN_IN, 303)


def is_local(request: Request) -> bool:
    """True where the request names this machine and nothing else."""
    host = request.headers.get("host", "").lower()
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return name in LOCAL_HOSTS


def is_own_form(request: Request, secret: str, fields: Fields) -> bool:
    """True where a page of ours, made for this session or browser, sent the form."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    return is_form_key(secret, fields.get("form_key", ""))


async def form_fields(request: Request) -> dict[str, str] | None:
    """The fields of a form, joined by spaces where one comes several times. None where it is too long or none."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return None
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_FORM_BYTES:
            return None
        parts.append(part)
    try:
        found = parse_qs(b"".join(parts).decode(), keep_blank_values=True, max_num_fields=200, errors="strict")
    except ValueError:
        return None
    return {name: " ".join(values) for name, values in found.items()}


# --- cookies ------------------------------------------------------------------------------------------------------------


def cookie_name(request: Request, name: str) -> str:
    """The prefix has browsers refuse the cookie from anywhere but this host over TLS."""
    return f"__Host-{name}" if request.url.scheme == "https" else name


def session_secret(request: Request) -> str | None:
    """What the browser sent."""
    return request.cookies.get(cookie_name(request, COOKIE))


def set_session(request: Request, response: Response, secret: str) -> None:
    """Give the browser its session."""
    _set(request, response, COOKIE, secret, WHOLE_MS // 1000)


def forget_session(request: Request, response: Response) -> None:
    """Take it back."""
    _set(request, response, COOKIE, "", 0)


def browser_secret(request: Request) -> str | None:
    """What binds a form to a browser before anybody signed in."""
    return request.cookies.get(cookie_name(request, BROWSER_COOKIE))


def set_browser(request: Request, response: Response, secret: str) -> None:
    """Give the browser that."""
    _set(request, response, BROWSER_COOKIE, secret, 3600)


def _set(request: Request, response: Response, name: str, value: str, max_age_s: int) -> None:
    response.set_cookie(
        cookie_name(request, name),
        value,
        max_age=max_age_s,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def own_path(target: str) -> str:
    """A path of ours to lead somebody to, never another host's."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if is_ours else "/"


def safe_next(target: str) -> str:
    """Where to after signing in."""
    path = own_path(target)
    return "/" if path.startswith(SIGN_IN) else path
