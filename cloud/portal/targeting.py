"""Which offers are due, for whom, now (core).

All that is known of a shopper is in `Known`: the days on which they opened this store's page and since when today. It is known of
those who agreed, by the token they carry. Nothing that the radio heard comes in here, and nothing here could take it in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cloud.domain.site import Site
from cloud.portal.offers import (
    AGREED,
    EVERYONE,
    FIRST_VISIT,
    HOLDOUT,
    RETURNING,
    RUNNING,
    STAYED,
    A,
    Audience,
    B,
    Offer,
    Schedule,
)

MINUTE_MS = 60_000
ARMS_OF = 10_000


@dataclass(frozen=True, slots=True)
class Known:
    """A shopper who agreed. ``earlier_days`` does not count today; ``opened_ms`` is when they opened the page today."""

    shopper: str
    earlier_days: int
    opened_ms: int


@dataclass(frozen=True, slots=True)
class Due:
    """An offer that is due: ``arm`` is a, b or holdout (then it is not shown); ``is_measured`` where the trial counts it."""

    offer: Offer
    arm: str
    is_measured: bool

    def is_shown(self) -> bool:
        """False for the shoppers that the trial compares with."""
        return self.arm != HOLDOUT


def due_offers(offers: Iterable[Offer], site: Site, now_ms: int, known: Known | None) -> list[Due]:
    """The offers that are due, in the order given."""
    due = [offer for offer in offers if why_not(offer, site, now_ms, known) is None]
    return [Due(offer, arm_of(offer, known), _is_measured(offer, known)) for offer in due]


def why_not(offer: Offer, site: Site, now_ms: int, known: Known | None) -> str | None:
    """The first reason why an offer is not due; None where it is. The merchant's preview says it in words."""
    if offer.state != RUNNING:
        return "state"
    if site.site not in offer.reach():
        return "store"
    return why_not_now(offer.schedule, site, now_ms) or _why_not_for(offer.audience, now_ms, known)


def why_not_now(schedule: Schedule, site: Site, now_ms: int) -> str | None:
    """The schedule alone, in the store's time zone."""
    local = datetime.fromtimestamp(now_ms / 1000, site.zone())
    day = local.date().isoformat()
    if schedule.first_date and day < schedule.first_date:
        return "not_yet"
    if schedule.last_date and day > schedule.last_date:
        return "over"
    if local.weekday() not in schedule.weekdays:
        return "weekday"
    return None if schedule.from_clock <= f"{local:%H:%M}" < schedule.to_clock else "clock"


def _why_not_for(audience: Audience, now_ms: int, known: Known | None) -> str | None:
    if audience.kind == EVERYONE:
        return None
    if known is None:
        return "agreement"
    fits = {
        AGREED: True,
        FIRST_VISIT: known.earlier_days == 0,
        RETURNING: known.earlier_days > 0,
        STAYED: now_ms - known.opened_ms >= audience.stay_min * MINUTE_MS,
    }
    return None if fits[audience.kind] else "audience"


def _is_measured(offer: Offer, known: Known | None) -> bool:
    return offer.trial is not None and known is not None and offer.audience.kind != EVERYONE


def arm_of(offer: Offer, known: Known | None) -> str:
    """The arm of a shopper: the same at every visit, and in another offer another's. Where nobody is known it is a."""
    if known is None or offer.trial is None or offer.audience.kind == EVERYONE:
        return A
    digest = hashlib.blake2s(known.shopper.encode(), key=offer.offer.encode(), person=b"ivz-arm").digest()
    drawn = int.from_bytes(digest[:8], "big") % ARMS_OF
    if drawn < offer.trial.holdout_percent * ARMS_OF // 100:
        return HOLDOUT
    return B if offer.has_b() and digest[8] & 1 else A
