"""The port: what the product needs of an analytics engine, and the order of the shared SQL texts.

An engine gets objects of the lake and small tables of parameters of one or many days, runs the texts in order and gives back rows.
The texts are in the subset that DuckDB and Spark share: BIGINT epoch milliseconds, no QUALIFY, explicit division, percentiles by rank.
Every table they read but ``presets`` and ``buckets`` has a ``day_no``, the place of its (site, local date) in the run, and nothing of
one day ever meets a row of another: one run over a thousand days is a thousand runs, in one plan that Spark can spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

SQL = Path(__file__).parent / "sql"
TABLES = ("heard", "partners", "joined", "visits", "ledger_once")
"""Texts whose result later ones read, in order."""
RESULTS = (
    "day",
    "quarters",
    "dwell",
    "dwell_buckets",
    "ledger_day",
    "skipped_day",
    "coverage",
    "error",
    "zone_quarters",
)
"""Texts whose rows are the answer."""
PARAMETERS = {
    "presets": {
        "preset": "VARCHAR",
        "heard_min_dbm": "INTEGER",
        "rssi_min_dbm": "INTEGER",
        "p_inside_min": "DOUBLE",
        "visit_gap_ms": "BIGINT",
        "visitor_min_ms": "BIGINT",
        "engaged_min_ms": "BIGINT",
        "resident_min_ms": "BIGINT",
        "resident_closed_hours": "INTEGER",
        "fills_edges": "INTEGER",
    },
    "closed_hours": {"start_ms": "BIGINT", "end_ms": "BIGINT"},
    "quarters": {"start_ms": "BIGINT", "end_ms": "BIGINT"},
    "spans": {"start_ms": "BIGINT", "end_ms": "BIGINT"},
    "buckets": {"from_s": "INTEGER", "to_s": "INTEGER"},
}
"""Tables of parameters and their columns. Engines add ``day_no`` to those that are not in SHARED, and a table ``days`` of all of them."""
SHARED = ("presets", "buckets")
"""The same for every day."""
Row = Mapping[str, Any]
Results = dict[str, list[dict[str, Any]]]
"""Rows of each of RESULTS."""


class EngineError(Exception):
    """The engine could not run a text."""


@dataclass(frozen=True, slots=True)
class DayInput:
    """One site and local day."""

    objects: Mapping[str, Sequence[str]]
    """Table of the lake -> locations of its Parquet objects."""
    parameters: Mapping[str, Sequence[Row]]
    """See PARAMETERS; those of SHARED are taken from the first day of a run."""


class Engine(Protocol):
    """Runs the shared texts over days. Nothing is kept between calls; the same input gives the same rows."""

    def run(self, days: Sequence[DayInput]) -> list[Results]:
        """The answer to each day, in order, as if it had been asked alone. Raises EngineError."""
        ...


def rows_of_parameter(name: str, days: Sequence[DayInput]) -> list[tuple[Any, ...]]:
    """The rows of a table of parameters over all days, in the order of `columns_of_parameter`."""
    columns = PARAMETERS[name]
    if name in SHARED:
        return [tuple(row[column] for column in columns) for row in days[0].parameters[name]]
    return [
        (day_no, *(row[column] for column in columns))
        for day_no, day in enumerate(days)
        for row in day.parameters[name]
    ]


def columns_of_parameter(name: str) -> dict[str, str]:
    """Column -> SQL type of a table of parameters as the texts read it."""
    return dict(PARAMETERS[name]) if name in SHARED else {"day_no": "INTEGER", **PARAMETERS[name]}


def split_days(found: Mapping[str, Sequence[dict[str, Any]]], days: int) -> list[Results]:
    """The rows of all days, each to its own day; ``day_no`` goes."""
    results: list[Results] = [{name: [] for name in RESULTS} for _ in range(days)]
    for name, rows in found.items():
        for row in rows:
            results[row.pop("day_no")][name].append(row)
    return results


def text(name: str) -> str:
    """The SQL text of that name."""
    return (SQL / f"{name}.sql").read_text()
