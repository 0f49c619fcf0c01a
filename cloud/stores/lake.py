"""The lake's layout: one Parquet schema for each table, and how objects are named. Data engineers read docs/lake.md.

sightings/site=<site>/date=<local date>/<shard>-<first sequence>.parquet      and the same for ledger, windows, zone_counts
quarantine/<shard>-<sequence>.cose  and  .reason.txt                            what could not be read, untouched, and why
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cloud.memory import give_back

_BATCH = [("agent", pa.string()), ("boot", pa.string()), ("batch", pa.int64())]
LAKE: dict[str, pa.Schema] = {
    "sightings": pa.schema(
        [
            *_BATCH,
            ("row_no", pa.int32()),
            ("mode", pa.string()),
            ("key_epoch", pa.int32()),
            ("pseudonym", pa.string()),
            ("first_ms", pa.int64()),
            ("last_ms", pa.int64()),
            ("bursts", pa.int32()),
            ("frames", pa.int32()),
            ("rssi_max_dbm", pa.int32()),
            ("rssi_median_dbm", pa.int32()),
            ("p_inside", pa.int32()),
            ("channel", pa.int32()),
            ("address_kind", pa.string()),
            ("source", pa.string()),
            ("confidence", pa.int32()),
            ("link", pa.string()),
        ]
    ),
    "ledger": pa.schema(
        [
            *_BATCH,
            ("window_start_ms", pa.int64()),
            ("window_end_ms", pa.int64()),
            ("clock", pa.string()),
            ("mode", pa.string()),
            ("key_epoch", pa.int32()),
            ("config_hash", pa.string()),
            ("software", pa.string()),
            ("received_ms", pa.int64()),
            ("frames", pa.int64()),
            ("probe_requests", pa.int64()),
            ("skipped", pa.string()),
            ("skipped_total", pa.int64()),
            ("kernel_drops", pa.int64()),
            ("rssi_rejected", pa.int64()),
            ("fcs_unflagged", pa.int64()),
            ("listening_ms", pa.string()),
            ("listening_total_ms", pa.int64()),
            ("evicted_batches", pa.int64()),
            ("evicted_tracks", pa.int64()),
            ("sightings", pa.int64()),
        ]
    ),
    "windows": pa.schema(
        [
            *_BATCH,
            ("row_no", pa.int32()),
            ("start_ms", pa.int64()),
            ("devices", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
        ]
    ),
    "zone_counts": pa.schema(
        [
            *_BATCH,
            ("row_no", pa.int32()),
            ("start_ms", pa.int64()),
            ("zone", pa.string()),
            ("devices", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
        ]
    ),
    "messages": pa.schema([*_BATCH, ("received_ms", pa.int64()), ("message", pa.binary())]),
}
"""Table -> schema. ``skipped`` and ``listening_ms`` are JSON: reason -> frames, channel -> milliseconds (0: channel unknown).
``messages`` holds the signed bytes as they came, for whoever wants to verify them again."""
MERGED_ROWS = 65_536
"""Of a row group in a merged object."""
QUERIED = ("sightings", "ledger", "windows", "zone_counts")
"""What the shared SQL reads."""
_SQL = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.int32(): "INTEGER", pa.float64(): "DOUBLE"}


def duckdb_columns(table: str) -> str:
    """The columns of a table as a CREATE TABLE lists them."""
    return ", ".join(f"{field.name} {_SQL[field.type]}" for field in LAKE[table])


def partition(table: str, site: str, date: str) -> str:
    """The prefix of all objects of one table, site and local date."""
    return f"{table}/site={site}/date={date}/"


def object_name(table: str, site: str, date: str, shard: str, sequence: int, last: int | None = None) -> str:
    """The object that begins with the record ``sequence``: written again, it is the same one.

    Where several consumers may read the same records, the name says its ``last`` record too: of two that cut at other places neither
    may take the other's rows away.
    """
    end = "" if last is None else f"-{last:020d}"
    return f"{partition(table, site, date)}{shard}-{sequence:020d}{end}.parquet"


def quarantine_name(shard: str, sequence: int) -> str:
    """Where an unreadable message goes; its reason lies beside it."""
    return f"quarantine/{shard}-{sequence:020d}.cose"


def to_parquet(table: str, rows: list[dict[str, Any]]) -> bytes:
    """Rows as one compressed Parquet object."""
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, LAKE[table]), target, compression="zstd")
    return target.getvalue()


def merge_parquet(table: str, objects: list[bytes]) -> bytes:
    """Several objects of one table as one, ``MERGED_ROWS`` rows at a time: a whole day's rows take a hundred times the room of its objects.

    Arrow keeps what it took for the next time; it is given back, or a process would be as large as its largest merge for good.
    """
    target = io.BytesIO()
    with pq.ParquetWriter(target, LAKE[table], compression="zstd") as writer:
        for group in _groups(table, objects):
            writer.write_table(group)
    give_back()
    return target.getvalue()


def _groups(table: str, objects: list[bytes]) -> Iterator[pa.Table]:
    """Their rows in order, in tables of ``MERGED_ROWS``; the last has what is left."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for data in objects:
        for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches(MERGED_ROWS):
            waiting.append(_in_schema(batch, LAKE[table]))
            rows += batch.num_rows
            if rows >= MERGED_ROWS:
                whole = pa.Table.from_batches(waiting, LAKE[table])
                yield whole.slice(0, MERGED_ROWS)
                waiting = whole.slice(MERGED_ROWS).to_batches()
                rows -= MERGED_ROWS
    if waiting:
        yield pa.Table.from_batches(waiting, LAKE[table])


def _in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """An object that was written before a column was added has null in it."""
    if batch.schema.equals(schema):
        return batch
    names = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type) if field.name in names else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def rows_in(data: bytes) -> int:
    """How many rows an object holds: its footer says it."""
    return int(pq.read_metadata(io.BytesIO(data)).num_rows)
