"""An offer: what it says, when, where, for whom, how often, and what is measured (core)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

A, B, HOLDOUT = "a", "b", "holdout"
VARIANTS = (A, B)
DRAFT, RUNNING, STOPPED = "draft", "running", "stopped"
EVERYONE, AGREED, FIRST_VISIT, RETURNING, STAYED = "everyone", "agreed", "first_visit", "returning", "stayed"
AUDIENCES = (EVERYONE, AGREED, FIRST_VISIT, RETURNING, STAYED)
"""Who sees it. All but ``everyone`` need a shopper who agreed, for nobody else is known by anything."""
EVERY_DAY = frozenset(range(7))
HOLDOUT_PERCENT = 10
RETURN_DAYS = 14


@dataclass(frozen=True, slots=True)
class Words:
    """An offer in one language."""

    title: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When it is shown, in the store's own time. Dates are YYYY-MM-DD and inclusive, None is no limit; Monday is 0."""

    first_date: str | None = None
    last_date: str | None = None
    weekdays: frozenset[int] = EVERY_DAY
    from_clock: str = "00:00"
    to_clock: str = "24:00"
    """The first minute at which it is no longer shown."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who sees it. ``stay_min`` counts from the first opening of the page that day."""

    kind: str = EVERYONE
    stay_min: int = 0


@dataclass(frozen=True, slots=True)
class CodeRule:
    """Single-use codes: how many in all (None: no limit), for one shopper, and how many days one lasts."""

    stock: int | None = None
    cap: int = 1
    days: int = 7


@dataclass(frozen=True, slots=True)
class Trial:
    """What is measured: the share that is not shown the offer, and the days within which coming back counts."""

    holdout_percent: int = HOLDOUT_PERCENT
    return_days: int = RETURN_DAYS


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer. ``texts``: variant -> language -> words; variant a is always there. ``sites`` are the stores that were named one by one."""

    offer: str
    merchant: str
    texts: Mapping[str, Mapping[str, Words]]
    sites: frozenset[str]
    state: str = DRAFT
    schedule: Schedule = field(default_factory=Schedule)
    audience: Audience = field(default_factory=Audience)
    codes: CodeRule | None = None
    trial: Trial | None = None
    codes_left: int | None = None
    """None where there are no codes or no limit."""
    groups: frozenset[str] = frozenset()
    """Groups of stores that it is for."""
    grouped_sites: frozenset[str] = frozenset()
    """The stores that those groups have now."""

    def reach(self) -> frozenset[str]:
        """Every store that it is for now."""
        return self.sites | self.grouped_sites

    def words(self, variant: str, language: str) -> tuple[Words, str]:
        """The words for a reader, and the language they are in: theirs where the merchant wrote it, else the first that is there."""
        written = self.texts.get(variant) or self.texts[A]
        found = language if language in written else next(iter(written))
        return written[found], found

    def has_b(self) -> bool:
        """True where two wordings are compared."""
        return B in self.texts

    def rules_as_json(self) -> str:
        """Schedule, audience, codes and trial as the database keeps them."""
        schedule = {**asdict(self.schedule), "weekdays": sorted(self.schedule.weekdays)}
        parts: dict[str, Any] = {"schedule": schedule, "audience": asdict(self.audience)}
        for name, part in (("codes", self.codes), ("trial", self.trial)):
            parts[name] = asdict(part) if part else None
        return json.dumps(parts, sort_keys=True)

    def texts_as_json(self) -> str:
        """The texts as the database keeps them, in the merchant's order of languages."""
        return json.dumps(
            {v: {code: [w.title, w.body] for code, w in written.items()} for v, written in self.texts.items()},
            ensure_ascii=False,
        )


def texts_from_json(text: str) -> dict[str, dict[str, Words]]:
    """`Offer.texts_as_json` back."""
    return {v: {code: Words(*pair) for code, pair in written.items()} for v, written in json.loads(text).items()}


def rules_from_json(text: str) -> dict[str, Any]:
    """`Offer.rules_as_json` back, as arguments of `Offer`."""
    kept = json.loads(text)
    schedule = kept["schedule"]
    return {
        "schedule": Schedule(**{**schedule, "weekdays": frozenset(schedule["weekdays"])}),
        "audience": Audience(**kept["audience"]),
        "codes": CodeRule(**kept["codes"]) if kept["codes"] else None,
        "trial": Trial(**kept["trial"]) if kept["trial"] else None,
    }


def is_over(offer: Offer, today: str) -> bool:
    """True where its last day is past."""
    return offer.schedule.last_date is not None and date.fromisoformat(today) > date.fromisoformat(
        offer.schedule.last_date
    )
