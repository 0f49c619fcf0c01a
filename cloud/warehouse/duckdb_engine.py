"""DuckDB: the embedded engine. One connection in memory for each run, so nothing can linger and runs may be parallel."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from cloud.memory import give_back
from cloud.stores.lake import QUERIED, duckdb_columns
from cloud.warehouse.base import (
    PARAMETERS,
    RESULTS,
    TABLES,
    DayInput,
    EngineError,
    Results,
    columns_of_parameter,
    rows_of_parameter,
    split_days,
    text,
)

MEMORY_LIMIT = "1GB"
THREADS = 2
_GLOB = re.compile(r"[*?\[]")
"""What DuckDB would take for a pattern in the name of a file; a data folder may bear any name."""


class DuckDbEngine:
    """See ``Engine``. What does not fit into the memory that it may take lies in a folder of its own below ``scratch``, for the time of a run."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def run(self, days: Sequence[DayInput]) -> list[Results]:
        """See ``Engine.run``."""
        try:
            with (
                _own_folder(self._scratch) as folder,
                duckdb.connect(
                    ":memory:",
                    config={
                        "memory_limit": MEMORY_LIMIT,
                        "threads": THREADS,
                        "temp_directory": str(folder),
                        "autoinstall_known_extensions": False,
                    },
                ) as connection,
            ):
                for table in QUERIED:
                    _open_table(connection, table, [day.objects.get(table, ()) for day in days])
                connection.execute("CREATE TEMP TABLE days AS SELECT RANGE AS day_no FROM RANGE(?)", [len(days)])
                for name in PARAMETERS:
                    _fill(connection, name, rows_of_parameter(name, days))
                for name in TABLES:
                    connection.execute(f"CREATE TEMP TABLE {name} AS {text(name)}")
                return split_days({name: _rows(connection.execute(text(name))) for name in RESULTS}, len(days))
        except duckdb.Error as error:
            raise EngineError(f"DuckDB could not run the shared SQL: {error}") from error
        except OSError as error:
            raise EngineError(
                f"{self._scratch}: DuckDB has no room beside its memory there ({error.strerror})"
            ) from error
        finally:
            give_back()  # a day of a million devices takes the limit, and is looked at again and again


@contextmanager
def _own_folder(scratch: Path) -> Iterator[Path]:
    """A folder that nobody else reads, gone afterwards. What killed processes left in ``scratch`` goes first: it may be of single devices.
    Raises OSError."""
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _held(scratch):  # or somebody could take the new folder for a left one
        for left in filter(Path.is_dir, scratch.iterdir()):
            with suppress(BlockingIOError), _held(left, fcntl.LOCK_NB):
                shutil.rmtree(left)
        own = Path(tempfile.mkdtemp(dir=scratch))
        lock = os.open(own, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(lock)


@contextmanager
def _held(folder: Path, how: int = 0) -> Iterator[None]:
    """The lock of a folder, which the system takes from a process that ends. Raises OSError."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(lock)


def _open_table(connection: duckdb.DuckDBPyConnection, table: str, by_day: Sequence[Sequence[str]]) -> None:
    """A view over the table's objects of every day; of days without any, an empty table of the same columns."""
    parts = [f"SELECT 0 AS day_no, * FROM empty_{table}"]  # noqa: S608  names are constants of ours
    connection.execute(f"CREATE TEMP TABLE empty_{table} ({duckdb_columns(table)})")
    for day_no, locations in enumerate(by_day):
        if locations:
            files = [_GLOB.sub(r"[\g<0>]", location) for location in locations]
            relation = connection.read_parquet(files, union_by_name=True, hive_partitioning=False)
            relation.create_view(f"{table}_{day_no}")
            parts.append(f"SELECT {day_no} AS day_no, * FROM {table}_{day_no}")  # noqa: S608
    connection.execute(f"CREATE TEMP VIEW {table} AS {' UNION ALL BY NAME '.join(parts)}")


def _fill(connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
    columns = columns_of_parameter(name)
    connection.execute(
        f"CREATE TEMP TABLE {name} ({', '.join(f'{column} {kind}' for column, kind in columns.items())})"
    )
    if rows:
        places = ", ".join("?" for _ in columns)
        connection.executemany(f"INSERT INTO {name} VALUES ({places})", rows)  # noqa: S608  names are constants of ours


def _rows(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
