"""The merchant's side of the store's page: offers, what they did, the stores' pages and their tills.

| route | answers |
| --- | --- |
| GET, POST /offers | the offers; a new draft |
| GET /offers/new, GET /offers/{offer} | the form; one offer with what it did |
| GET, POST /offers/{offer}/edit | the form of a draft |
| POST /offers/{offer}/start, /stop, /copy, /drop | what can be done with it |
| GET /offers/{offer}/preview, /preview/page?variant=&lang= | the shopper's page in frames of 320 and 390 points |
| GET /sites/{site}/page | address, QR code, lines for the network, agreements, tills |
| POST /sites/{site}/page/tills, /tills/end | a till's token, made and ended |

Every question goes through the viewer. The pages use the merchant's frame (cloud.dashboard) and catalogues of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, func, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.gate import Fields, Gate, Visit
from cloud.accounts.viewer import CHANGE_OFFERS, READ_FIGURES, Viewer, visible_sites
from cloud.dashboard.web import Pages, spoken_by
from cloud.dashboard.words import texts as frame_texts
from cloud.databases.portal_tables import consents
from cloud.databases.tables import sites
from cloud.domain.language import CODES, NAMES, Language
from cloud.domain.language import spoken as spoken_of
from cloud.domain.site import Site
from cloud.fleet.groups import Groups
from cloud.fleet.registry import site_of
from cloud.portal.network import PortalAddressError, network_lines, page_url, qr_svg
from cloud.portal.notice import asks
from cloud.portal.offer_form import Wrong, form_fields_of, read_form
from cloud.portal.offer_store import OfferStore
from cloud.portal.offer_words import codes_text, count_text, results_text, trial_text, when_text, where_text, who_text
from cloud.portal.offers import AUDIENCES, DRAFT, EVERYONE, VARIANTS, A, Offer
from cloud.portal.page import POLICY, Asked, Portal, card, hours_of
from cloud.portal.shoppers import Carried
from cloud.portal.targeting import Due, why_not
from cloud.portal.till import Till
from cloud.portal.words import language, texts

WIDTHS = (320, 390)
"""Of the smallest phone's captive browser, and of a usual one."""


@cache
def _framed(code: str) -> Language:
    """Everything that the merchant's frame and the portal say; of a key that both have, the portal's text."""
    return spoken_of(code, frame_texts(), texts())


class EditorPages(Pages):
    """The merchant's frame around the portal's templates, with the portal's texts."""

    def spoken(self, request: Request, visit: Visit | None) -> Language:
        """The reader's language."""
        return _framed(spoken_by(request, visit).code)


