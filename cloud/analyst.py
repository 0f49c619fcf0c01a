"""From days that have new data to figures, for a process of its own beside others that may do the same.

Each day is computed by one process at a time: of two that began at different moments, the one that knew less could come last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import structlog
from sqlalchemy import Engine as Database
from sqlalchemy import delete, select

from cloud.databases.tables import dirty_days
from cloud.fleet.registry import Fleet
from cloud.stores.base import ObjectStore
from cloud.warehouse.analyse import DayReport, analyse_day
from cloud.warehouse.base import Engine

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
                log.error("day_failed", site=row.site, date=row.date, error=repr(error))
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
            report = self._analyse(site, date)
            with self._database.begin() as connection:  # unless more came meanwhile
                connection.execute(delete(dirty_days).where(*mine, c.since_ms == since_ms))
            return report

    def _analyse(self, site: str, date: str) -> DayReport:
        found = self._fleet.site(site)
        if found is None:
            raise AssertionError("cannot happen: days become dirty for sites that exist")
        begun = time.monotonic()
        self._prepare(date)
        report = analyse_day(self._engine, self._store, self._database, found, date, self._now_ms())
        log.info(
            "day_analysed", site=site, date=date, figures=report.figures, seconds=round(time.monotonic() - begun, 3)
        )
        return report
