"""What a store's day weighs on its way through AWS, of a simulated day: bytes on the wire, in the lake, and as one JSON record a sighting.

``python -m benchmarks.aws_sizes [--shoppers N]`` prints what deploy/aws/prices.yaml has under assumptions.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import asdict
from statistics import linear_regression
from typing import Any

from benchmarks.batches import LIVE_S, batches_of, day_frames
from benchmarks.inputs import FIRST_DAY
from cloud.consumer.consumer import COMPACT_FROM
from cloud.consumer.transform import read_batch, rows_of
from cloud.domain.site import Site
from cloud.stores.lake import to_parquet

GATHER_S = 300
SITE = Site("bench", "Bench", "UTC", "day", True)


def measure(shoppers: int) -> dict[str, float]:
    """Bytes, means over one access point's day."""
    messages = [made.message for made in batches_of(day_frames(FIRST_DAY, shoppers))]
    batches = [read_batch(message) for message in messages]
    sightings = sum(len(batch.sightings) for batch in batches)
    line = linear_regression([len(batch.sightings) for batch in batches], [len(message) for message in messages])
    records = [as_json(batch, sighting) for batch in batches for sighting in batch.sightings]
    objects = in_the_lake(messages, batches)
    merged = in_the_lake(messages, batches, GATHER_S * COMPACT_FROM)
    return {
        "batches": len(messages),
        "sightings": sightings,
        "envelope_bytes": line.intercept,
        "sighting_bytes": line.slope,
        "json_sighting_bytes": sum(map(len, records)) / len(records),
        "lake_sighting_bytes": objects["sightings"] / sightings,
        "messages_batch_bytes": objects["messages"] / len(messages),
        "kept_batch_bytes": (merged["ledger"] + merged["windows"]) / len(messages),
    }


def as_json(batch: Any, sighting: Any) -> bytes:
    """As products without a columnar format send it: every field by name, with what its batch's header says."""
    head = batch.header
    about = {
        "agent": head.agent,
        "site": head.site,
        "boot": head.boot.hex(),
        "batch": head.batch,
        "software": head.software,
    }
    content = {key: value.hex() if isinstance(value, bytes) else value for key, value in asdict(sighting).items()}
    return json.dumps({**about, **content}, separators=(",", ":"), default=str).encode()


def in_the_lake(messages: list[bytes], batches: list[Any], gather_s: int = GATHER_S) -> dict[str, int]:
    """Table -> bytes of all its objects, when records gather for so long."""
    rows: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for message, batch in zip(messages, batches, strict=True):
        slot = batch.header.window_start_ms // (gather_s * 1000)
        for (table, _date), made in rows_of(batch, SITE, batch.header.window_end_ms, message).items():
            rows[table, slot] += made
    sizes: dict[str, int] = defaultdict(int)
    for (table, _slot), made in rows.items():
        sizes[table] += len(to_parquet(table, made))
    return sizes


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shoppers", type=int, default=2000)
    options = parser.parse_args()
    print(
        f"one access point, one simulated day of {options.shoppers:,} shoppers, batches of {LIVE_S} s, objects of {GATHER_S} s"
    )
    for name, value in measure(options.shoppers).items():
        print(f"{name:22} {value:10,.1f}")


if __name__ == "__main__":
    main()
