"""Rows of the lake for tests, and an engine's answer to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cloud.domain.preset import presets
from cloud.domain.site import QUARTER_S
from cloud.stores.lake import QUERIED, object_name, to_parquet
from cloud.stores.local_dir import LocalDirStore
from cloud.warehouse.analyse import DWELL_BUCKETS_S
from cloud.warehouse.base import DayInput

DAY_MS = 1_700_006_400_000
"""2023-11-15 00:00 UTC."""
MIN_MS = 60_000
HOUR_MS = 3_600_000
Row = dict[str, Any]


def sighting(pseudonym: str, first_ms: int, last_ms: int | None = None, number: int = 0, **changes: Any) -> Row:
    """A row of ``sightings``, half a second long unless said otherwise; ``number`` names it within its batch."""
    usual = {
        "agent": "ap-1", "boot": "00", "batch": 0, "row_no": number, "mode": "day", "key_epoch": 1, "pseudonym": pseudonym,
        "first_ms": first_ms, "last_ms": first_ms + 500 if last_ms is None else last_ms, "bursts": 1, "frames": 4, "rssi_max_dbm": -58,
        "rssi_median_dbm": -60, "p_inside": 80, "channel": 6, "address_kind": "randomised", "source": "pcap", "confidence": 90,
        "link": None,
    }  # fmt: skip
    return {**usual, **changes}


def ledger(start_ms: int, end_ms: int, listened_ms: int | None = None, **changes: Any) -> Row:
    """A row of ``ledger``: a batch that listened all its time unless said otherwise."""
    usual = {
        "agent": "ap-1", "boot": "00", "batch": 0, "window_start_ms": start_ms, "window_end_ms": end_ms, "clock": "synced", "mode": "day",
        "key_epoch": 1, "config_hash": "00", "software": "0.1.0", "received_ms": end_ms, "frames": 10, "probe_requests": 8,
        "skipped": '{"bad_fcs": 2}', "skipped_total": 2, "kernel_drops": 1, "rssi_rejected": 0, "fcs_unflagged": 0, "listening_ms": "{}",
        "listening_total_ms": end_ms - start_ms if listened_ms is None else listened_ms, "evicted_batches": 3, "evicted_tracks": 0,
        "sightings": 0,
    }  # fmt: skip
    return {**usual, **changes}


def window(start_ms: int, devices: float, low: float, high: float, number: int = 0, **changes: Any) -> Row:
    """A row of ``windows``; with ``zone`` one of ``zone_counts``."""
    usual = {
        "agent": "ap-1",
        "boot": "00",
        "batch": 0,
        "row_no": number,
        "start_ms": start_ms,
        "devices": devices,
        "low": low,
        "high": high,
    }
    return {**usual, **changes}


def quarters(day_ms: int = DAY_MS, count: int = 96) -> list[dict[str, int]]:
    """The quarter-hours of a day."""
    return [
        {"start_ms": day_ms + n * QUARTER_S * 1000, "end_ms": day_ms + (n + 1) * QUARTER_S * 1000} for n in range(count)
    ]


def parameters(**changes: Any) -> dict[str, Any]:
    """An engine's parameters for a day in UTC without opening hours, under every preset."""
    ends = [*DWELL_BUCKETS_S[1:], None]
    usual = {
        "presets": [preset.row() for preset in presets().values()],
        "closed_hours": [],
        "quarters": quarters(),
        "spans": quarters(),
        "buckets": [{"from_s": start, "to_s": end} for start, end in zip(DWELL_BUCKETS_S, ends, strict=True)],
    }
    return {**usual, **changes}


def run(
    engine: Any, folder: Path, tables: dict[str, list[Row]], objects: int = 1, **changes: Any
) -> dict[str, list[Row]]:
    """The engine's rows for these tables, each cut into so many objects."""
    return engine.run([laid(folder, tables, objects, **changes)])[0]


def laid(folder: Path, tables: dict[str, list[Row]], objects: int = 1, **changes: Any) -> DayInput:
    """These tables in a lake of their own, each cut into so many objects, and the day's parameters."""
    store = LocalDirStore(folder)
    locations: dict[str, list[str]] = {}
    for table in QUERIED:
        rows = tables.get(table, [])
        for part in range(objects if rows else 0):
            name = object_name(table, "shop", "2023-11-15", "test", part)
            store.put(name, to_parquet(table, rows[part::objects]))
            locations.setdefault(table, []).append(store.location(name))
    return DayInput(locations, parameters(**changes))
