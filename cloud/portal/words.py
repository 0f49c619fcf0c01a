"""The portal's languages (core; the catalogues are read once): its own texts over the calendar and numbers of the merchant's pages."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from cloud.dashboard.language import CODES, Language, accepted
from cloud.dashboard.language import language as merchants_language

FOLDER = Path(__file__).parent / "languages"


@cache
def texts() -> dict[str, dict[str, str]]:
    """Key -> language -> text."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        found |= yaml.safe_load(path.read_text())
    return found


@cache
def language(code: str) -> Language:
    """A language of CODES with everything that the portal says."""
    own = {key: by_language[code] for key, by_language in texts().items()}
    return Language(code, {**merchants_language(code).texts, **own})


def chosen(wanted: str | None, header: str) -> Language:
    """The reader's language: the one in the address, else the one that the browser likes best."""
    return language(wanted if wanted in CODES else accepted(header))
