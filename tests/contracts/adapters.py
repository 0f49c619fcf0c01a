"""The adapters of each port. A new one is a line here, and every promise of its port is tested on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud.databases.sqlite import sqlite_database
from cloud.stores.local_dir import LocalDirStore
from cloud.streams.sqlite_log import SqliteStream
from cloud.warehouse.duckdb_engine import DuckDbEngine

STREAMS: dict[str, Callable[..., Any]] = {
    "sqlite": lambda folder, **limits: SqliteStream(folder / "stream.sqlite", **limits),
}
"""Name -> what opens the stream that lives in a folder; ``limit_bytes`` bounds what may wait."""
STORES: dict[str, Callable[[Path], Any]] = {
    "local_dir": lambda folder: LocalDirStore(folder / "lake"),
}
ENGINES: dict[str, Callable[[], Any]] = {
    "duckdb": DuckDbEngine,
}
DATABASES: dict[str, Callable[[Path], Any]] = {
    "sqlite": lambda folder: sqlite_database(folder / "ivizone.sqlite"),
}
