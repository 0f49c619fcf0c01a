"""Days with new data -> figures, many days in one run of the engine, beside other processes that may do the same.

The marks in ``dirty_days`` are what makes the effect exactly once, whatever is killed and when: a day is marked before its figures are
computed, and its mark goes only after they are written and only where nothing came meanwhile. A run that is killed leaves its marks, and
the next run computes those days again, which changes nothing where they were done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from sqlalchemy import Connection, delete, select
from sqlalchemy import Engine as Database

from cloud.analyst import Analyst
from cloud.databases.dirty import mark_dirty
from cloud.databases.postgres import day_key
from cloud.databases.tables import dirty_days
from cloud.fleet.registry import Fleet
from cloud.stores.base import ObjectStore, StoreError
from cloud.warehouse.analyse import DayReport, analyse_days
from cloud.warehouse.base import Engine, EngineError

log = structlog.get_logger()
Day = tuple[str, str]
"""Site and local date."""
GROUP_DAYS = 200
"""Days in one run. PostgreSQL's table of locks holds some thousands."""


class ClusterAnalyst(Analyst):
    """An Analyst that takes ``group_days`` at a time."""

    def __init__(
        self,
        engine: Engine,
        store: ObjectStore,
        database: Database,
        fleet: Fleet,
        now_ms: Callable[[], int],
        prepare: Callable[[str], None] = lambda _date: None,
        group_days: int = GROUP_DAYS,
    ) -> None:
        super().__init__(engine, store, database, fleet, now_ms, prepare=prepare)
        self._group_days = group_days

    def mark(self, days: Iterable[Day]) -> set[Day]:
        """Mark days to be computed; gives those of stores that exist."""
        days = set(days)
        known = {site.site for site in self._fleet.sites()}
        if unknown := {site for site, _ in days if site not in known}:
            log.warning("lake_site_unknown", sites=len(unknown))
        mine = {day for day in days if day[0] in known}
        with self._database.begin() as connection:
            mark_dirty(connection, mine, self._now_ms())
        return mine

    def marks(self, days: Iterable[Day] | None = None) -> dict[Day, int]:
        """Which days are marked and since when, oldest first; of ``days`` or of all."""
        c = dirty_days.c
        query = select(c.site, c.date, c.since_ms).order_by(c.since_ms, c.site, c.date)
        wanted = None if days is None else set(days)
        with self._database.connect() as connection:
            found = {(row.site, row.date): row.since_ms for row in connection.execute(query)}
        return {day: since_ms for day, since_ms in found.items() if wanted is None or day in wanted}

    def analyse_dirty(self, should_stop: Callable[[], bool] = lambda: False) -> list[DayReport]:
        """Compute the days again that are marked and that no other process computes now. See ``Analyst.analyse_dirty``.

        A day that cannot be read is found by halving its group, and stops none of the others; its error comes last.
        """
        waiting = list(self.marks())
        groups = [waiting[n : n + self._group_days] for n in range(0, len(waiting), self._group_days)]
        reports: list[DayReport] = []
        failed: Exception | None = None
        while groups and not should_stop():
            group = groups.pop(0)
            try:
                reports += self._analyse_group(group)
            except (EngineError, StoreError) as error:
                if len(group) > 1:
                    half = len(group) // 2
                    groups[:0] = [group[:half], group[half:]]
                    continue
                log.error("day_failed", site=group[0][0], date=group[0][1], error=str(error))
                failed = error
        if failed:
            raise failed
        return reports

    def _analyse_group(self, group: Sequence[Day]) -> list[DayReport]:
        begun = time.monotonic()
        with day_locks(self._database, group) as mine:
            marks = self.marks(mine) if mine else {}  # after the locks: whoever had one before may have done its day
            if not marks:
                return []
            sites = {site.site: site for site in self._fleet.sites()}
            days = [(sites[site], date) for site, date in marks]
            for date in sorted({date for _, date in marks}):
                self._prepare(date)
            reports = analyse_days(self._engine, self._store, self._database, days, self._now_ms(), _is_marked)
            with self._database.begin() as connection:
                for (site, date), since_ms in sorted(marks.items()):
                    _unmark(connection, site, date, since_ms)
        self.figures_version += 1
        seconds = round(time.monotonic() - begun, 3)
        for report in reports:
            log.info("day_analysed", site=report.site, date=report.date, figures=report.figures, seconds=seconds)
        return reports


def _is_marked(connection: Connection, site: str, date: str) -> bool:
    """False where another has meanwhile computed the day from more than we have read, as after a failover, which takes our locks away."""
    c = dirty_days.c
    query = select(c.since_ms).where(c.site == site, c.date == date).with_for_update()
    return connection.execute(query).first() is not None


def _unmark(connection: Connection, site: str, date: str, since_ms: int) -> None:
    c = dirty_days.c
    connection.execute(delete(dirty_days).where(c.site == site, c.date == date, c.since_ms == since_ms))


@contextmanager
def day_locks(database: Database, days: Sequence[Day]) -> Iterator[list[Day]]:
    """Those of ``days`` that this process alone computes now: the locks of ``cloud.databases.postgres.day_lock``, all on one connection.
    Of two days with the same key both are locked by one who has the one."""
    keys = {day: day_key(*day) for day in days}
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        held: set[tuple[int, int]] = set()
        for key in sorted(set(keys.values())):
            if connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s, %s)", key).scalar_one():
                held.add(key)
        try:
            yield [day for day, key in keys.items() if key in held]
        finally:
            if not connection.closed:
                _unlock_all(connection)


def _unlock_all(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
    except Exception:
        connection.invalidate()  # locks that cannot be given back go with their connection