class Editor:
    """The routes. ``portal`` is the shopper's side, for the preview."""

    def __init__(self, database: Engine, portal: Portal, till: Till, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._portal = portal
        self._till = till
        self._now_ms = now_ms
        self._offers: OfferStore = portal.offers
        self._groups = Groups(database, now_ms)
        self._pages = EditorPages(Path(__file__).parent / "editor")

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """What to mount."""
        reads = {"/offers": self.all, "/offers/{offer}": self.one, "/offers/{offer}/preview": self.preview}
        writes = {
            "/offers": self.create,
            "/offers/{offer}/edit": self.save,
            "/offers/{offer}/start": self.start,
            "/offers/{offer}/stop": self.stop,
            "/offers/{offer}/copy": self.copy,
            "/offers/{offer}/drop": self.drop,
            "/sites/{site}/page/tills": self.make_token,
            "/sites/{site}/page/tills/end": self.end_token,
        }
        return [
            Route("/offers/new", gate.page(CHANGE_OFFERS, self.new), methods=["GET"]),
            Route("/offers/{offer}/edit", gate.page(CHANGE_OFFERS, self.edit), methods=["GET"]),
            Route("/offers/{offer}/preview/page", gate.page(READ_FIGURES, self.framed), methods=["GET"]),
            Route("/sites/{site}/page", gate.page(CHANGE_OFFERS, self.store), methods=["GET"]),
            *(Route(path, gate.page(READ_FIGURES, handler), methods=["GET"]) for path, handler in reads.items()),
            *(Route(path, gate.form(CHANGE_OFFERS, handler), methods=["POST"]) for path, handler in writes.items()),
        ]

    # --- reading ----------------------------------------------------------------------------------------------------

    async def all(self, request: Request, visit: Visit) -> Response:
        """Every offer."""
        return await run_in_threadpool(self._all, request, visit)

    def _all(self, request: Request, visit: Visit) -> Response:
        spoken, stores = self._pages.spoken(request, visit), self._stores(visit.viewer)
        groups = self._groups.of(visit.viewer)
        rows = [
            {
                "offer": offer,
                "title": offer.words(A, spoken.code)[0].title,
                "where": where_text(offer, stores, groups),
                "when": when_text(offer, spoken),
                "who": who_text(offer, spoken),
            }
            for offer in self._offers.of(visit.viewer)
        ]
        may = visit.viewer.may(CHANGE_OFFERS)
        return self._pages.page(request, "offers.html", visit, here="offers", rows=rows, stores=stores, may=may)

    async def one(self, request: Request, visit: Visit) -> Response:
        """One offer: its rules in words, whether it shows now, what it did."""
        return await run_in_threadpool(self._one, request, visit)

    def _one(self, request: Request, visit: Visit) -> Response:
        offer = self._found(request, visit)
        if offer is None:
            return self._pages.page(
                request,
                "not_there.html",
                visit,
                404,
                message=self._pages.spoken(request, visit).say("offers.not_there"),
            )
        spoken, stores = self._pages.spoken(request, visit), self._stores(visit.viewer)
        here = [store for store in stores if store.site in offer.reach()]
        today = min((store.date_of(self._now_ms()) for store in here), default="1970-01-01")
        results = self._offers.results(visit.viewer, offer, today) if offer.state != DRAFT else None
        return self._pages.page(
            request,
            "offer.html",
            visit,
            here="offers",
            offer=offer,
            languages_of=NAMES,
            where=where_text(offer, stores, self._groups.of(visit.viewer)),
            when=when_text(offer, spoken),
            who=who_text(offer, spoken),
            codes=codes_text(offer, spoken),
            trial=trial_text(offer, spoken),
            now=[
                spoken.say(f"offer.now.{why_not(offer, store, self._now_ms(), None) or 'shown'}", store=store.name)
                for store in here
            ],
            results=results_text(offer, results, spoken) if results else None,
            may=visit.viewer.may(CHANGE_OFFERS),
        )

    # --- writing ----------------------------------------------------------------------------------------------------

    async def new(self, request: Request, visit: Visit) -> Response:
        """An empty form."""
        stores = await run_in_threadpool(self._stores, visit.viewer)
        usual = {
            "audience": EVERYONE,
            "weekdays": "0 1 2 3 4 5 6",
            "sites": stores[0].site if len(stores) == 1 else "",
            "from_clock": "00:00",
            "to_clock": "24:00",
            "stay_min": "20",
            "cap": "1",
            "days": "7",
            "holdout_percent": "10",
            "return_days": "14",
        }
        return await run_in_threadpool(self._form, request, visit, stores, usual)

    async def edit(self, request: Request, visit: Visit) -> Response:
        """The form of a draft."""
        offer = await run_in_threadpool(self._found, request, visit)
        if offer is None or offer.state != DRAFT:
            return self._gone(request, visit, offer)
        stores = await run_in_threadpool(self._stores, visit.viewer)
        return await run_in_threadpool(self._form, request, visit, stores, form_fields_of(offer), offer.offer)

    async def create(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """A new draft."""
        return await run_in_threadpool(self._save, request, visit, fields, "")

    async def save(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """A draft, written anew."""
        return await run_in_threadpool(self._save, request, visit, fields, request.path_params["offer"])

    def _save(self, request: Request, visit: Visit, fields: Fields, name: str) -> Response:
        stores = self._stores(visit.viewer)
        if name and ((there := self._found(request, visit)) is None or there.state != DRAFT):
            return self._gone(request, visit, there)
        try:
            groups = [group.group for group in self._groups.of(visit.viewer)]
            written = read_form(fields, visit.viewer.merchant, [store.site for store in stores], name, groups)
        except Wrong as error:
            return self._form(request, visit, stores, fields, name, error.errors)
        kept = self._offers.save(visit.viewer, written)
        return self._gone(request, visit, None) if kept is None else _to(kept.offer)

    def _form(
        self,
        request: Request,
        visit: Visit,
        stores: list[Site],
        fields: Mapping[str, str],
        name: str = "",
        errors: Mapping[str, tuple[str, int, int]] | None = None,
    ) -> Response:
        spoken = self._pages.spoken(request, visit)
        wrong = {
            field: spoken.say(f"error.{key}", low=low, high=high) for field, (key, low, high) in (errors or {}).items()
        }
        return self._pages.page(
            request,
            "offer_form.html",
            visit,
            status=422 if wrong else 200,
            here="offers",
            stores=stores,
            groups=self._groups.of(visit.viewer),
            fields=fields,
            name=name,
            wrong=wrong,
            codes=[spoken.code, *(code for code in CODES if code != spoken.code)],
            languages_of=NAMES,
            variants=VARIANTS,
            audiences=AUDIENCES,
        )

    async def start(self, request: Request, visit: Visit, _fields: Fields) -> Response:
        """Let it run."""
        return await self._moved(request, visit, self._offers.start)

    async def stop(self, request: Request, visit: Visit, _fields: Fields) -> Response:
        """Show it no longer."""
        return await self._moved(request, visit, self._offers.stop)

    async def drop(self, request: Request, visit: Visit, _fields: Fields) -> Response:
        """Delete a draft."""
        is_done = await run_in_threadpool(self._offers.drop, visit.viewer, request.path_params["offer"])
        return RedirectResponse("/offers", 303) if is_done else self._gone(request, visit, None)

    async def copy(self, request: Request, visit: Visit, _fields: Fields) -> Response:
        """A new draft with the same words and rules."""
        offer = await run_in_threadpool(self._found, request, visit)
        if offer is None:
            return self._gone(request, visit, None)
        kept = await run_in_threadpool(self._offers.save, visit.viewer, replace(offer, offer="", state=DRAFT))
        return self._gone(request, visit, None) if kept is None else RedirectResponse(f"/offers/{kept.offer}/edit", 303)

    async def _moved(self, request: Request, visit: Visit, move: Callable[[Viewer, str], bool]) -> Response:
        name = request.path_params["offer"]
        is_done = await run_in_threadpool(move, visit.viewer, name)
        if is_done:
            return _to(name)
        return self._gone(request, visit, await run_in_threadpool(self._found, request, visit))

    def _gone(self, request: Request, visit: Visit, offer: Offer | None) -> Response:
        key, status = ("offers.moved", 409) if offer else ("offers.not_there", 404)
        message = self._pages.spoken(request, visit).say(key)
        title = "refused.title" if offer else "not_there.title"
        return self._pages.page(request, "not_there.html", visit, status, title=title, message=message)

    # --- preview ----------------------------------------------------------------------------------------------------

    async def preview(self, request: Request, visit: Visit) -> Response:
        """The shopper's page in two frames, which only this page may show."""
        offer = await run_in_threadpool(self._found, request, visit)
        if offer is None:
            return self._gone(request, visit, None)
        variant, code = _wanted(request, offer, spoken_by(request, visit).code)
        answer = self._pages.page(
            request,
            "preview.html",
            visit,
            here="offers",
            offer=offer,
            widths=WIDTHS,
            variant=variant,
            code=code,
            codes=CODES,
            languages_of=NAMES,
        )
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; frame-src 'self'; base-uri 'none'; "
            "form-action 'self'; frame-ancestors 'none'"
        )
        return answer

    async def framed(self, request: Request, visit: Visit) -> Response:
        """The shopper's page with this offer on it, whatever the hour; its forms go nowhere."""
        return await run_in_threadpool(self._framed, request, visit)

    def _framed(self, request: Request, visit: Visit) -> Response:
        offer = self._found(request, visit)
        stores = [s for s in self._stores(visit.viewer) if offer and s.site in offer.reach()]
        if offer is None or not stores:
            return self._gone(request, visit, None)
        variant, code = _wanted(request, offer, spoken_by(request, visit).code)
        site, spoken = stores[0], language(code)
        asked = Asked(site, self._portal.controller(site), spoken, Carried())
        answer = self._portal.html(
            "page.html",
            asked,
            shopper=None,
            agrees=True,
            question=None,
            is_folded=True,
            cards=[card(Due(offer, variant, is_measured=False), spoken, [], ())],
            codes=[],
            hours=[f"{opens}–{closes}" for opens, closes in hours_of(site, site.date_of(self._now_ms()))],
            said=None,
        )
        policy = POLICY.replace("form-action 'self'", "form-action 'none'")
        answer.headers["Content-Security-Policy"] = policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
        return answer

    # --- a store's page ---------------------------------------------------------------------------------------------

    async def store(self, request: Request, visit: Visit) -> Response:
        """How phones find the page of a store, and who may check codes there."""
        return await run_in_threadpool(self._store, request, visit)

    async def make_token(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """A till's token; the page that answers is the only one to show it."""
        return await run_in_threadpool(self._make_token, request, visit, fields)

    async def end_token(self, request: Request, visit: Visit, fields: Fields) -> Response:
        """End one."""
        if not await run_in_threadpool(self._till.revoke, visit.viewer, fields.get("token", "")):
            return self._pages.refuse(request, 404, "account.no_token")
        return RedirectResponse(f"/sites/{request.path_params['site']}/page", 303)

    def _make_token(self, request: Request, visit: Visit, fields: Fields) -> Response:
        site, label = self._site(request, visit), fields.get("label", "").strip()
        if site is None:
            return self._pages.refuse(request, 404, "not_there.store")
        if not 0 < len(label) <= 100 or not label.isprintable():
            return self._store(request, visit, error="tills.refused")
        return self._store(request, visit, made=self._till.make_token(visit.viewer, site, label))

    def _store(self, request: Request, visit: Visit, made: str = "", error: str = "") -> Response:
        site = self._site(request, visit)
        if site is None:
            return self._pages.refuse(request, 404, "not_there.store")
        base = self._portal.base(request)
        try:
            lines = network_lines(base, site.site)
        except PortalAddressError:
            lines = None
        given, withdrawn = self._agreements(visit.viewer, site)
        url = page_url(base, site.site)
        return self._pages.page(
            request,
            "store_page.html",
            visit,
            status=422 if error else 200,
            here="offers",
            site=site,
            url=url,
            qr=qr_svg(url),
            lines=lines,
            asks=asks(site),
            given=count_text(given),
            withdrawn=count_text(withdrawn),
            tills=self._till.tokens(visit.viewer, site),
            made=made,
            error=error,
        )

    # --- parts ------------------------------------------------------------------------------------------------------

    def _found(self, request: Request, visit: Visit) -> Offer | None:
        return self._offers.one(visit.viewer, request.path_params["offer"])

    def _stores(self, viewer: Viewer) -> list[Site]:
        query = select(sites).where(sites.c.site.in_(visible_sites(viewer))).order_by(sites.c.name, sites.c.site)
        with self._database.connect() as connection:
            return [site_of(row) for row in connection.execute(query)]

    def _site(self, request: Request, visit: Visit) -> Site | None:
        name = request.path_params["site"]
        return next((site for site in self._stores(visit.viewer) if site.site == name), None)

    def _agreements(self, viewer: Viewer, site: Site) -> tuple[int, int]:
        """How many agreements are in force, and how many were taken back."""
        mine = (consents.c.site == site.site, consents.c.site.in_(visible_sites(viewer)))
        with self._database.connect() as connection:
            whole, withdrawn = connection.execute(
                select(func.count(), func.count(consents.c.withdrawn_ms)).where(*mine)
            ).one()
        return whole - withdrawn, withdrawn


def _wanted(request: Request, offer: Offer, spoken: str) -> tuple[str, str]:
    """Variant and language that a preview asks for."""
    variant, code = request.query_params.get("variant", A), request.query_params.get("lang", spoken)
    return variant if variant in offer.texts else A, code if code in CODES else spoken


def _to(offer: str) -> Response:
    return RedirectResponse(f"/offers/{offer}", 303)
