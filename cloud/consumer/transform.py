"""One stored message -> rows of the lake (core). The signature was checked at ingest; what is wrong inside is said, never dropped."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import cbor2

from agent.wire.codec import batch_of, inflate
from agent.wire.cose import open_message
from agent.wire.errors import BatchMalformed
from agent.wire.model import Batch
from cloud.domain.site import Site

DAY_MS = 86_400_000
MAX_WINDOW_MS = 2 * DAY_MS
"""An agent closes a batch at its day's end, so none speaks of more."""
MAX_COUNT = 10**12
"""Frames or milliseconds of one batch: with more, the sum over a day would leave 63 bits and take every figure of the day along."""
MAX_FRAMES = 2**31 - 1
"""Of one sighting; the lake's column is no wider."""
Rows = dict[tuple[str, str], list[dict[str, Any]]]
"""(table, local date) -> rows."""


def read_batch(message: bytes) -> Batch:
    """The batch in a message as ingest stored it, its numbers within what the lake holds. Raises WireError."""
    data = inflate(open_message(message).payload)
    try:
        value = cbor2.loads(data)
    except (cbor2.CBORError, ValueError, OverflowError, RecursionError) as error:
        raise BatchMalformed(f"the payload is not CBOR: {type(error).__name__}") from error
    batch = batch_of(value)
    _check_counts(batch)
    _check_times(batch)
    return batch


def _check_counts(batch: Batch) -> None:
    ledger = batch.ledger
    counts = [ledger.frames, ledger.kernel_drops, ledger.rssi_rejected, ledger.fcs_unflagged, ledger.evicted_batches]
    most = max(*counts, ledger.evicted_tracks, *ledger.listening_ms.values())
    if most > MAX_COUNT:
        raise BatchMalformed(f"the ledger counts {most}; at most {MAX_COUNT} can be of one batch")
    frames = max((sighting.frames for sighting in batch.sightings), default=0)  # the bursts are among them
    if frames > MAX_FRAMES:
        raise BatchMalformed(f"a sighting of {frames} frames; at most {MAX_FRAMES}")


def _check_times(batch: Batch) -> None:
    """Each local date that a batch touches is an object and a day to compute: one batch may not touch thousands."""
    start_ms, end_ms = batch.header.window_start_ms, batch.header.window_end_ms
    if end_ms - start_ms > MAX_WINDOW_MS:
        raise BatchMalformed(f"the batch speaks of {end_ms - start_ms} ms; at most {MAX_WINDOW_MS}")
    times = [time for sighting in batch.sightings for time in (sighting.first_ms, sighting.last_ms)]
    times += [window.start_ms for window in batch.windows] + [count.start_ms for count in batch.counts]
    if times and not (start_ms - DAY_MS <= min(times) and max(times) <= end_ms + DAY_MS):
        raise BatchMalformed("a row lies more than a day outside the time that its batch speaks of")


def rows_of(batch: Batch, site: Site, received_ms: int, message: bytes) -> Rows:
    """What a batch says, as rows, and the signed message itself. A row belongs to the local date at which it begins."""
    rows: Rows = defaultdict(list)
    header = batch.header
    signed = {
        "agent": header.agent,
        "boot": header.boot.hex(),
        "batch": header.batch,
        "received_ms": received_ms,
        "message": message,
    }
    rows["messages", site.date_of(header.window_start_ms)].append(signed)
    for table, time_ms, row in _every_row(batch, received_ms):
        rows[table, site.date_of(time_ms)].append(row)
    return rows


def _every_row(batch: Batch, received_ms: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    header = batch.header
    name = {"agent": header.agent, "boot": header.boot.hex(), "batch": header.batch}
    yield "ledger", header.window_start_ms, {**name, **_ledger_row(batch), "received_ms": received_ms}
    for number, window in enumerate(batch.windows):
        estimate = {"start_ms": window.start_ms, "devices": window.devices, "low": window.low, "high": window.high}
        yield "windows", window.start_ms, {**name, "row_no": number, **estimate}
    for number, count in enumerate(batch.counts):
        estimate = {"start_ms": count.start_ms, "devices": count.devices, "low": count.low, "high": count.high}
        yield "zone_counts", count.start_ms, {**name, "row_no": number, "zone": count.zone, **estimate}
    mode = header.mode.name.lower()
    for number, s in enumerate(batch.sightings):
        yield (
            "sightings",
            s.first_ms,
            {
                **name,
                "row_no": number,
                "mode": mode,
                "key_epoch": header.key_epoch,
                "pseudonym": s.pseudonym.hex(),
                "first_ms": s.first_ms,
                "last_ms": s.last_ms,
                "bursts": s.bursts,
                "frames": s.frames,
                "rssi_max_dbm": s.rssi_max_dbm,
                "rssi_median_dbm": s.rssi_median_dbm,
                "p_inside": s.p_inside,
                "channel": s.channel,
                "address_kind": s.address_kind.name.lower(),
                "source": s.source,
                "confidence": s.confidence,
                "link": None if s.link is None else s.link.hex(),
            },
        )


def _ledger_row(batch: Batch) -> dict[str, Any]:
    header, ledger = batch.header, batch.ledger
    return {
        "window_start_ms": header.window_start_ms,
        "window_end_ms": header.window_end_ms,
        "clock": header.clock.name.lower(),
        "mode": header.mode.name.lower(),
        "key_epoch": header.key_epoch,
        "config_hash": header.config_hash.hex(),
        "software": header.software,
        "frames": ledger.frames,
        "probe_requests": ledger.probe_requests,
        "skipped": json.dumps(ledger.skipped, sort_keys=True),
        "skipped_total": sum(ledger.skipped.values()),
        "kernel_drops": ledger.kernel_drops,
        "rssi_rejected": ledger.rssi_rejected,
        "fcs_unflagged": ledger.fcs_unflagged,
        "listening_ms": json.dumps({str(channel): ms for channel, ms in sorted(ledger.listening_ms.items())}),
        "listening_total_ms": sum(ledger.listening_ms.values()),
        "evicted_batches": ledger.evicted_batches,
        "evicted_tracks": ledger.evicted_tracks,
        "sightings": len(batch.sightings),
    }
