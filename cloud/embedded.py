"""The embedded composition root: SQLite log, local folder, DuckDB, SQLite, one process."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import date as Date
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import structlog
from sqlalchemy import Engine as Database
from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.middleware import Middleware

from cloud.consumer.consumer import Consumer
from cloud.databases.base import migrate, upsert
from cloud.databases.sqlite import sqlite_database
from cloud.databases.tables import dirty_days, ledger_days
from cloud.domain.site import QUARTER_S, Site
from cloud.fleet.registry import Fleet
from cloud.ingest.app import Ingest, PastTheRouter
from cloud.portal.shoppers import Shoppers
from cloud.stores.base import StoreError
from cloud.stores.local_dir import LocalDirStore
from cloud.streams.base import StreamError
from cloud.streams.sqlite_log import SqliteStream
from cloud.warehouse.analyse import DayReport, analyse_day
from cloud.warehouse.base import EngineError
from cloud.warehouse.duckdb_engine import DuckDbEngine

log = structlog.get_logger()
GATHER_S = 0.3
"""After the first new record, how long others are waited for."""
RETRY_S = 5.0
LOOK_S = 30.0
"""How often the clock is looked at while nothing arrives."""
LOCK_NAME = "in-use.lock"
TROUBLES = (StreamError, StoreError, EngineError, SQLAlchemyError)


def wall_clock_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class FolderTaken(Exception):
    """Another process works in the data folder."""


def claim(lock: Path) -> IO[str]:
    """Keep the file ``lock`` for this process until it is closed. Raises FolderTaken.

    Two consumers on one stream would write the same object with different ends, and the shorter one could come last.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = lock.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FolderTaken(
            f"{lock.parent} is in use by another ivizone-cloud; stop that one, or name another folder with --data"
        ) from None
    return file


