"""A site: its names, its time, its opening hours (core)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud.domain.modes import LEGAL_MODES as LEGAL_MODES
from cloud.domain.modes import ModeHistory

QUARTER_S = 900
SITE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
CLOCK_TIME = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
Hours = dict[int, list[tuple[str, str]]]
"""Weekday (Monday 0) -> spans as ("HH:MM", "HH:MM"); "24:00" is the end of the day."""


class SiteError(ValueError):
    """What the operator said of a site cannot be."""


@dataclass(frozen=True, slots=True)
class Site:
    """One store."""

    site: str
    name: str
    time_zone: str
    legal_mode: str = "day"
    allows_replay: bool = False
    opening_hours: Hours = field(default_factory=dict)
    merchant: str = "main"
    history: ModeHistory | None = None
    """None: ``legal_mode``, ever since."""

    @property
    def modes(self) -> ModeHistory:
        """Which mode it ran in on which day."""
        return self.history or ModeHistory.of(self.legal_mode)

    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    def date_of(self, time_ms: int) -> str:
        """The local date (YYYY-MM-DD) at a time."""
        return datetime.fromtimestamp(time_ms / 1000, self.zone()).date().isoformat()

    def day_bounds_ms(self, day: str) -> tuple[int, int]:
        """Begin and end of a local day; 23 or 25 hours apart when the clocks change."""
        start = date.fromisoformat(day)
        return self._local_ms(start, time()), self._local_ms(start + timedelta(days=1), time())

    def quarters_ms(self, day: str) -> list[int]:
        """Begin of each quarter-hour of a local day."""
        start, end = self.day_bounds_ms(day)
        return list(range(start, end, QUARTER_S * 1000))

    def open_spans_ms(self, day: str) -> list[tuple[int, int]]:
        """When the store is open on a local day."""
        local = date.fromisoformat(day)
        return [
            (self._clock_ms(local, opens), self._clock_ms(local, closes))
            for opens, closes in self.opening_hours.get(local.weekday(), [])
        ]

    def key_day_offset_min(self, now_ms: int) -> int:
        """Minutes by which the local day begins after 00:00 UTC: the agents change their key then."""
        offset = datetime.fromtimestamp(now_ms / 1000, self.zone()).utcoffset()
        return -int(offset.total_seconds() // 60) if offset else 0

    def hours_as_json(self) -> str:
        """The opening hours as the database keeps them."""
        return json.dumps({str(day): spans for day, spans in sorted(self.opening_hours.items())})

    def _clock_ms(self, day: date, clock: str) -> int:
        hours, minutes = map(int, clock.split(":"))
        return (
            self._local_ms(day + timedelta(days=1), time())
            if hours == 24
            else self._local_ms(day, time(hours, minutes))
        )

    def _local_ms(self, day: date, clock: time) -> int:
        return round(datetime.combine(day, clock, self.zone()).astimezone(UTC).timestamp() * 1000)


def hours_from_json(text: str) -> Hours:
    """The opening hours that the database keeps."""
    return {int(day): [(opens, closes) for opens, closes in spans] for day, spans in json.loads(text).items()}


def parse_hours(text: str) -> Hours:
    """ "10:00-19:00" for every day, or "mon-sat 10:00-19:00, sun 12:00-18:00". Raises SiteError."""
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    hours: Hours = {}
    for part in filter(None, (part.strip().lower() for part in text.split(","))):
        *days, span = part.split()
        match = CLOCK_TIME.fullmatch(span)
        first, _, last = (days[0] if days else "mon-sun").partition("-")
        if not match or len(days) > 1 or first not in names or (last and last not in names):
            raise SiteError(
                f"opening hours {part!r} cannot be read; use 10:00-19:00 or 'mon-sat 10:00-19:00, sun 12:00-18:00'"
            )
        opens, closes = f"{int(match[1]):02d}:{match[2]}", f"{int(match[3]):02d}:{match[4]}"
        if not opens < closes <= "24:00" or match[2] > "59" or match[4] > "59":
            raise SiteError(
                f"opening hours {span}: the end must lie after the beginning, 24:00 at the latest; split a night in two"
            )
        begin, end = names.index(first), names.index(last or first)
        for day in range(begin, end + 1 if end >= begin else end + 8):
            hours.setdefault(day % 7, []).append((opens, closes))
    if not hours:
        raise SiteError("opening hours are empty; use 10:00-19:00 or 'mon-sat 10:00-19:00, sun 12:00-18:00'")
    return hours


def check_site(site: Site) -> None:
    """Raise SiteError for a name, zone or mode that cannot be."""
    if not 0 < len(site.name) <= 200 or not site.name.isprintable():
        raise SiteError("the store's name must be 1 to 200 letters, digits and signs, in one line")
    if not SITE_NAME.fullmatch(site.site):
        raise SiteError(f"site {site.site!r}: use 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit")
    try:
        site.zone()
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SiteError(f"time zone {site.time_zone!r} is unknown; use a name such as Europe/Paris") from error
    if site.legal_mode not in LEGAL_MODES:
        raise SiteError(f"legal mode {site.legal_mode!r} is unknown; use {', '.join(LEGAL_MODES)}")
