"""Facts of a store -> the sign, the notice and the sheet for the impact assessment, as HTML to print (core but for reading its own texts).

The sign and the notice are those of the store's page (``cloud.portal.notice``): what hangs at the door and what is read by phone cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from agent.wire.limits import LINK_BYTES
from cloud.domain.intervals import HELD_PERCENT
from cloud.domain.language import Language
from cloud.domain.modes import BEGINNING, keeps_devices
from cloud.domain.opt_out import MAX_SECTIONS, SECTION_BYTES
from cloud.domain.preset import Preset, presets
from cloud.domain.publish import K
from cloud.domain.retention import AUDIT_MS, DAY_MS, DEVICES_MS, FIGURES_DAYS, FORMER_KEY_MS, HOUR_MS, NAMES_MS
from cloud.portal.consent import LIFE_DAYS, LONGEST_DAYS, PROOF_DAYS
from cloud.portal.network import qr_svg
from cloud.portal.notice import notice_sections, sign_paragraphs
from cloud.portal.words import language as portal_language
from cloud.privacy.facts import Facts
from cloud.templates import environment

FOLDER = Path(__file__).parent
TEMPLATES = environment(FOLDER / "templates")
COUNT_KEY_MIN = 5
"""Minutes for which anything of a single device lives in mode ``count`` (DESIGN section 6; CNIL, case 1)."""
PSEUDONYM_BYTES = 8
OPEN_POINTS = ("dpo", "street", "residual", "signature")
"""What no program can fill in."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table."""

    cells: tuple[str, ...]


@cache
def language(code: str) -> Language:
    """A language of CODES with everything that the papers say."""
    own = yaml.safe_load((FOLDER / "languages" / "papers.yaml").read_text())
    return Language(code, {**portal_language(code).texts, **{key: words[code] for key, words in own.items()}})


def papers(facts: Facts, code: str, software: str, url: str | None) -> dict[str, str]:
    """File name -> HTML of the three papers. ``url`` is the store's page, None where it is not known: then there is no QR code."""
    spoken, site = language(code), facts.site
    common = {
        "spoken": spoken,
        "facts": facts,
        "software": software,
        "url": url,
        "qr": qr_svg(url) if url else None,
        "made": made_on(spoken, facts.date),
    }
    own: dict[str, dict[str, object]] = {
        "sign": {"paragraphs": sign_paragraphs(spoken, site, facts.controller)},
        "notice": {
            "sections": notice_sections(spoken, site, facts.controller),
            "retention": retention_rows(spoken, site.legal_mode),
        },
        "dpia": sheet(spoken, facts),
    }
    return {
        f"{name}-{site.site}-{code}.html": TEMPLATES.get_template(f"{name}.html").render({**common, **values})
        for name, values in own.items()
    }


def made_on(spoken: Language, day: str) -> str:
    """20 November 2026, 20 novembre 2026, 20 de novembro de 2026."""
    year, month, number = day.split("-")
    said = spoken.say("page.day", day=spoken.day_number(int(number)), month=spoken.say(f"calendar.month.{int(month)}"))
    return spoken.say("papers.date", day=said, year=year)


def sheet(spoken: Language, facts: Facts) -> dict[str, object]:
    """The impact assessment's parts, with the numbers of the store."""
    mode, numbers = facts.site.legal_mode, numbers_of(spoken, facts)
    data = ["address", "pseudonym", "sighting", "counts"] if keeps_devices(mode) else ["address_count", "counts"]
    if keeps_devices(mode) and len(facts.access_points) > 1:
        data.insert(2, "link")
    measures = ["ram", "keys", "sign", "tls", "small", "opt_out", "receipts", "tenancy", "audit"]
    limits = ["random", "day", "people", "flash"]
    if not keeps_devices(mode):
        measures.remove("keys")
        limits = ["random", "people"]
    risks = ("access", "change", "loss", "linking")
    purpose = "count" if keeps_devices(mode) else "present"

    def risk_part(risk: str, part: str) -> str:
        """In mode ``count`` there are no keys and pseudonyms to speak of."""
        key = f"dpia.risk.{risk}{part}"
        own = f"{key}.{mode}"
        return spoken.say(own if own in spoken.texts else key, **numbers)

    return {
        "summary": [Row((spoken.say(f"dpia.fact.{name}"), value)) for name, value in facts_in_words(spoken, facts)],
        "purposes": [spoken.say(f"dpia.purpose.{purpose}"), spoken.say(f"dpia.basis.{mode}")],
        "data": [
            Row((spoken.say(f"dpia.data.{name}"), spoken.say(f"dpia.data.{name}.how", **numbers))) for name in data
        ],
        "retention": retention_rows(spoken, mode),
        "presets": preset_rows(spoken) if keeps_devices(mode) else [],
        "access_points": [access_point_row(spoken, point.agent, point.options, mode) for point in facts.access_points],
        "measures": [spoken.say(f"dpia.measure.{name}", **numbers) for name in measures],
        "risks": [
            Row(tuple(risk_part(risk, part) for part in ("", ".sources", ".measures", ".left"))) for risk in risks
        ],
        "limits": [spoken.say(f"dpia.limit.{name}", **numbers) for name in limits],
        "open_points": [spoken.say(f"dpia.open.{name}") for name in OPEN_POINTS],
        "numbers": numbers,
    }


