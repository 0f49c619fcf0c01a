"""SQLite: the embedded product's database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from cloud.databases.base import ALONE

BUSY_TIMEOUT_S = 10


def sqlite_database(path: Path) -> Engine:
    """An engine on the file ``path``; its folder is made. Readers do not wait for the writer (WAL)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # Python's own BEGIN leaves out CREATE TABLE: half a migration would stay
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # an enrolled access point and a dirty day survive a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        is_alone = connection.get_execution_options().get(ALONE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_alone else "BEGIN")

    # ``begin`` is for who writes: one that reads first and writes then would be told "locked" at once, timeout or not, where another wrote between.
    engine.begin = engine.execution_options(**{ALONE: True}).begin  # type: ignore[method-assign]
    return engine
