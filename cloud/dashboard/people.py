"""Signing in and out, choosing a password, one's account: language, colleagues, tokens of the API, what was done.

| route | answers |
| --- | --- |
| GET, POST /sign-in | the form; 303 with a session |
| POST /sign-out | 303 without one |
| GET, POST /welcome/{secret} | choose a password by a one-time link; looking at it does not spend it |
| POST /language | 303 back, in another language |
| GET /account | the page |
| POST /account/tokens, /account/tokens/revoke | the page with the new token, shown once; 303 |
| POST /account/people, /account/people/link | the page with the link for somebody, shown once |
| POST /account/people/role, /account/people/remove | 303 |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.accounts import Accounts, login_of
from cloud.accounts.audit import entries
from cloud.accounts.colleagues import ColleagueRefused, Colleagues
from cloud.accounts.errors import AccountRefused, NotAllowed, SignInLimited
from cloud.accounts.gate import (
    SIGN_IN,
    Fields,
    Gate,
    Visit,
    browser_secret,
    forget_session,
    form_fields,
    is_own_form,
    own_path,
    safe_next,
    set_browser,
    set_session,
)
from cloud.accounts.limits import SignInLimits
from cloud.accounts.passwords import SHORTEST
from cloud.accounts.secrets import form_key_of, new_secret
from cloud.accounts.sessions import Sessions
from cloud.accounts.tokens import ApiTokens
from cloud.accounts.viewer import MANAGE_PEOPLE, MANAGE_TOKENS, READ_AUDIT, ROLES, SCOPES
from cloud.dashboard.web import LANGUAGE_COOKIE, Pages, spoken_by
from cloud.domain.language import CODES

log = structlog.get_logger()
YEAR_S = 365 * 86_400


class PeoplePages:
    """The routes."""

    def __init__(
        self,
        database: Engine,
        accounts: Accounts,
        sessions: Sessions,
        tokens: ApiTokens,
        limits: SignInLimits,
        colleagues: Colleagues,
        pages: Pages,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._sessions = sessions
        self._tokens = tokens
        self._limits = limits
        self._colleagues = colleagues
        self._pages = pages

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """What to mount. The first four have no gate in front: whoever comes there is not signed in yet."""
        return [
            Route(SIGN_IN, self.sign_in_form, methods=["GET"]),
            Route(SIGN_IN, self.sign_in, methods=["POST"]),
            Route("/welcome/{secret}", self.welcome, methods=["GET"]),
            Route("/welcome/{secret}", self.choose_password, methods=["POST"]),
            Route("/sign-out", gate.form(None, self.sign_out), methods=["POST"]),
            Route("/language", self._choosing_language(gate), methods=["POST"]),
            Route("/account", gate.page(None, self.account), methods=["GET"]),
            Route("/account/tokens", gate.form(MANAGE_TOKENS, self.make_token), methods=["POST"]),
            Route("/account/tokens/revoke", gate.form(MANAGE_TOKENS, self.revoke_token), methods=["POST"]),
            Route("/account/people", gate.form(MANAGE_PEOPLE, self.invite), methods=["POST"]),
            Route("/account/people/link", gate.form(MANAGE_PEOPLE, self.link), methods=["POST"]),
            Route("/account/people/role", gate.form(MANAGE_PEOPLE, self.change_role), methods=["POST"]),
            Route("/account/people/remove", gate.form(MANAGE_PEOPLE, self.remove), methods=["POST"]),
        ]

    # --- signing in ---------------------------------------------------------------------------------------------------

    async def sign_in_form(self, request: Request) -> Response:
        """The form."""
        return self._form(request, "sign_in.html", next=safe_next(request.query_params.get("next", "/")))

    async def sign_in(self, request: Request) -> Response:
        """Take the form."""
        fields = await form_fields(request)
        if fields is None or not is_own_form(request, browser_secret(request) or "", fields):
            return self._form(request, "sign_in.html", 403, error="refused.form", next="/")
        login, address = login_of(fields.get("login", "")), request.client.host if request.client else ""
        after = safe_next(fields.get("next", "/"))
        try:
            await run_in_threadpool(self._limits.begin, login, address)
        except SignInLimited as error:
            log.warning("sign_in_limited", refused=dict(self._limits.refused))
            minutes = -(-error.wait_s // 60)
            return self._form(
                request, "sign_in.html", 429, error="sign_in.limited", minutes=minutes, login=login, next=after
            )
        password = fields.get("password", "")
        if not await run_in_threadpool(self._accounts.has_signed_in_with, login, password):
            return self._form(request, "sign_in.html", 401, error="sign_in.wrong", login=login, next=after)
        await run_in_threadpool(self._limits.succeeded, login, address)
        return await self._signed_in(request, login, after)

    async def sign_out(self, request: Request, visit: Visit, _fields: Fields) -> Response:
        """End the session here and in the browser."""
        await run_in_threadpool(self._sessions.end, visit.secret)
        response = RedirectResponse(SIGN_IN, 303)
        forget_session(request, response)
        return response

    async def welcome(self, request: Request) -> Response:
        """The form of a one-time link."""
        login = await run_in_threadpool(self._accounts.link_login, request.path_params["secret"])
        if login is None:
            return self._pages.refuse(request, 410, "welcome.over")
        return self._form(request, "welcome.html", login=login, shortest=SHORTEST)

    async def choose_password(self, request: Request) -> Response:
        """Spend the link."""
        secret, fields = request.path_params["secret"], await form_fields(request)
        login = await run_in_threadpool(self._accounts.link_login, secret)
        if login is None:
            return self._pages.refuse(request, 410, "welcome.over")
        if fields is None or not is_own_form(request, browser_secret(request) or "", fields):
            return self._form(request, "welcome.html", 403, error="refused.form", login=login, shortest=SHORTEST)
        try:
            await run_in_threadpool(self._accounts.spend_link, secret, fields.get("password", ""))
        except AccountRefused:
            return self._form(request, "welcome.html", 422, error="welcome.refused", login=login, shortest=SHORTEST)
        return await self._signed_in(request, login, "/")

    async def _signed_in(self, request: Request, login: str, after: str) -> Response:
        response = RedirectResponse(after, 303)
        set_session(request, response, await run_in_threadpool(self._sessions.begin, login))
        return response

    def _form(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A form of somebody who is not signed in: its key is bound to their browser."""
        secret = browser_secret(request) or new_secret()
        given = {"error": "", "login": "", "minutes": 0, "shortest": SHORTEST, **values}
        answer = self._pages.page(request, template, status=status, form_key=form_key_of(secret), **given)
        set_browser(request, answer, secret)
        return answer

    # --- one's account ------------------------------------------------------------------------------------------------

    def _choosing_language(self, gate: Gate) -> Callable[[Request], Awaitable[Response]]:
        """Everybody may, signed in or not; nothing but a language can come of it. Of who is signed in it is remembered everywhere."""

        async def choose_language(request: Request) -> Response:
            fields = await form_fields(request) or {}
            chosen, response = fields.get("language", ""), RedirectResponse(own_path(fields.get("next", "/")), 303)
            if chosen in CODES:
                response.set_cookie(LANGUAGE_COOKIE, chosen, max_age=YEAR_S, httponly=True, samesite="lax")
                if visit := await gate.visit(request):
                    await run_in_threadpool(self._accounts.set_language, visit.viewer, chosen)
            return response

        return choose_language

    async def account(self, request: Request, visit: Visit) -> Response:
        """The page."""
        return await run_in_threadpool(self._account, request, visit)

    async def make_token(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """A new token; the page that answers is the only one to show it."""
        try:
            scopes = fields.get("scopes", "").split()
            made = await run_in_threadpool(self._tokens.make, visit.viewer, fields.get("label", ""), scopes)
        except AccountRefused:
            return await run_in_threadpool(self._account, request, visit, "", "account.token_refused", 422)
        return await run_in_threadpool(self._account, request, visit, made)

    async def revoke_token(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """End one."""
        if not await run_in_threadpool(self._tokens.revoke, visit.viewer, fields.get("token", "")):
            return self._pages.refuse(request, 404, "account.no_token")
        return RedirectResponse("/account", 303)

    # --- people -------------------------------------------------------------------------------------------------------

    async def invite(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """Somebody new; the page that answers is the only one to show their link."""

        def work() -> str:
            return self._colleagues.invite(visit.viewer, fields.get("login", ""), fields.get("role", ""))

        return await run_in_threadpool(self._worked, request, visit, fields, work)

    async def link(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """A new link for somebody."""

        def work() -> str:
            return self._colleagues.link(visit.viewer, fields.get("login", ""))

        return await run_in_threadpool(self._worked, request, visit, fields, work)

    async def change_role(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """Another role."""

        def work() -> None:
            self._colleagues.change_role(visit.viewer, fields.get("login", ""), fields.get("role", ""))

        return await run_in_threadpool(self._worked, request, visit, fields, work)

    async def remove(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """Let somebody go."""

        def work() -> None:
            self._colleagues.remove(visit.viewer, fields.get("login", ""))

        return await run_in_threadpool(self._worked, request, visit, fields, work)

    def _worked(self, request: Request, visit: Visit, fields: Fields, work: Callable[[], str | None]) -> Response:
        """Do it, and show the link that came of it, what stood in the way, or the page anew."""
        try:
            secret = work()
        except ColleagueRefused as error:
            if error.key == "people.not_there":
                return self._pages.refuse(request, 404, error.key)
            return self._account(request, visit, error=error.key, status=422)
        except SignInLimited:
            return self._account(request, visit, error="people.limited", status=429)
        except NotAllowed:
            return self._pages.refuse(request, 403, "refused.right")
        if secret is None:
            return RedirectResponse("/account#people", 303)
        url = f"{str(request.base_url).rstrip('/')}/welcome/{secret}"
        return self._account(request, visit, one_time_link=url, link_for=login_of(fields.get("login", "")))

    def _account(
        self, request: Request, visit: Visit, made: str = "", error: str = "", status: int = 200, **shown: str
    ) -> Response:
        viewer, spoken = visit.viewer, spoken_by(request, visit)
        zone_free = [{**entry, "when": _utc(entry["at_ms"])} for entry in entries(self._database, viewer)[:50]]
        return self._pages.page(
            request,
            "account.html",
            visit,
            status=status,
            here="account",
            merchant=self._accounts.merchant_of(viewer),
            colleagues=self._accounts.colleagues(viewer) if viewer.may(READ_AUDIT) else [],
            tokens=[
                {**token, "made": _utc(token["created_ms"]), "used": _utc(token["used_ms"])}
                for token in self._tokens.of(viewer)
            ]
            if viewer.may(MANAGE_TOKENS)
            else [],
            scopes=[scope for scope in SCOPES if viewer.may(scope)],
            may_make=viewer.may(MANAGE_TOKENS),
            audit=zone_free if viewer.may(READ_AUDIT) else [],
            roles=list(ROLES),
            made=made,
            error=error,
            language=spoken.code,
            **{"one_time_link": "", "link_for": "", **shown},
        )


def _utc(time_ms: int | None) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M") if time_ms else ""
