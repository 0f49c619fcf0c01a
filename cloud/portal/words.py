"""The portal's texts (core; the catalogues are read once)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cloud.domain.language import CODES, Language, accepted, catalogue, spoken

FOLDER = Path(__file__).parent / "languages"


def texts() -> dict[str, dict[str, str]]:
    """Key -> language -> text."""
    return catalogue(FOLDER)


@cache
def language(code: str) -> Language:
    """A language of CODES with everything that the portal says."""
    return spoken(code, texts())


def chosen(wanted: str | None, header: str) -> Language:
    """The reader's language: the one in the address, else the one that the browser likes best."""
    return language(wanted if wanted in CODES else accepted(header))
