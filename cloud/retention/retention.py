"""Erases what is over, in every store, and leaves receipts (shell). The times are those of ``cloud.domain.retention``.

A day is closed first and its objects are removed then: nothing is taken for a closed day, and its figures are not computed again from what
is left. Killed anywhere, the next run does the rest: it looks at what lies there, not at what it remembers. The receipt comes last, for
it may say only what is done.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy import Engine, delete, select, union, update

from cloud.databases.privacy_tables import closed_ledgers, held_days, set_aside
from cloud.databases.tables import (
    audit,
    day_figures,
    dirty_days,
    dwell_buckets,
    enrolment_tokens,
    ledger_days,
    quarter_figures,
    sessions,
    sign_in_links,
)
from cloud.domain.modes import keeps_devices
from cloud.domain.retention import AUDIT_MS, DAY_MS, DEVICE_TABLES, DEVICES_MS, FIGURES_DAYS, NAMES_MS, erase_at_ms
from cloud.domain.site import QUARTER_S, Site
from cloud.fleet.registry import Fleet
from cloud.retention.ledger import keep_rows_of
from cloud.retention.receipts import Receipts
from cloud.stores.base import ObjectStore, StoreError
from cloud.stores.lake import LAKE, partition, rows_in
from cloud.warehouse.base import EngineError

log = structlog.get_logger()
FIGURES = (day_figures, quarter_figures, dwell_buckets, ledger_days, closed_ledgers)
DATED = (*FIGURES, dirty_days, held_days)
"""Tables with a row for each day of a site; a day that has objects in the lake has one in some of them."""


class Forgets(Protocol):
    """A stream that keeps the names of batches."""

    def forget(self, before_ms: int) -> int:
        """Let go of the names of batches that came before, and of what lies unused in its files. Gives how many."""
        ...


@dataclass(frozen=True, slots=True)
class Erased:
    """What a run did."""

    days: int = 0
    objects: int = 0
    rows: int = 0
    names: int = 0
    figures: int = 0


class Retention:
    """``analyse(site, date)`` computes a day once more before it is closed, where it has data that no figure knows of. ``lock(site, date)``
    is true while nobody else computes the day; another's day waits for the next run.

    ``again_ms`` is how long a closed day is looked at again for objects that came late, None for ever: in a folder a look costs nothing,
    in S3 each is a request that is paid for, and a rule of the bucket removes what is left.
    """

    def __init__(
        self,
        database: Engine,
        store: ObjectStore,
        stream: Forgets | None,
        fleet: Fleet,
        receipts: Receipts,
        now_ms: Callable[[], int],
        analyse: Callable[[str, str], object] = lambda _site, _date: None,
        lock: Callable[[str, str], AbstractContextManager[bool]] = lambda _site, _date: nullcontext(True),
        again_ms: int | None = None,
    ) -> None:
        self._database = database
        self._store = store
        self._stream = stream
        self._fleet = fleet
        self._receipts = receipts
        self._now_ms = now_ms
        self._analyse = analyse
        self._lock = lock
        self._again_ms = again_ms
        self._ran_ms = 0
        self._ran_modes: dict[str, str] = {}

    def run(self, again_ms: int | None = None) -> Erased:
        """Erase everything whose time has come. A second call does nothing more. Raises StoreError, StreamError, SQLAlchemyError."""
        days, objects, rows = self._erase_days(again_ms)
        kept = self._erase_quarantine()
        names = self._stream.forget(self._now_ms() - NAMES_MS) if self._stream else 0
        figures = self._erase_old()
        erased = Erased(days, objects + kept, rows, names, figures)
        if erased != Erased():
            log.info("retention_run", days=days, objects=objects + kept, rows=rows, names=names, figures=figures)
        return erased

    def run_when_due(self) -> None:
        """``run`` once a quarter-hour, and at once where a store was told to count only."""
        now_ms = self._now_ms()
        modes = {site.site: site.legal_mode for site in self._fleet.sites()}
        if now_ms - self._ran_ms >= QUARTER_S * 1000 or modes != self._ran_modes:
            self.run(self._again_ms)
            self._ran_ms, self._ran_modes = now_ms, modes

    # --- days -------------------------------------------------------------------------------------------------------

    def _erase_days(self, again_ms: int | None) -> tuple[int, int, int]:
        sites = {site.site: site for site in self._fleet.sites()}
        closed_ms = held_days.c.closed_ms
        query = select(held_days).order_by(held_days.c.site, held_days.c.date)
        if again_ms is not None:
            query = query.where(closed_ms.is_(None) | (closed_ms > self._now_ms() - again_ms))
        with self._database.connect() as connection:
            held = list(connection.execute(query))
        days = objects = rows = 0
        for row in held:
            site = sites[row.site]
            if self._now_ms() >= erase_at_ms(site, row.date, row.received_ms):
                with self._lock(row.site, row.date) as is_mine:
                    found = self._erase_day(site, row.date, is_closed=row.closed_ms is not None) if is_mine else None
                days += found is not None
                objects += found[0] if found else 0
                rows += found[1] if found else 0
        return days, objects, rows

    def _erase_day(self, site: Site, date: str, *, is_closed: bool) -> tuple[int, int] | None:
        """Objects and rows removed; None where there was nothing and the day is closed already."""
        # Messages that came after a day was told to count only hold counts, and stay.
        tables = DEVICE_TABLES if not is_closed or keeps_devices(site.modes.on(date)) else ("sightings",)
        prefixes = [partition(table, site.site, date) for table in tables]
        names = [name for prefix in prefixes for name in self._store.names(prefix)]
        if is_closed and not names:
            return None
        if not is_closed:
            self._compute(site.site, date)
            self._close(site, date)
        counts: dict[str, int] = {}
        for name in names:
            table = name.partition("/")[0]
            counts[table] = counts.get(table, 0) + rows_in(self._store.get(name))
            self._store.remove(name)
        mode = site.modes.on(date)
        self._receipts.add(
            "day_erased",
            {
                "site": site.site,
                "date": date,
                "mode": mode,
                "why": "24 h after the day closed" if keeps_devices(mode) else "the day counts only",
                "objects": len(names),
                "rows": counts,
            },
        )
        return len(names), sum(counts.values())

    def _compute(self, site: str, date: str) -> None:
        """A day's figures must be made before what they are made of is gone; where that fails, it is gone all the same."""
        c = dirty_days.c
        with self._database.connect() as connection:
            is_dirty = connection.execute(select(c.site).where(c.site == site, c.date == date)).first()
        if not is_dirty:
            return
        try:
            self._analyse(site, date)
        except (EngineError, StoreError) as error:
            log.error("day_failed", site=site, date=date, error=str(error))

    def _close(self, site: Site, date: str) -> None:
        """From here on nothing of the day is taken; how many sightings there were stays for its ledger."""
        mine = (held_days.c.site == site.site, held_days.c.date == date)
        with self._database.begin() as connection:
            keep_rows_of(self._store, connection, site, date)
            connection.execute(update(held_days).where(*mine).values(closed_ms=self._now_ms()))

    # --- what could not be read ---------------------------------------------------------------------------------------

    def _erase_quarantine(self) -> int:
        c = set_aside.c
        where = (c.object.is_not(None), c.at_ms <= self._now_ms() - DEVICES_MS)
        with self._database.connect() as connection:
            old = list(connection.execute(select(set_aside).where(*where)))
        for row in old:
            self._store.remove(row.object)
            self._store.remove(row.object.removesuffix(".cose") + ".reason.txt")
            same = (c.agent == row.agent, c.boot == row.boot, c.batch == row.batch, c.kind == row.kind)
            with self._database.begin() as connection:
                connection.execute(update(set_aside).where(*same).values(object=None))
        if old:
            self._receipts.add("quarantine_erased", {"objects": len(old)})
        return len(old)

    # --- what speaks of nobody ----------------------------------------------------------------------------------------

    def _erase_old(self) -> int:
        """Figures, lake and lists of 25 months ago; sessions, links and tokens that are over.

        A store for captures is left out: its days are as old as the captures are, and were not measured on anybody's customers.
        """
        now_ms = self._now_ms()
        captures = [site.site for site in self._fleet.sites() if site.allows_replay]
        oldest = (Date.fromtimestamp(0) + timedelta(days=now_ms // DAY_MS - FIGURES_DAYS)).isoformat()
        objects = self._erase_old_objects(oldest, captures)  # first: the rows tell which days have some
        with self._database.begin() as connection:
            for column in (sessions.c.seen_ms, sign_in_links.c.expires_ms, enrolment_tokens.c.expires_ms):
                connection.execute(delete(column.table).where(column < now_ms - NAMES_MS))
            connection.execute(delete(audit).where(audit.c.at_ms < now_ms - AUDIT_MS))
            connection.execute(delete(set_aside).where(set_aside.c.date < oldest, set_aside.c.site.not_in(captures)))
            rows = sum(
                connection.execute(delete(table).where(table.c.date < oldest, table.c.site.not_in(captures))).rowcount
                for table in DATED
            )
        if rows or objects:
            self._receipts.add("figures_erased", {"before": oldest, "rows": rows, "objects": objects})
        return rows + objects

    def _erase_old_objects(self, oldest: str, captures: list[str]) -> int:
        """Objects of ledgers, windows and counts whose date is before ``oldest``, but for the stores of ``captures``. To list the whole
        lake for it would take hours where there are thousands of stores."""
        days = union(*(select(t.c.site, t.c.date).where(t.c.date < oldest, t.c.site.not_in(captures)) for t in DATED))
        with self._database.connect() as connection:
            old = list(connection.execute(days))
        names = [
            name for row in old for table in LAKE for name in self._store.names(partition(table, row.site, row.date))
        ]
        for name in names:
            self._store.remove(name)
        return len(names)
