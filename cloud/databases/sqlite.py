"""SQLite: the embedded product's database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event

BUSY_TIMEOUT_S = 10


def sqlite_database(path: Path) -> Engine:
    """An engine on the file ``path``; its folder is made. Readers do not wait for the writer (WAL)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")  # figures can be computed again; what cannot is in the stream
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine
