"""Objects of the lake: merged ones hold what went into them, and merging needs the room of a few rows only."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud.stores import lake
from cloud.stores.lake import LAKE, merge_parquet, to_parquet


def windows(first: int, count: int) -> list[dict]:
    return [
        {"agent": "ap-test", "boot": "00", "batch": first, "row_no": n, "start_ms": n, "devices": 1.5, "low": 1.0}
        for n in range(first, first + count)
    ]


@pytest.mark.parametrize("counts", [(1,), (3, 4, 5), (10, 1, 10), (0, 7, 0), (25,), (9, 1)])
def test_a_merged_object_holds_all_rows_in_order_in_groups_of_bounded_length(monkeypatch, counts):
    monkeypatch.setattr(lake, "MERGED_ROWS", 10)
    parts = [windows(sum(counts[:place]), count) for place, count in enumerate(counts)]
    merged = pq.ParquetFile(io.BytesIO(merge_parquet("windows", [to_parquet("windows", part) for part in parts])))
    assert merged.read().column("row_no").to_pylist() == list(range(sum(counts)))
    assert merged.schema_arrow.equals(LAKE["windows"])
    groups = [merged.metadata.row_group(n).num_rows for n in range(merged.metadata.num_row_groups)]
    assert all(rows == 10 for rows in groups[:-1]) and all(rows <= 10 for rows in groups)


def test_an_object_of_before_a_column_was_added_has_null_in_it():
    old = LAKE["windows"].remove(LAKE["windows"].get_field_index("high"))
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(windows(0, 2), old), target)
    merged = pq.read_table(
        io.BytesIO(merge_parquet("windows", [target.getvalue(), to_parquet("windows", windows(2, 1))]))
    )
    assert merged.column("high").to_pylist() == [None] * 3 and merged.column("row_no").to_pylist() == [0, 1, 2]


def test_merging_needs_the_room_of_a_few_groups_however_many_rows_there_are(monkeypatch):
    """Measured by Arrow itself: the peak of a pool of its own, for eight times the rows."""
    monkeypatch.setattr(lake, "MERGED_ROWS", 2_000)
    peaks = {}
    former = pa.default_memory_pool()
    for objects in (10, 80):
        parts = [to_parquet("windows", windows(n * 1000, 1000)) for n in range(objects)]
        pool = pa.proxy_memory_pool(pa.system_memory_pool())
        pa.set_memory_pool(pool)
        try:
            merge_parquet("windows", parts)
        finally:
            pa.set_memory_pool(former)
        peaks[objects] = pool.max_memory()
    assert peaks[80] < 1.5 * peaks[10]
