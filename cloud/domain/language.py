"""The languages of all faces (core; the catalogues are read once): texts, numbers, days and times as people of a language write them.

A catalogue is a folder of YAML files: key -> language -> text, so that whoever translates sees them side by side. The calendar is here,
each face keeps its own beside its pages (``cloud.dashboard.words``, ``cloud.portal.words``). A text is filled with ``str.format``. A key
that lacks a language is found by a test, never by a reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date as Date
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml

FOLDER = Path(__file__).parent / "languages"
CODES = ("en", "fr", "pt")
NAMES = {"en": "English", "fr": "Français", "pt": "Português"}
NONE = "–"
UNITS, SIGNS = ("%", "dBm"), (":", ";", "?", "!", "»")
THIN, HARD = "\u202f", "\u00a0"
"""Between groups of digits; between a number and its unit, so that no line ends there."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language."""

    code: str
    texts: dict[str, str]

    def say(self, key: str, /, **values: object) -> str:
        """The text of a key, filled in."""
        return self.texts[key].format(**values) if values else self.texts[key]

    def number(self, value: float, digits: int = 0) -> str:
        """1 289 or 96,8: groups by a thin space everywhere, the decimal sign of the language."""
        text = f"{value:,.{digits}f}".replace(",", THIN)
        return text if self.code == "en" else text.replace(".", ",")

    def percent(self, share: float, digits: int = 0) -> str:
        """A share 0..1."""
        return f"{self.number(100 * share, digits)}{HARD}%"

    def duration(self, seconds: float) -> str:
        """Minutes; hours from an hour and a half on."""
        minutes = round(seconds / 60)
        return f"{minutes}{HARD}min" if minutes < 90 else f"{minutes // 60}{HARD}h{HARD}{minutes % 60:02d}"

    def long_date(self, day: Date) -> str:
        """Friday, 20 November 2026."""
        return self.say(
            "calendar.long",
            weekday=self.weekday(day.weekday()),
            day=self.day_number(day.day),
            month=self.say(f"calendar.month.{day.month}"),
            year=day.year,
        )

    def short_date(self, day: Date) -> str:
        """20 Nov."""
        return f"{self.day_number(day.day)}{HARD}{self.say(f'calendar.short_month.{day.month}')}"

    def day_number(self, number: int) -> str:
        """A day of a month within a date: the first has a form of its own in French."""
        return self.say("calendar.first") if number == 1 else str(number)

    def weekday(self, number: int) -> str:
        """Monday is 0."""
        return self.say(f"calendar.weekday.{number}")

    def moment(self, time_ms: int, zone: ZoneInfo) -> str:
        """20 Nov, 14:05."""
        local = datetime.fromtimestamp(time_ms / 1000, zone)
        return f"{self.short_date(local.date())}, {local:%H:%M}"

    def ago(self, elapsed_ms: int) -> str:
        """How long ago."""
        minutes = max(0, elapsed_ms) // 60_000
        if minutes < 1:
            return self.say("calendar.now")
        if minutes < 120:
            return self.say("calendar.minutes_ago", count=minutes)
        if minutes < 48 * 60:
            return self.say("calendar.hours_ago", count=minutes // 60)
        return self.say("calendar.days_ago", count=minutes // (24 * 60))


@cache
def catalogue(folder: Path) -> dict[str, dict[str, str]]:
    """Key -> language -> text, of every file of a folder."""
    texts: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("*.yaml")):
        for key, by_language in yaml.safe_load(path.read_text()).items():
            texts.setdefault(str(key), {}).update(
                {code: _without_breaks(str(key), code, str(text)) for code, text in by_language.items()}
            )
    return texts


def _without_breaks(key: str, code: str, text: str) -> str:
    """No line ends before a unit, nor in French before a sign of two parts. Source: Lexique des règles typographiques en usage à
    l'Imprimerie nationale, « Ponctuation »."""
    if key.startswith("consent."):
        return text  # a text of a consent has its version by its letters: nobody is asked anew for a space
    for sign in (*UNITS, *(SIGNS if code == "fr" else ())):
        text = text.replace(f" {sign}", f"{HARD}{sign}")
    return text.replace("« ", f"«{HARD}") if code == "fr" else text


def spoken(code: str, *catalogues: Mapping[str, Mapping[str, str]]) -> Language:
    """A language of CODES with the calendar and the texts of ``catalogues``; a later one goes before an earlier one."""
    return Language(code, {key: texts[code] for own in (catalogue(FOLDER), *catalogues) for key, texts in own.items()})


def accepted(header: str) -> str:
    """The language of ours that a browser likes best. Source: RFC 9110, 12.5.4."""
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(header.split(",")[:20]):
        name, _, weight = part.partition(";")
        code = name.strip().lower().split("-")[0]
        if code in CODES and (quality := _quality(weight)) > 0:
            wanted.append((-quality, place, code))
    return min(wanted)[2] if wanted else "en"


def _quality(text: str) -> float:
    name, _, value = text.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name == "q" else 0.0
    except ValueError:
        return 0.0
