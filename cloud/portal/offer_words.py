"""An offer and what came of it in the merchant's own words (core)."""

from __future__ import annotations

from datetime import date as Date

from cloud.domain.language import Language
from cloud.domain.publish import K
from cloud.domain.site import Site
from cloud.fleet.groups import StoreGroup
from cloud.portal.offer_store import Results
from cloud.portal.offers import Offer
from cloud.portal.uplift import Compared


def where_text(offer: Offer, stores: list[Site], groups: list[StoreGroup]) -> str:
    """The stores in words; a group by its name and what it has now."""
    by_name = {store.site: store.name for store in stores}
    named = [by_name[site] for site in by_name if site in offer.sites]
    grouped = [
        f"{group.name} ({', '.join(by_name[site] for site in by_name if site in group.sites)})"
        for group in groups
        if group.group in offer.groups
    ]
    return ", ".join([*grouped, *named])


def when_text(offer: Offer, spoken: Language) -> str:
    """The schedule in words."""
    schedule, parts = offer.schedule, []
    for day, key in ((schedule.first_date, "offer.from"), (schedule.last_date, "offer.until")):
        if day:
            parts.append(spoken.say(key, date=spoken.short_date(Date.fromisoformat(day))))
    if len(schedule.weekdays) < 7:
        parts.append(", ".join(spoken.say(f"calendar.short_weekday.{day}") for day in sorted(schedule.weekdays)))
    if (schedule.from_clock, schedule.to_clock) != ("00:00", "24:00"):
        parts.append(spoken.say("offer.clocks", begin=schedule.from_clock, end=schedule.to_clock))
    return " · ".join(parts) or spoken.say("offer.always")


def who_text(offer: Offer, spoken: Language) -> str:
    """The audience in words."""
    text = spoken.say(f"audience.{offer.audience.kind}")
    stay = offer.audience.stay_min
    return f"{text}, {spoken.say('audience.stayed_for', minutes=stay)}" if stay else text


def codes_text(offer: Offer, spoken: Language) -> str:
    """The rule of the codes in words."""
    rule = offer.codes
    if rule is None:
        return spoken.say("offer.no_codes")
    stock = spoken.say("offer.no_stock") if rule.stock is None else spoken.say("offer.stock", stock=rule.stock)
    return f"{spoken.say('offer.code_rule', days=rule.days, cap=rule.cap)}; {stock}"


def trial_text(offer: Offer, spoken: Language) -> str:
    """What is measured, in words."""
    if offer.trial is None:
        return spoken.say("offer.no_trial")
    return spoken.say("offer.trial_rule", percent=offer.trial.holdout_percent, days=offer.trial.return_days)


def results_text(offer: Offer, results: Results, spoken: Language) -> dict[str, str]:
    """What an offer did, in sentences. ``verdict`` names the one about its effect."""
    said = {"verdict": "none", "uplift": spoken.say("results.none"), "variants": "", "waiting": "", "codes": ""}
    days = offer.trial.return_days if offer.trial else 0
    if offer.trial is not None and results.uplift is None:
        said["uplift"] = spoken.say("results.no_holdout")
    elif results.uplift is not None:
        said["verdict"] = results.uplift.verdict()
        said["uplift"] = compared_text("results.", results.uplift, days, spoken)
    if results.variants is not None:
        said["variants"] = compared_text("results.b_", results.variants, days, spoken)
    if results.waiting:
        said["waiting"] = spoken.say("results.waiting", count=count_text(results.waiting), days=days)
    if offer.codes:
        said["codes"] = spoken.say("results.codes", drawn=results.drawn, used=results.used)
        if offer.codes_left is not None:
            said["codes"] += " " + spoken.say("results.left", left=offer.codes_left)
    return said


def compared_text(prefix: str, compared: Compared, days: int, spoken: Language) -> str:
    """A comparison as a sentence; its interval outward to whole points, so that rounding never makes it look surer."""
    found = compared.difference
    if found is None:
        return spoken.say(f"{prefix}few")
    return spoken.say(
        f"{prefix}{compared.verdict()}",
        n=compared.first.whole,
        share=spoken.percent(compared.first.share()),
        m=compared.second.whole,
        other=spoken.percent(compared.second.share()),
        days=days,
        value=signed(round(100 * found.value)),
        low=signed(_floor(100 * found.low)),
        high=signed(-_floor(-100 * found.high)),
    )


def signed(points: int) -> str:
    """+3, 0, −2 with the sign that is as wide as the plus."""
    return f"+{points}" if points > 0 else f"\u2212{-points}" if points < 0 else "0"


def _floor(value: float) -> int:
    return int(value // 1)


def count_text(count: int) -> str:
    """A count of people, hidden under k. None at all may be said."""
    return f"<\u00a0{K}" if 0 < count < K else str(count)
