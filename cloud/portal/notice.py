"""The sign at the entrance and the notice behind it, made of how the store runs: merchant, contact, legal mode (core)."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.domain.language import Language
from cloud.domain.site import Site
from cloud.portal.consent import LIFE_DAYS, PARTS

ASKING_MODE = "consent"
"""Only in this mode is anybody recognised, so only in it is anybody asked."""


@dataclass(frozen=True, slots=True)
class Controller:
    """Who answers for the data. ``contact`` may be empty."""

    name: str
    contact: str


@dataclass(frozen=True, slots=True)
class Section:
    """A title with its paragraphs."""

    title: str
    paragraphs: tuple[str, ...]


def asks(site: Site) -> bool:
    """True where shoppers may be asked for their agreement."""
    return site.legal_mode == ASKING_MODE


def sign_paragraphs(spoken: Language, site: Site, controller: Controller) -> tuple[str, ...]:
    """The text of the sign: purpose, legal basis, who is responsible, rights and where to turn to (GDPR, article 13)."""
    contact = controller.contact or spoken.say("sign.no_contact")
    return (
        spoken.say(f"sign.what.{site.legal_mode}"),
        spoken.say(f"sign.basis.{site.legal_mode}"),
        f"{spoken.say('sign.controller', merchant=controller.name)} {spoken.say('sign.rights', contact=contact)}",
    )


def notice_sections(spoken: Language, site: Site, controller: Controller) -> tuple[Section, ...]:
    """The privacy notice: first what this page does, then what the counting does."""
    own: tuple[str, ...] = (spoken.say("notice.page.none"),)
    if asks(site):
        asked = (spoken.say(f"consent.{part}", merchant=controller.name, days=LIFE_DAYS) for part in PARTS)
        own = (spoken.say("notice.page.asks"), *asked, spoken.say("notice.how"), spoken.say("notice.receipt"))
    return (
        Section(spoken.say("notice.page"), (*own, spoken.say("notice.wifi"))),
        Section(spoken.say("notice.counting"), sign_paragraphs(spoken, site, controller)),
    )