class Embedded:
    """All parts over one data folder. ``work`` and ``start`` drive consumer and analytics; ``app`` is what is served."""

    def __init__(self, folder: Path, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self.folder = folder
        self.now_ms = now_ms
        self.database = open_database(folder)
        self.fleet = Fleet(self.database, now_ms)
        self.store = LocalDirStore(folder / "lake")
        self.stream = SqliteStream(folder / "stream.sqlite")
        self.engine = DuckDbEngine()
        self.consumer = Consumer(self.stream, self.store, self.database, self.fleet, now_ms)
        self.shoppers = Shoppers(self.database, now_ms)
        self.figures_version = 0
        """Grows with every analysis."""
        self._looked_ms = 0
        self._lock: IO[str] | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._worker: threading.Thread | None = None
        self.stream.on_append = self._wake.set

    # --- work -------------------------------------------------------------------------------------------------------

    def work(self) -> int:
        """Bring everything that waits into the lake and the figures; gives the number of records."""
        records = self.consumer.drain(self._stopping.is_set)
        self._mark_elapsed()
        self.analyse_dirty()
        return records

    def analyse_dirty(self) -> list[DayReport]:
        """Compute the days again that have new data. A day that cannot be computed stops none of the others; its error comes last."""
        with self.database.connect() as connection:
            waiting = list(connection.execute(select(dirty_days).order_by(dirty_days.c.since_ms)))
        reports, failed = [], None
        for row in waiting:
            if self._stopping.is_set():
                break
            try:
                reports.append(self.analyse(row.site, row.date))
            except Exception as error:
                log.error("day_failed", site=row.site, date=row.date, error=_said(error))
                failed = error
                continue
            columns = dirty_days.c
            with self.database.begin() as connection:  # unless more came meanwhile
                same = (columns.site == row.site, columns.date == row.date, columns.since_ms == row.since_ms)
                connection.execute(delete(dirty_days).where(*same))
        if failed:
            raise failed
        return reports

    def _mark_elapsed(self) -> None:
        """Once a quarter-hour: a day that was not over at the last look has grown, also where nothing came. Without this an access
        point that dies at noon would have been heard all day."""
        now_ms, before_ms = self.now_ms(), self._looked_ms
        if now_ms // (QUARTER_S * 1000) == before_ms // (QUARTER_S * 1000):
            return
        days = {(site.site, day) for site in self.fleet.sites() for day in _last_days(site, now_ms, before_ms)}
        with self.database.begin() as connection:
            heard = connection.execute(select(ledger_days.c.site, ledger_days.c.date).distinct())
            for site, day in sorted(days & {(row.site, row.date) for row in heard}):
                upsert(connection, dirty_days, {"site": site, "date": day}, {"since_ms": now_ms})
        self.shoppers.purge()
        self._looked_ms = now_ms

    def analyse(self, site: str, date: str) -> DayReport:
        """Compute one day."""
        found = self.fleet.site(site)
        if found is None:
            raise AssertionError("cannot happen: days become dirty for sites that exist")
        begun = time.monotonic()
        report = analyse_day(self.engine, self.store, self.database, found, date, self.now_ms())
        self.figures_version += 1
        log.info(
            "day_analysed", site=site, date=date, figures=report.figures, seconds=round(time.monotonic() - begun, 3)
        )
        return report

    # --- the worker ---------------------------------------------------------------------------------------------------

    def claim(self) -> None:
        """Keep the folder for this process. Raises FolderTaken. A second call does nothing."""
        self._lock = self._lock or claim(self.folder / LOCK_NAME)

    def start(self) -> None:
        """Work whenever something arrives, in a thread. Raises FolderTaken."""
        self.claim()
        self._wake.set()  # what an earlier run left behind
        self._worker = threading.Thread(target=self._run, name="ivizone-worker", daemon=True)
        self._worker.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._wake.wait(LOOK_S):
                self._stopping.wait(GATHER_S)
            self._wake.clear()
            try:
                self.work()
            except Exception as error:  # whatever it is: a worker that is gone would show old figures for ever
                log.error("worker_failed", error=_said(error), retry_in_s=RETRY_S)
                self._stopping.wait(RETRY_S)
                self._wake.set()

    def is_idle(self) -> bool:
        """True where everything that was taken in is in the figures."""
        with self.database.connect() as connection:
            is_clean = connection.execute(select(dirty_days.c.site).limit(1)).first() is None
        return is_clean and self.stream.waiting() == 0

    def close(self) -> None:
        """Finish what is under way and let go of the files. A second call does nothing."""
        self._stopping.set()
        self._wake.set()
        if self._worker:
            self._worker.join()
            self._worker = None
        self.stream.close()
        self.database.dispose()
        if self._lock:
            self._lock.close()
            self._lock = None

    # --- the server ---------------------------------------------------------------------------------------------------

    def app(self, *, works: bool = True, is_open: bool = False) -> Starlette:
        """Ingest, the merchant's pages and the store's. ``works`` starts the worker with the server; ``is_open`` turns sign-in off."""
        from cloud.dashboard.app import Dashboard
        from cloud.dashboard.headers import SafeHeaders
        from cloud.portal.app import StorePage

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> Any:
            if works:
                self.start()
            yield
            self.close()

        ingest = Ingest(self.stream, self.fleet, self.now_ms)
        dashboard = Dashboard(self.database, self.fleet, self.now_ms, is_open=is_open)
        store_page = StorePage(self.database, self.fleet, self.now_ms)
        pages = [*dashboard.routes(), *store_page.merchant_routes(dashboard.gate), *store_page.routes()]
        return Starlette(
            routes=[*ingest.routes(), *pages],
            middleware=[Middleware(PastTheRouter, batches=ingest.batches), Middleware(SafeHeaders)],
            exception_handlers={404: dashboard.not_there},
            lifespan=lifespan,
        )


def _said(error: Exception) -> str:
    """An error of a part speaks for itself; of any other the kind is needed too."""
    return str(error) if isinstance(error, TROUBLES) else repr(error)


def _last_days(site: Site, now_ms: int, since_ms: int) -> list[str]:
    """The local dates of today and yesterday that were not over at ``since_ms``."""
    today = Date.fromisoformat(site.date_of(now_ms))
    days = [day.isoformat() for day in (today, today - timedelta(days=1))]
    return [day for day in days if site.day_bounds_ms(day)[1] > since_ms]


def open_database(folder: Path) -> Database:
    """The embedded database, brought to the newest schema."""
    database = sqlite_database(folder / "ivizone.sqlite")
    migrate(database)
    return database
