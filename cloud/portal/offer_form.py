"""The merchant's form -> an offer, or what is wrong with it, field by field (core)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from cloud.domain.language import CODES
from cloud.portal.offers import (
    AUDIENCES,
    EVERY_DAY,
    EVERYONE,
    HOLDOUT_PERCENT,
    RETURN_DAYS,
    STAYED,
    VARIANTS,
    A,
    Audience,
    CodeRule,
    Offer,
    Schedule,
    Trial,
    Words,
)

TITLE_LONGEST, BODY_LONGEST = 80, 400
STOCK = (1, 1_000_000)
CAP = (1, 20)
CODE_DAYS = (1, 90)
STAY_MIN = (1, 240)
HOLDOUTS = (0, 50)
RETURNS = (1, 90)
CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")


@dataclass(frozen=True, slots=True)
class Wrong(Exception):
    """Field -> key of the text that says what is wrong; the text may name limits with {low} and {high}."""

    errors: Mapping[str, tuple[str, int, int]]


class _Reader:
    """Takes fields and collects what is wrong with them."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = fields
        self.errors: dict[str, tuple[str, int, int]] = {}

    def wrong(self, name: str, key: str, limits: tuple[int, int] = (0, 0)) -> None:
        self.errors.setdefault(name, (key, *limits))

    def number(self, name: str, limits: tuple[int, int], default: int) -> int:
        text = self.fields.get(name, "").strip() or str(default)
        if not text.isdecimal() or len(text) > 9 or not limits[0] <= int(text) <= limits[1]:
            self.wrong(name, "number", limits)
            return default
        return int(text)

    def date(self, name: str) -> str | None:
        text = self.fields.get(name, "").strip()
        if not text:
            return None
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            self.wrong(name, "date")
            return None

    def clock(self, name: str, default: str) -> str:
        text = self.fields.get(name, "").strip() or default
        if not CLOCK.fullmatch(text):
            self.wrong(name, "clock")
            return default
        return text

    def line(self, name: str, longest: int) -> str:
        text = re.sub(r"\s+", " ", self.fields.get(name, "")).strip()
        if len(text) > longest or not text.isprintable():
            self.wrong(name, "long", (0, longest))
        return text[:longest]


def read_form(
    fields: Mapping[str, str], merchant: str, sites: Collection[str], name: str = "", groups: Collection[str] = ()
) -> Offer:
    """The offer that a form describes; ``sites`` and ``groups`` are the merchant's own. Raises Wrong."""
    reader = _Reader(fields)
    audience = _audience(reader)
    offer = Offer(
        name,
        merchant,
        _texts(reader),
        frozenset(fields.get("sites", "").split()) & frozenset(sites),
        schedule=_schedule(reader),
        audience=audience,
        codes=_codes(reader),
        trial=_trial(reader, audience),
        groups=frozenset(fields.get("groups", "").split()) & frozenset(groups),
    )
    if not offer.sites and not offer.groups:
        reader.wrong("sites", "sites")
    if reader.errors:
        raise Wrong(reader.errors)
    return offer


def _texts(reader: _Reader) -> dict[str, dict[str, Words]]:
    texts: dict[str, dict[str, Words]] = {}
    for variant in VARIANTS:
        for code in CODES:
            title = reader.line(f"title_{variant}_{code}", TITLE_LONGEST)
            body = reader.line(f"body_{variant}_{code}", BODY_LONGEST)
            if title:
                texts.setdefault(variant, {})[code] = Words(title, body)
            elif body:
                reader.wrong(f"title_{variant}_{code}", "title")
    if A not in texts:
        reader.wrong(f"title_{A}_{CODES[0]}", "title")
        return {A: {CODES[0]: Words("")}}
    return texts


def _schedule(reader: _Reader) -> Schedule:
    days = frozenset(
        int(day) for day in reader.fields.get("weekdays", "").split() if day in "0123456" and len(day) == 1
    )
    first, last = reader.date("first_date"), reader.date("last_date")
    begin, end = reader.clock("from_clock", "00:00"), reader.clock("to_clock", "24:00")
    if first and last and last < first:
        reader.wrong("last_date", "dates")
    if begin >= end:
        reader.wrong("to_clock", "clocks")
    return Schedule(first, last, days or EVERY_DAY, begin, end)


def _audience(reader: _Reader) -> Audience:
    kind = reader.fields.get("audience", EVERYONE)
    if kind not in AUDIENCES:
        reader.wrong("audience", "audience")
        return Audience()
    return Audience(kind, reader.number("stay_min", STAY_MIN, 20) if kind == STAYED else 0)


def _codes(reader: _Reader) -> CodeRule | None:
    if not reader.fields.get("has_codes"):
        return None
    stock = reader.number("stock", STOCK, 1) if reader.fields.get("stock", "").strip() else None
    return CodeRule(stock, reader.number("cap", CAP, 1), reader.number("days", CODE_DAYS, 7))


def _trial(reader: _Reader, audience: Audience) -> Trial | None:
    """Nothing is measured of an offer for everyone: nobody is known by anything, so nobody could be compared."""
    if audience.kind == EVERYONE:
        return None
    percent = reader.number("holdout_percent", HOLDOUTS, HOLDOUT_PERCENT)
    return Trial(percent, reader.number("return_days", RETURNS, RETURN_DAYS))


def form_fields_of(offer: Offer) -> dict[str, str]:
    """`read_form` back: what the form shows of an offer."""
    schedule, audience = offer.schedule, offer.audience
    codes, trial = offer.codes or CodeRule(), offer.trial or Trial()
    words = {
        f"{part}_{variant}_{code}": getattr(written, part)
        for variant, by_language in offer.texts.items()
        for code, written in by_language.items()
        for part in ("title", "body")
    }
    return {
        **words,
        "sites": " ".join(sorted(offer.sites)),
        "groups": " ".join(sorted(offer.groups)),
        "audience": audience.kind,
        "stay_min": str(audience.stay_min or 20),
        "first_date": schedule.first_date or "",
        "last_date": schedule.last_date or "",
        "weekdays": " ".join(map(str, sorted(schedule.weekdays))),
        "from_clock": schedule.from_clock,
        "to_clock": schedule.to_clock,
        "has_codes": "1" if offer.codes else "",
        "stock": str(codes.stock) if codes.stock is not None else "",
        "cap": str(codes.cap),
        "days": str(codes.days),
        "holdout_percent": str(trial.holdout_percent),
        "return_days": str(trial.return_days),
    }
