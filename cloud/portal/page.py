"""The store's page over HTTP: what a shopper sees.

| route under /p/{site} | answers |
| --- | --- |
| GET / | the page: offers, codes, the question |
| GET /api | the captive portal API (RFC 8908): nobody is held up |
| GET /consent?visit= | yes, no or open, for the access point (firmware_hooks/openwrt/opennds) |
| POST /agree, /refuse, /withdraw, /erase | the shopper's answers; each leads back to the page |
| POST /code | draw a code |
| GET /mine, /mine.json | what is kept of whoever carries the link |
| GET /privacy, /sign, /qr.svg | the notice, the sign to print, the QR code |
| GET and POST /opt-out | the form by which a device is left out of the counting |

A page is one request: its style is in it and its policy names the style's hash; no script, no cookie, no other address. Tokens travel in
the link and in forms, because a captive browser forgets everything else; no answer tells a referrer. A parameter that is not in
``Asked`` is read by nobody, and those by which openNDS would send an address are refused.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Engine, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.gate import form_fields
from cloud.accounts.limits import neighbourhood
from cloud.databases.tables import merchants
from cloud.domain.language import CODES, NAMES, Language
from cloud.domain.opt_out import SECTION_BYTES, FilterFull, is_private, read_address
from cloud.domain.site import Site
from cloud.fleet.opt_outs import OptOuts
from cloud.fleet.registry import Fleet
from cloud.portal.consent import NO, OPEN, consent_text
from cloud.portal.limits import Limits
from cloud.portal.network import CAPTIVE_JSON, api_answer, page_url, qr_svg
from cloud.portal.notice import Controller, asks, notice_sections, sign_paragraphs
from cloud.portal.offer_store import HeldCode, OfferStore
from cloud.portal.shoppers import Carried, Shopper, Shoppers
from cloud.portal.targeting import Due, Known, due_offers
from cloud.portal.tokens import SEED_BYTES, code_of, new_token, spaced, token_of
from cloud.portal.words import chosen
from cloud.templates import environment

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "templates" / "portal.css").read_text()
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
FORBIDDEN = frozenset({"fas", "iv", "clientmac", "client_mac", "mac", "clientip", "client_ip", "gatewaymac"})
"""By these openNDS's forwarding (FAS) sends a phone's address, at every level above 0."""
SAID = frozenset({"agreed", "refused", "withdrawn", "erased", "sold_out", "gone", "taken"})
FEW_LEFT = 20
Handler = Callable[[Request, "Asked"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request says: everything that is read of it."""

    site: Site
    controller: Controller
    spoken: Language
    carried: Carried
    ticket: str | None = None
    """Of somebody who did not agree: their codes grow from it. It is in the link only."""
    said: str | None = None
    offer: str = ""
    number: int = 0
    base: str = ""

    def seeds(self, shopper: Shopper | None) -> tuple[bytes, ...]:
        """What codes grow from: the shopper's seeds, or of who did not agree the day's token of the access point; and the ticket's."""
        own = shopper.seeds if shopper else seeds_of_day(self.carried.visit)
        return (*own, seed_of_ticket(self.ticket)) if self.ticket else own

    def link(self, path: str = "", **more: str | None) -> str:
        """The address of a page of this store that carries on what was carried."""
        kept = {
            "visit": self.carried.visit,
            "visitor": self.carried.visitor,
            "ticket": self.ticket,
            "lang": self.spoken.code,
            **more,
        }
        return f"/p/{self.site.site}/{path}?{urlencode({name: value for name, value in kept.items() if value})}"


class Refused(Exception):
    """The request cannot be answered; the key of the text, and the status."""

    def __init__(self, status: int, said: str, wait_s: int = 0) -> None:
        super().__init__(said)
        self.status, self.said, self.wait_s = status, said, wait_s