def numbers_of(spoken: Language, facts: Facts) -> dict[str, str]:
    """Every number that a text of the sheet may name."""
    return {
        "k": str(K),
        "interval": str(HELD_PERCENT),
        "link_bytes": str(LINK_BYTES),
        "hours": str(DEVICES_MS // HOUR_MS),
        "minutes": str(COUNT_KEY_MIN),
        "bytes": str(PSEUDONYM_BYTES),
        "key_days": str(FORMER_KEY_MS // DAY_MS),
        "bits": spoken.number(8 * SECTION_BYTES),
        "sections": str(MAX_SECTIONS),
        "audit_years": str(AUDIT_MS // (365 * DAY_MS)),
        "receipts": spoken.number(facts.receipts),
        "life_days": str(LIFE_DAYS),
    }


def facts_in_words(spoken: Language, facts: Facts) -> list[tuple[str, str]]:
    """The sheet's first table."""
    site, scale = facts.site, facts.scale
    unknown = spoken.say("dpia.unknown")

    def number(value: float | None) -> str:
        return unknown if value is None else spoken.number(round(value))

    coverage = unknown if scale.coverage is None else spoken.percent(scale.coverage, 1)
    means = {"visitors": number(scale.visitors), "passers_by": number(scale.passers_by), "coverage": coverage}
    return [
        ("store", f"{site.name} ({site.site})"),
        ("controller", facts.controller.name),
        ("contact", facts.controller.contact or unknown),
        ("mode", mode_in_words(spoken, facts)),
        ("since", spoken.say("dpia.beginning") if (first := site.modes.since(facts.date)) == BEGINNING else first),
        ("zone", f"{site.time_zone}"),
        ("hours", _hours(spoken, facts)),
        ("access_points", spoken.number(len(facts.access_points))),
        ("scale", spoken.say("dpia.scale", days=scale.days, **means) if scale.days else spoken.say("dpia.scale.none")),
        (
            "opt_outs",
            spoken.say("dpia.opt_outs" if facts.opt_out_sections else "dpia.opt_outs.none", n=facts.opt_out_sections),
        ),
        ("receipts", spoken.number(facts.receipts)),
    ]


def mode_in_words(spoken: Language, facts: Facts) -> str:
    """The mode of the day, and the one that was chosen and is to come."""
    site = facts.site
    said = spoken.say(f"dpia.mode.{site.legal_mode}")
    first, coming = site.modes.changes[-1]
    if first <= facts.date:
        return said
    return spoken.say("dpia.coming", mode=said, date=first, next=spoken.say(f"dpia.mode.{coming}"))


def retention_rows(spoken: Language, mode: str) -> list[Row]:
    """What is kept for how long, as the job that erases has it."""
    numbers = {
        "hours": DEVICES_MS // HOUR_MS,
        "minutes": COUNT_KEY_MIN,
        "name_days": NAMES_MS // DAY_MS,
        "figure_months": FIGURES_DAYS // 30,
        "audit_years": AUDIT_MS // (365 * DAY_MS),
        "life_days": LIFE_DAYS,
        "longest_days": LONGEST_DAYS,
        "proof_years": PROOF_DAYS // 365,
    }
    names = ["address_day", "sightings"] if keeps_devices(mode) else ["address_count"]
    names += ["names", "figures", "audit", "receipts", "opt_outs"]
    names += ["shopper", "proof"] if mode == "consent" else []
    return [Row((spoken.say(f"kept.{name}"), spoken.say(f"kept.{name}.until", **numbers))) for name in names]


def preset_rows(spoken: Language) -> list[Row]:
    """The definitions of a visitor, in minutes and levels."""
    return [
        Row(
            (
                preset.label,
                _inside(spoken, preset),
                spoken.say("dpia.minutes", n=spoken.number(preset.visitor_min_s / 60)),
                spoken.say("dpia.minutes", n=spoken.number(preset.engaged_min_s / 60)),
                spoken.say("dpia.minutes", n=spoken.number(preset.visit_gap_s / 60)),
            )
        )
        for preset in presets().values()
    ]


def access_point_row(spoken: Language, agent: str, options: Mapping[str, float], mode: str) -> Row:
    """The options in force that say what is sensed. In mode ``count`` everything of a device is forgotten with its window."""
    forgotten = "tracking.track_timeout_s" if keeps_devices(mode) else "batch.window_s"
    return Row(
        (
            agent,
            spoken.say("dpia.dbm", n=spoken.number(options["proximity.threshold_dbm"])),
            spoken.say("dpia.seconds", n=spoken.number(options["batch.window_s"])),
            spoken.say("dpia.seconds", n=spoken.number(options[forgotten])),
        )
    )


def _inside(spoken: Language, preset: Preset) -> str:
    if preset.rssi_min_dbm is not None:
        return spoken.say("dpia.from_dbm", n=spoken.number(preset.rssi_min_dbm))
    return spoken.say("dpia.from_share", n=spoken.percent(preset.p_inside_min))


def _hours(spoken: Language, facts: Facts) -> str:
    spans = facts.site.opening_hours
    if not spans:
        return spoken.say("dpia.unknown")
    days = (
        f"{spoken.say(f'calendar.short_weekday.{day}')} {', '.join(f'{a}–{b}' for a, b in found)}"
        for day, found in sorted(spans.items())
        if found
    )
    return "; ".join(days)
