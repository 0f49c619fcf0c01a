"""The adapters of each port. A new one is a line here, and every promise of its port is tested on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.aws import adapters as aws
from support.aws import spark

from cloud.databases.sqlite import sqlite_database
from cloud.stores.local_dir import LocalDirStore
from cloud.streams.sqlite_log import SqliteStream
from cloud.warehouse.duckdb_engine import DuckDbEngine

STREAMS: dict[str, Callable[..., Any]] = {
    "sqlite": lambda folder, **limits: SqliteStream(folder / "stream.sqlite", **limits),
    "kinesis": aws.kinesis_stream,
}
"""Name -> what opens the stream that lives in a folder; ``limit_bytes`` bounds what may wait."""
AT_LEAST_ONCE = {"kinesis"}
"""Streams that know the names that this process stored, and no others: docs/adr/0013-kinesis.md."""
BOUNDED_BY_AGE = {"kinesis"}
"""Streams that are full by how old the oldest waiting record is, not by bytes: tests/aws/test_kinesis.py."""
STORES: dict[str, Callable[[Path], Any]] = {
    "local_dir": lambda folder: LocalDirStore(folder / "lake"),
    "s3": aws.s3_store,
}
ENGINES: dict[str, Callable[[], Any]] = {
    "duckdb": lambda: DuckDbEngine(Path(tempfile.gettempdir()) / f"ivizone-tests-{os.getuid()}"),
    "spark": spark.engine,
}
DATABASES: dict[str, Callable[[Path], Any]] = {
    "sqlite": lambda folder: sqlite_database(folder / "ivizone.sqlite"),
    "postgres": aws.postgres,
}
