"""The port: what the product needs of an analytics engine, and the order of the shared SQL texts.

An engine gets objects of the lake and small tables of parameters, runs the texts in order and gives back rows. The texts are in the
subset that DuckDB and Spark share: BIGINT epoch milliseconds, no QUALIFY, explicit division, percentiles by rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

SQL = Path(__file__).parent / "sql"
TABLES = ("heard", "visits", "ledger_once")
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
"""Tables of parameters and their columns."""
Row = Mapping[str, Any]


class EngineError(Exception):
    """The engine could not run a text."""


class Engine(Protocol):
    """Runs the shared texts over one site and day. Nothing is kept between calls; the same input gives the same rows."""

    def run(
        self, objects: Mapping[str, Sequence[str]], parameters: Mapping[str, Sequence[Row]]
    ) -> dict[str, list[dict[str, Any]]]:
        """``objects``: table of the lake -> locations of its Parquet objects; ``parameters``: see PARAMETERS. Gives the rows of
        each of RESULTS. Raises EngineError."""
        ...


def text(name: str) -> str:
    """The SQL text of that name."""
    return (SQL / f"{name}.sql").read_text()
