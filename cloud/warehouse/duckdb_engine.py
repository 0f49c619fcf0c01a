"""DuckDB: the embedded engine. One connection in memory for each run, so nothing can linger and runs may be parallel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from cloud.stores.lake import QUERIED, duckdb_columns
from cloud.warehouse.base import PARAMETERS, RESULTS, TABLES, EngineError, Row, text

MEMORY_LIMIT = "1GB"
THREADS = 2
_GLOB = re.compile(r"[*?\[]")
"""What DuckDB would take for a pattern in the name of a file; a data folder may bear any name."""


class DuckDbEngine:
    """See ``Engine``."""

    def run(
        self, objects: Mapping[str, Sequence[str]], parameters: Mapping[str, Sequence[Row]]
    ) -> dict[str, list[dict[str, Any]]]:
        """See ``Engine.run``."""
        try:
            with duckdb.connect(
                ":memory:",
                config={"memory_limit": MEMORY_LIMIT, "threads": THREADS, "autoinstall_known_extensions": False},
            ) as connection:
                for table in QUERIED:
                    _open_table(connection, table, objects.get(table, ()))
                for name, columns in PARAMETERS.items():
                    _fill(connection, name, columns, parameters[name])
                for name in TABLES:
                    connection.execute(f"CREATE TEMP TABLE {name} AS {text(name)}")
                return {name: _rows(connection.execute(text(name))) for name in RESULTS}
        except duckdb.Error as error:
            raise EngineError(f"DuckDB could not run the shared SQL: {error}") from error


def _open_table(connection: duckdb.DuckDBPyConnection, table: str, locations: Sequence[str]) -> None:
    """A view over the table's objects, or an empty table of the same columns."""
    if locations:
        files = [_GLOB.sub(r"[\g<0>]", location) for location in locations]
        connection.read_parquet(files, union_by_name=True, hive_partitioning=False).create_view(table)
    else:
        connection.execute(f"CREATE TEMP TABLE {table} ({duckdb_columns(table)})")


def _fill(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, str], rows: Sequence[Row]) -> None:
    connection.execute(
        f"CREATE TEMP TABLE {name} ({', '.join(f'{column} {kind}' for column, kind in columns.items())})"
    )
    if rows:
        places = ", ".join("?" for _ in columns)
        connection.executemany(
            f"INSERT INTO {name} VALUES ({places})",  # noqa: S608  names are constants of ours
            [[row[column] for column in columns] for row in rows],
        )


def _rows(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
