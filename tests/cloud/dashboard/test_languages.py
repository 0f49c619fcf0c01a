"""The catalogues: nothing missing, nothing idle, every filling the same; and how numbers and days are written."""

from __future__ import annotations

import re
import string
from datetime import date
from pathlib import Path

import pytest

from agent.dot11.reasons import SKIP_REASONS
from cloud.dashboard.view import metrics
from cloud.dashboard.words import language, texts
from cloud.domain.language import CODES, accepted, catalogue
from cloud.domain.language import FOLDER as CALENDAR
from cloud.fleet.options import OPTIONS

FOLDER = Path(__file__).resolve().parents[3] / "cloud" / "dashboard"
SOURCES = {
    path.name: path.read_text()
    for path in [
        *FOLDER.glob("*.py"),
        *FOLDER.glob("templates/*.html"),
        FOLDER.parent / "accounts" / "colleagues.py",
        FOLDER.parent / "accounts" / "gate.py",
        FOLDER.parent / "fleet" / "groups.py",
    ]
}
MADE = ("calendar.", "metric.", "account.role.", "account.scope.", "fleet.state.", "fleet.clock.", "alert.", "option.", "setup.",
        "compare.", "heat.", "weeks.export.", "table.", "fleet.", "people.may.", "reason.")  # fmt: skip
"""Keys that code puts together from parts."""


CATALOGUE = {**catalogue(CALENDAR), **texts()}


def fillings(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", CATALOGUE)
def test_every_text_is_there_in_every_language_with_the_same_fillings(key):
    said = CATALOGUE[key]

    assert set(said) == set(CODES), key
    assert all(text.strip() for text in said.values())
    assert len({frozenset(fillings(text)) for text in said.values()}) == 1


def test_every_key_that_a_page_asks_for_is_there():
    asked = {
        (name, key)
        for name, source in SOURCES.items()
        for key in re.findall(
            r"""(?:\bt|say|refuse\(request, \d+|NotThere)\(?,? ?["']([a-z_]+(?:\.[a-z_0-9]+)+)["'][,)}]""", source
        )
    }

    assert len(asked) > 100
    assert sorted(pair for pair in asked if pair[1] not in CATALOGUE) == []


def test_no_text_lies_idle():
    everything = "\n".join(SOURCES.values())

    assert [key for key in CATALOGUE if key not in everything and not key.startswith(MADE)] == []


@pytest.mark.parametrize("code", CODES)
def test_what_code_puts_together_is_there(code):
    spoken = language(code)
    for metric in metrics():
        assert spoken.say(f"metric.{metric}.computed")
    for option in OPTIONS:
        assert spoken.say(f"option.{option.name}")
    for reason in (*SKIP_REASONS, "unknown_link_type"):
        assert spoken.say(f"reason.{reason}") != reason
    for kind in ("never", "silent", "coverage", "clock", "evicted", "drops"):
        assert spoken.say(f"alert.{kind}", ago="x", share="x", count="x")


@pytest.mark.parametrize(
    ("code", "number", "percent", "day"),
    [
        ("en", "1\u202f289.5", "96.8\u00a0%", "Friday, 20 November 2026"),
        ("fr", "1\u202f289,5", "96,8\u00a0%", "vendredi 20 novembre 2026"),
        ("pt", "1\u202f289,5", "96,8\u00a0%", "sexta-feira, 20 de novembro de 2026"),
    ],
)
def test_numbers_and_days_are_written_as_people_do(code, number, percent, day):
    spoken = language(code)

    assert (spoken.number(1289.5, 1), spoken.percent(0.968, 1), spoken.long_date(date(2026, 11, 20))) == (
        number,
        percent,
        day,
    )
    assert spoken.duration(89 * 60) == "89\u00a0min" and spoken.duration(95 * 60) == "1\u00a0h\u00a035"


def test_a_header_of_any_length_is_read_in_a_moment():
    assert accepted("fr;q=0.1," * 10_000) == "fr" and accepted("") == "en" and accepted(",;=" * 50) == "en"


def test_a_weekday_before_has_the_gender_of_its_language():
    said = {code: [language(code).say(f"calendar.last_some.{day}", count=4) for day in (4, 5)] for code in CODES}

    assert said == {
        "en": ["the last 4 Fridays", "the last 4 Saturdays"],
        "fr": ["les 4 derniers vendredis", "les 4 derniers samedis"],
        "pt": ["as últimas 4 sextas-feiras", "os últimos 4 sábados"],
    }


def test_the_first_of_a_month_is_written_as_people_do():
    first = date(2026, 12, 1)

    assert [language(code).short_date(first) for code in CODES] == ["1\u00a0Dec", "1er\u00a0déc.", "1\u00a0dez."]
    assert language("fr").long_date(first) == "mardi 1er décembre 2026"