class Portal:
    """The shopper's routes. ``now_ms`` is the clock; ``public_url`` what stands before /p/ (None: what the request named)."""

    def __init__(
        self, database: Engine, fleet: Fleet, now_ms: Callable[[], int], public_url: str | None = None
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._now_ms = now_ms
        self._public_url = public_url
        self.limits = Limits(now_ms)
        self.offers = OfferStore(database, now_ms)
        self.shoppers = Shoppers(database, now_ms)
        self.opt_outs = OptOuts(database, now_ms)
        self._templates = environment(FOLDER / "templates")

    def routes(self) -> list[BaseRoute]:
        """What to mount under /p."""
        gets = {
            "/": self.page,
            "": self.page,
            "/api": self.api,
            "/consent": self.consent,
            "/mine": self.mine,
            "/mine.json": self.export,
            "/privacy": self.privacy,
            "/sign": self.sign,
            "/qr.svg": self.qr,
            "/opt-out": self.opt_out_form,
        }
        posts = {
            "/agree": self.agree,
            "/refuse": self.refuse,
            "/withdraw": self.withdraw,
            "/erase": self.erase,
            "/code": self.code,
            "/opt-out": self.opt_out,
        }
        return [
            *(Route(f"/{{site}}{path}", self.reads(handler)) for path, handler in gets.items()),
            *(Route(f"/{{site}}{path}", self.acts(handler), methods=["POST"]) for path, handler in posts.items()),
        ]

    # --- pages ------------------------------------------------------------------------------------------------------

    async def page(self, _request: Request, asked: Asked) -> Response:
        """The shopper's page."""
        asked, shown = await run_in_threadpool(self._page, asked)
        return self.html("page.html", asked, **shown)

    def _page(self, asked: Asked) -> tuple[Asked, dict[str, Any]]:
        site = asked.site
        shopper = self.shoppers.recognise(site, asked.carried)
        known = self._known(site, shopper)
        due = due_offers(self.offers.running(site), site, self._now_ms(), known)
        if known:
            self.offers.enter(site, known, due)
        seeds = asked.seeds(shopper)
        held = self.offers.held(site, seeds)
        cards = [card(one, asked.spoken, held, seeds) for one in due if one.is_shown()]
        cards = [one for one in cards if one["number"] is not None or not one["has_code"]]  # else it is among the codes
        today = site.date_of(self._now_ms())
        if not seeds and any(one["number"] is not None for one in cards):
            asked = replace(asked, ticket=new_token(secrets.token_bytes))
        return asked, {
            "shopper": shopper,
            "agrees": known is not None,
            "question": consent_text(asked.spoken, asked.controller.name) if asks(site) and known is None else None,
            "is_folded": self._has_answered(asked, shopper),
            "cards": cards,
            "codes": [shown_code(one, asked.spoken) for one in held if one.last_date >= today],
            "hours": [f"{opens}–{closes}" for opens, closes in hours_of(site, today)],
            "said": self._said(asked, shopper),
        }

    def _known(self, site: Site, shopper: Shopper | None) -> Known | None:
        """What targeting may know: nothing of whoever did not agree, and nothing where the store's mode knows nobody."""
        return self.shoppers.arrive(site, shopper) if shopper and shopper.agrees() and asks(site) else None

    def _has_answered(self, asked: Asked, shopper: Shopper | None) -> bool:
        if shopper or asked.said in ("refused", "withdrawn", "erased"):
            return True
        return asked.carried.visit is not None and self.shoppers.answer(asked.site, asked.carried.visit) == NO

    def _said(self, asked: Asked, shopper: Shopper | None) -> str | None:
        if asked.said is None or (asked.said == "agreed" and shopper is None):
            return None
        receipt = {"receipt": shopper.consent} if shopper and asked.said == "agreed" else {}
        return asked.spoken.say(f"said.{asked.said}", **receipt)

    async def api(self, _request: Request, asked: Asked) -> Response:
        """The captive portal API."""
        headers = {**HEADERS, "Cache-Control": "private, max-age=600"}
        return JSONResponse(api_answer(page_url(asked.base, asked.site.site)), media_type=CAPTIVE_JSON, headers=headers)

    async def consent(self, _request: Request, asked: Asked) -> Response:
        """What the access point asks before it makes a lasting token."""
        visit = asked.carried.visit
        answer = OPEN
        if visit and asks(asked.site):
            answer = await run_in_threadpool(self.shoppers.answer, asked.site, visit)
        return PlainTextResponse(answer, headers=HEADERS)

    async def privacy(self, _request: Request, asked: Asked) -> Response:
        """The notice."""
        return self.html("privacy.html", asked, sections=notice_sections(asked.spoken, asked.site, asked.controller))

    async def sign(self, _request: Request, asked: Asked) -> Response:
        """The sign, to print."""
        url = page_url(asked.base, asked.site.site)
        paragraphs = sign_paragraphs(asked.spoken, asked.site, asked.controller)
        return self.html("sign.html", asked, paragraphs=paragraphs, url=url, qr=qr_svg(url))

    async def qr(self, _request: Request, asked: Asked) -> Response:
        """The QR code alone."""
        url = page_url(asked.base, asked.site.site)
        return Response(qr_svg(url), media_type="image/svg+xml", headers=HEADERS)

    async def mine(self, _request: Request, asked: Asked) -> Response:
        """What is kept of whoever carries the link."""
        shopper = await run_in_threadpool(self.shoppers.recognise, asked.site, asked.carried)
        kept = await run_in_threadpool(self.shoppers.export, asked.site, shopper) if shopper else None
        return self.html("mine.html", asked, kept=kept, moment=self._moment(asked))

    async def export(self, _request: Request, asked: Asked) -> Response:
        """The same as data."""
        shopper = await run_in_threadpool(self.shoppers.recognise, asked.site, asked.carried)
        if shopper is None:
            return JSONResponse({"error": "nothing is kept under this link"}, 404, HEADERS)
        kept = await run_in_threadpool(self.shoppers.export, asked.site, shopper)
        return JSONResponse(kept, headers={**HEADERS, "Content-Disposition": 'attachment; filename="my-data.json"'})

    # --- what a shopper does ----------------------------------------------------------------------------------------

    async def agree(self, request: Request, asked: Asked) -> Response:
        """Yes."""
        self._limit(request, "answer")
        if not asks(asked.site):
            raise Refused(404, "not_there")
        text = consent_text(asked.spoken, asked.controller.name)
        seeds = asked.seeds(None)
        visitor = await run_in_threadpool(self.shoppers.agree, asked.site, asked.carried, text, seeds)
        carried = replace(asked.carried, visitor=visitor)
        return back(replace(asked, carried=carried, ticket=None), "agreed")

    async def refuse(self, request: Request, asked: Asked) -> Response:
        """No."""
        self._limit(request, "answer")
        await run_in_threadpool(self.shoppers.refuse, asked.site, asked.carried)
        return back(asked, "refused")

    async def withdraw(self, request: Request, asked: Asked) -> Response:
        """Not any more."""
        self._limit(request, "erase")
        shopper = await run_in_threadpool(self.shoppers.recognise, asked.site, asked.carried)
        if shopper:
            await run_in_threadpool(self.shoppers.withdraw, shopper)
        return back(asked, "withdrawn")

    async def erase(self, request: Request, asked: Asked) -> Response:
        """Forget me."""
        self._limit(request, "erase")
        shopper = await run_in_threadpool(self.shoppers.recognise, asked.site, asked.carried)
        if shopper:
            await run_in_threadpool(self.shoppers.erase, shopper)
        return back(replace(asked, carried=Carried(), ticket=None), "erased")

    async def opt_out_form(self, _request: Request, asked: Asked) -> Response:
        """How to be left out of the counting, and how far that reaches."""
        return self._opt_out_page(asked, None)

    async def opt_out(self, request: Request, asked: Asked) -> Response:
        """Leave a device out. Its address is in the memory of this request and nowhere else: it becomes bits of the store's filter, and
        no answer repeats it."""
        self._limit(request, "opt_out")
        address = read_address(request.state.fields.get("device", ""))
        if address is None:
            return self._opt_out_page(asked, "opt_out.unreadable")
        try:
            await run_in_threadpool(self.opt_outs.add, asked.site.site, address)
        except FilterFull:
            return self._opt_out_page(asked, "opt_out.full")
        said = "opt_out.done_private" if is_private(address) else "opt_out.done"
        return self._opt_out_page(asked, said, is_done=True)

    def _opt_out_page(self, asked: Asked, said: str | None, *, is_done: bool = False) -> Response:
        bits = asked.spoken.number(8 * SECTION_BYTES)
        return self.html("opt-out.html", asked, said=said, is_done=is_done, bits=bits)

    async def code(self, request: Request, asked: Asked) -> Response:
        """Draw a code."""
        self._limit(request, "code")
        return back(asked, await run_in_threadpool(self._draw, asked))

    def _draw(self, asked: Asked) -> str:
        shopper = self.shoppers.recognise(asked.site, asked.carried)
        seeds = asked.seeds(shopper)
        if not seeds:
            return "gone"
        known = self._known(asked.site, shopper)
        return self.offers.draw(asked.site, asked.offer, known, seeds, asked.number)

    # --- requests ---------------------------------------------------------------------------------------------------

    def reads(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A route that reads the address."""

        async def endpoint(request: Request) -> Response:
            return await self._answer(request, handler, request.query_params)

        return endpoint

    def acts(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A route that reads a form. The request keeps its fields, for a handler that needs more than ``Asked``."""

        async def endpoint(request: Request) -> Response:
            request.state.fields = await form_fields(request) or {}
            return await self._answer(request, handler, request.state.fields)

        return endpoint

    async def _answer(self, request: Request, handler: Handler, fields: Mapping[str, str]) -> Response:
        spoken = chosen(fields.get("lang"), request.headers.get("accept-language", ""))
        try:
            asked = await run_in_threadpool(self._asked, request, fields, spoken)
            return await handler(request, asked)
        except Refused as error:
            wait = {"Retry-After": str(error.wait_s)} if error.wait_s else {}
            text = spoken.say(f"said.{error.said}", **({"minutes": 1 + error.wait_s // 60} if wait else {}))
            content = self._templates.get_template("refused.html").render(spoken=spoken, style=STYLE, text=text)
            return HTMLResponse(content, error.status, {**HEADERS, **wait})

    def _asked(self, request: Request, fields: Mapping[str, str], spoken: Language) -> Asked:
        """Raises Refused."""
        if FORBIDDEN & {*fields, *request.query_params}:
            raise Refused(400, "forwarded")
        site = self.site(request)
        if site is None:
            raise Refused(404, "not_there")
        said, number = fields.get("said"), fields.get("number", "0")
        return Asked(
            site,
            self.controller(site),
            spoken,
            Carried(token_of(fields.get("visit")), token_of(fields.get("visitor"))),
            token_of(fields.get("ticket")),
            said if said in SAID else None,
            fields.get("offer", "")[:16],
            int(number) if number.isdecimal() and len(number) < 4 else 0,
            self.base(request),
        )

    def site(self, request: Request) -> Site | None:
        """The store that the address names."""
        return self._fleet.site(request.path_params["site"])

    def controller(self, site: Site) -> Controller:
        """Who answers for a store's data."""
        with self._database.connect() as connection:
            row = connection.execute(select(merchants).where(merchants.c.merchant == site.merchant)).one_or_none()
        return Controller(row.name, row.contact) if row else Controller(site.name, "")

    def base(self, request: Request) -> str:
        """What stands before /p/ in addresses that are told to others."""
        return self._public_url or str(request.base_url).rstrip("/")

    def _limit(self, request: Request, kind: str) -> None:
        address = neighbourhood(request.client.host if request.client else "")
        if wait_s := self.limits.wait_s(kind, address):
            raise Refused(429, "limited", wait_s)

    def _moment(self, asked: Asked) -> Callable[[int], str]:
        zone = asked.site.zone()
        return lambda time_ms: asked.spoken.moment(time_ms, zone)

    def html(self, template: str, asked: Asked, **values: Any) -> Response:
        """A page."""
        given = {
            "asked": asked,
            "spoken": asked.spoken,
            "language_names": NAMES,
            "language_codes": CODES,
            "style": STYLE,
            "path": "" if template == "page.html" else template.removesuffix(".html"),
        }
        return HTMLResponse(self._templates.get_template(template).render({**given, **values}), headers=HEADERS)


def back(asked: Asked, said: str) -> Response:
    """To the page, with what was done; 303, so that going back or reloading does nothing twice."""
    return RedirectResponse(asked.link(said=said), 303, HEADERS)


def card(due: Due, spoken: Language, held: list[HeldCode], seeds: tuple[bytes, ...]) -> dict[str, Any]:
    """An offer as it is shown. ``number`` is that of the code which the button draws, None where there is no button."""
    offer = due.offer
    words, code = offer.words(due.arm, spoken.code)
    drawn = {one.code for one in held if one.offer.offer == offer.offer}
    number = None
    if offer.codes and len(drawn) < offer.codes.cap and offer.codes_left != 0:
        free = (n for n in range(offer.codes.cap) if not seeds or code_of(seeds[0], offer.offer, n) not in drawn)
        number = next(free, None)
    left = offer.codes_left
    return {
        "offer": offer.offer,
        "words": words,
        "language": code,
        "number": number,
        "has_code": bool(drawn),
        "until": day_text(offer.schedule.last_date, spoken),
        "left": left if left is not None and left <= FEW_LEFT else None,
    }


def shown_code(held: HeldCode, spoken: Language) -> dict[str, Any]:
    """A code as its shopper sees it."""
    words, code = held.offer.words(held.variant, spoken.code)
    return {
        "title": words.title,
        "language": code,
        "code": spaced(held.code),
        "until": day_text(held.last_date, spoken),
        "is_used": held.is_used,
    }


def day_text(day: str | None, spoken: Language) -> str | None:
    """20 November, 20 novembre, 20 de novembro; None for none."""
    if day is None:
        return None
    found = date.fromisoformat(day)
    return spoken.say("page.day", day=spoken.day_number(found.day), month=spoken.say(f"calendar.month.{found.month}"))


def hours_of(site: Site, day: str) -> list[tuple[str, str]]:
    """The opening hours of a day."""
    return site.opening_hours.get(date.fromisoformat(day).weekday(), [])


def seeds_of_day(visit: str | None) -> tuple[bytes, ...]:
    """The seed of who joined through the access point and did not agree: kept nowhere, the same for all of that day and gone with it.

    So a cap holds for a phone's day, and a code that a captive browser forgot is there again.
    """
    if visit is None:
        return ()
    return (hashlib.blake2s(visit.encode(), digest_size=SEED_BYTES, person=b"ivz-day").digest(),)


def seed_of_ticket(ticket: str) -> bytes:
    """The seed of somebody who did not agree: kept nowhere, so that the link alone gives the code back."""
    return hashlib.blake2s(ticket.encode(), digest_size=SEED_BYTES, person=b"ivz-tick").digest()
