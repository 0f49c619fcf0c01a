"""From days that have new data to figures, for a process of its own beside others that may do the same.

Each day is computed by one process at a time: of two that began at different moments, the one that knew less could come last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import date as Date
from datetime import timedelta

import structlog
from sqlalchemy import Engine as Database
from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError

from cloud.databases.dirty import mark_dirty
from cloud.databases.tables import dirty_days, ledger_days
from cloud.domain.site import QUARTER_S, Site
from cloud.fleet.registry import Fleet
from cloud.stores.base import ObjectStore, StoreError
from cloud.warehouse.analyse import DayReport, analyse_day
from cloud.warehouse.base import Engine, EngineError

log = structlog.get_logger()


class Analyst:
    """``lock(site, date)`` is True for the process that may compute the day; ``prepare(date)`` is called before each."""

    def __init__(
        self,
        engine: Engine,
        store: ObjectStore,
        database: Database,
        fleet: Fleet,
        now_ms: Callable[[], int],
        lock: Callable[[str, str], AbstractContextManager[bool]] = lambda _site, _date: nullcontext(True),
        prepare: Callable[[str], None] = lambda _date: None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._database = database
        self._fleet = fleet
        self._now_ms = now_ms
        self._lock = lock
        self._prepare = prepare
        self.figures_version = 0
        """Grows with every analysis."""
        self._looked_ms = 0

    def analyse_dirty(self, should_stop: Callable[[], bool] = lambda: False) -> list[DayReport]:
        """Compute the days again that have new data. A day that cannot be computed stops none of the others; its error comes last."""
        c = dirty_days.c
        with self._database.connect() as connection:
            waiting = list(connection.execute(select(c.site, c.date).order_by(c.since_ms)))
        reports: list[DayReport] = []
        failed: Exception | None = None
        for row in waiting:
            if should_stop():
                break
            try:
                if report := self._analyse_marked(row.site, row.date):
                    reports.append(report)
            except Exception as error:
                log.error("day_failed", site=row.site, date=row.date, error=_said(error))
                failed = error
        if failed:
            raise failed
        return reports

    def _analyse_marked(self, site: str, date: str) -> DayReport | None:
        """None where another process computes the day or has just done so."""
        c = dirty_days.c
        mine = (c.site == site, c.date == date)
        with self._lock(site, date) as is_mine:
            if not is_mine:
                return None
            with self._database.connect() as connection:  # after the lock: whoever had it before may have done this
                since_ms = connection.execute(select(c.since_ms).where(*mine)).scalar_one_or_none()
            if since_ms is None:
                return None
            report = self.analyse(site, date)
            with self._database.begin() as connection:  # unless more came meanwhile
                connection.execute(delete(dirty_days).where(*mine, c.since_ms == since_ms))
            return report

    def mark_elapsed(self, purge: Callable[[], object] = lambda: None) -> None:
        """Once a quarter-hour: a day that was not over at the last look has grown, also where nothing came. Without this an access
        point that dies at noon would have been heard all day. ``purge`` removes what has become too old meanwhile."""
        now_ms, before_ms = self._now_ms(), self._looked_ms
        if now_ms // (QUARTER_S * 1000) == before_ms // (QUARTER_S * 1000):
            return
        days = {(site.site, day) for site in self._fleet.sites() for day in _last_days(site, now_ms, before_ms)}
        with self._database.begin() as connection:
            heard = connection.execute(select(ledger_days.c.site, ledger_days.c.date).distinct())
            mark_dirty(connection, days & {(row.site, row.date) for row in heard}, now_ms)
        purge()
        self._looked_ms = now_ms

    def analyse(self, site: str, date: str) -> DayReport:
        """Compute one day."""
        found = self._fleet.site(site)
        if found is None:
            raise AssertionError("cannot happen: days become dirty for sites that exist")
        begun = time.monotonic()
        self._prepare(date)
        report = analyse_day(self._engine, self._store, self._database, found, date, self._now_ms())
        self.figures_version += 1
        log.info(
            "day_analysed", site=site, date=date, figures=report.figures, seconds=round(time.monotonic() - begun, 3)
        )
        return report


def _last_days(site: Site, now_ms: int, since_ms: int) -> list[str]:
    """The local dates of today and yesterday that were not over at ``since_ms``."""
    today = Date.fromisoformat(site.date_of(now_ms))
    days = [day.isoformat() for day in (today, today - timedelta(days=1))]
    return [day for day in days if site.day_bounds_ms(day)[1] > since_ms]


def _said(error: Exception) -> str:
    """An error of a part speaks for itself; of any other the kind is needed too."""
    return str(error) if isinstance(error, StoreError | EngineError | SQLAlchemyError) else repr(error)
