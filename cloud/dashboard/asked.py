"""What a URL asks for: the store, the day or days, the definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta

from cloud.accounts.viewer import Viewer
from cloud.dashboard.queries import Queries
from cloud.dashboard.web import NotThere
from cloud.domain.preset import OWN, presets
from cloud.domain.site import Site

FIRST_DATE, LAST_DATE = "1969-12-31", "2999-12-31"
"""A capture without a clock begins in 1970, west of Greenwich a day earlier; at the calendar's own ends no day has a neighbour."""
MAX_DAYS = 400
DEFAULT_DAYS = 28
Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AskedDay:
    """One day of one store."""

    site: Site
    date: str
    preset: str


@dataclass(frozen=True, slots=True)
class AskedRange:
    """Days from ``first`` to ``last``, both included."""

    first: str
    last: str
    preset: str

    def dates(self) -> list[str]:
        """Each of them."""
        first, last = Date.fromisoformat(self.first), Date.fromisoformat(self.last)
        return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


class Asked:
    """Reads URLs for a viewer. ``now_ms`` is the clock."""

    def __init__(self, queries: Queries, now_ms: Callable[[], int]) -> None:
        self._queries = queries
        self._now_ms = now_ms

    def site(self, viewer: Viewer, name: str) -> Site:
        """The store of that name. Raises NotThere, also for another merchant's."""
        site = self._queries.site(viewer, name)
        if site is None:
            raise NotThere("not_there.store")
        return site

    def day(self, viewer: Viewer, name: str, parameters: Parameters) -> AskedDay:
        """``date`` and ``preset``. Raises NotThere."""
        site = self.site(viewer, name)
        preset = preset_of(parameters)
        date = parameters.get("date") or self.default_date(viewer, site)
        return AskedDay(site, date_of(date), preset)

    def range(self, viewer: Viewer, site: Site | None, parameters: Parameters) -> AskedRange:
        """``from``, ``to`` and ``preset``; without them the last four weeks. Raises NotThere."""
        today = site.date_of(self._now_ms()) if site else self._today()
        if site and site.allows_replay:
            today = self._queries.newest_date(viewer, site.site) or today
        last = date_of(parameters.get("to") or today)
        first = date_of(parameters.get("from") or _before(last, DEFAULT_DAYS - 1))
        days = (Date.fromisoformat(last) - Date.fromisoformat(first)).days + 1
        if not 0 < days <= MAX_DAYS:
            raise NotThere("not_there.range", days=MAX_DAYS)
        return AskedRange(first, last, preset_of(parameters))

    def default_date(self, viewer: Viewer, site: Site) -> str:
        """Today; where replays are taken, the newest day that has anything."""
        today = site.date_of(self._now_ms())
        newest = self._queries.newest_date(viewer, site.site) if site.allows_replay else None
        if newest is None or newest == today:
            return today
        return today if newest > today and today in self._queries.dates(viewer, site.site) else newest

    def _today(self) -> str:
        return Site("none", "none", "UTC").date_of(self._now_ms())


def preset_of(parameters: Parameters) -> str:
    """The definition asked for. Raises NotThere."""
    preset = parameters.get("preset") or OWN
    if preset not in presets():
        raise NotThere("not_there.preset", presets=", ".join(presets()))
    return preset


def date_of(text: str) -> str:
    """A day asked for. Raises NotThere."""
    try:
        date = Date.fromisoformat(text).isoformat()
    except ValueError:
        raise NotThere("not_there.date") from None
    if not FIRST_DATE <= date <= LAST_DATE:
        raise NotThere("not_there.calendar", first=FIRST_DATE, last=LAST_DATE)
    return date


def _before(date: str, days: int) -> str:
    day = Date.fromisoformat(date)
    return max(FIRST_DATE, (day - timedelta(days=days)).isoformat())
