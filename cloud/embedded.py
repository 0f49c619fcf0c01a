"""The embedded composition root: SQLite log, local folder, DuckDB, SQLite, one process."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import structlog
from sqlalchemy import Engine as Database
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette

from cloud.analyst import Analyst
from cloud.consumer.consumer import Consumer
from cloud.databases.base import migrate
from cloud.databases.sqlite import sqlite_database
from cloud.databases.tables import dirty_days
from cloud.fleet.registry import Fleet
from cloud.log import kind_and_place
from cloud.portal.shoppers import Shoppers
from cloud.retention.receipts import KEY_NAME, Receipts, load_or_make_key
from cloud.retention.retention import Retention
from cloud.stores.base import StoreError
from cloud.stores.local_dir import LocalDirStore
from cloud.streams.base import StreamError
from cloud.streams.sqlite_log import SqliteStream
from cloud.warehouse.analyse import DayReport
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
        self.engine = DuckDbEngine(folder / "scratch")
        self.receipts = Receipts(self.database, load_or_make_key(folder / KEY_NAME), now_ms)
        self.consumer = Consumer(self.stream, self.store, self.database, self.fleet, now_ms)
        self.shoppers = Shoppers(self.database, now_ms)
        self.analyst = Analyst(self.engine, self.store, self.database, self.fleet, now_ms)
        self.retention = Retention(
            self.database, self.store, self.stream, self.fleet, self.receipts, now_ms, self.analyst.analyse
        )
        self._lock: IO[str] | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._worker: threading.Thread | None = None
        self.stream.on_append = self._wake.set

    # --- work -------------------------------------------------------------------------------------------------------

    def work(self) -> int:
        """Bring everything that waits into the lake and the figures; gives the number of records."""
        records = self.consumer.drain(self._stopping.is_set)
        self.fleet.apply_modes()
        self.analyst.mark_elapsed(self.shoppers.purge)
        self.analyse_dirty()
        self.retention.run_when_due()
        return records

    def analyse_dirty(self) -> list[DayReport]:
        """Compute the days again that have new data. See ``Analyst.analyse_dirty``."""
        return self.analyst.analyse_dirty(self._stopping.is_set)

    def analyse(self, site: str, date: str) -> DayReport:
        """Compute one day."""
        return self.analyst.analyse(site, date)

    @property
    def figures_version(self) -> int:
        """Grows with every analysis."""
        return self.analyst.figures_version

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
        from cloud.web import application

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> Any:
            if works:
                self.start()
            yield
            self.close()

        return application(self.stream, self.database, self.fleet, self.now_ms, lifespan=lifespan, is_open=is_open)


def _said(error: Exception) -> str:
    """An error of a part speaks for itself."""
    return str(error) if isinstance(error, TROUBLES) else kind_and_place(error)


def open_database(folder: Path) -> Database:
    """The embedded database, brought to the newest schema."""
    database = sqlite_database(folder / "ivizone.sqlite")
    migrate(database)
    return database
