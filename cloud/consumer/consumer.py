"""Records of the stream -> objects of the lake, and only then the checkpoint (shell).

A crash between object and checkpoint reads the same records again: the object bears the first record's sequence, so it is
overwritten; where the second run cuts elsewhere, the shared SQL counts each (agent, boot, batch, row) once.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, update

from agent.wire.errors import WireError
from agent.wire.model import Batch
from cloud.consumer.keeping import Keeping
from cloud.consumer.transform import read_batch, rows_of
from cloud.databases.dirty import mark_dirty
from cloud.databases.tables import agents
from cloud.domain.retention import DEVICE_TABLES
from cloud.domain.site import Site
from cloud.fleet.registry import Fleet
from cloud.log import kind_and_place
from cloud.stores.base import ObjectStore, StoreError
from cloud.stores.lake import merge_parquet, object_name, partition, quarantine_name, to_parquet
from cloud.streams.base import Stream, StreamRecord

log = structlog.get_logger()
MAX_RECORDS = 500
MAX_BYTES = 32_000_000
"""What becomes objects together, and is lost together where the process dies: it is read again."""
COMPACT_FROM = 48
"""Objects of one partition that are merged into one: an engine opens each for every figure."""
COMPACTED, LARGE = "compact", "compact-large"
LARGE_BYTES = 4_000_000
"""A merged object of so many is merged no more: each merge would hold all of its day, and write all of it again."""
PARTITIONS_KEPT = 100_000
"""Whose number of objects is remembered."""


@dataclass(slots=True)
class Buffer:
    """What is on its way into objects. Rows are those of one site at a time: as Python's they take a hundred times the room of their
    messages. ``rows``: (table, site, local date) -> rows."""

    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Agent -> what its newest batch said of it."""
    held: set[tuple[str, str]] = field(default_factory=set)
    """(site, local date) that get something of single devices."""
    written: set[tuple[str, str, str]] = field(default_factory=set)
    """(table, site, local date) that got an object."""
    sightings: int = 0
    quarantined: int = 0
    withheld: int = 0
    """Sightings of days that are erased, or only count."""


class Consumer:
    """``drain`` deals with what waits; the caller decides when. ``now_ms`` is the clock.

    ``is_alone`` is False where another consumer may read the same records: after a takeover the former one may still be writing. Of each
    site and date at most ``max_records`` records (None: MAX_RECORDS) of ``max_bytes`` become one object of a table.
    """

    def __init__(
        self,
        stream: Stream,
        store: ObjectStore,
        database: Engine,
        fleet: Fleet,
        now_ms: Callable[[], int],
        *,
        is_alone: bool = True,
        max_records: int | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._stream = stream
        self._store = store
        self._database = database
        self._fleet = fleet
        self._now_ms = now_ms
        self._is_alone = is_alone
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._room: dict[tuple[str, str, str], int] = {}
        self._keeping = Keeping(database, now_ms)

    def drain(self, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Deal with everything that waits, or with as much as is done when it ``should_stop``; gives the number of records.

        Raises StreamError, StoreError, SQLAlchemyError: then the checkpoint stands where it stood, and the next call begins there.
        """
        total = 0
        while not should_stop() and (records := self._read()):
            self._emit(records)
            total += len(records)
        return total

    def _read(self) -> list[StreamRecord]:
        """The next records; one always, however large it is."""
        records = self._stream.read(self._max_records or MAX_RECORDS)
        ends = accumulate(len(record.message) for record in records)
        return records[: max(1, sum(end <= self._max_bytes for end in ends))]

    def _emit(self, records: list[StreamRecord]) -> None:
        buffer, by_site = Buffer(), defaultdict(list)
        for record in records:
            by_site[record.site].append(record)
        for name, mine in by_site.items():
            self._emit_site(self._fleet.site(name), mine, (records[0], records[-1]), buffer)
        with self._database.begin() as connection:
            mark_dirty(connection, {(site, date) for _, site, date in buffer.written}, self._now_ms())
            _note_agents(connection, buffer.seen)
        self._stream.checkpoint(records[-1])
        log.info(
            "consumer_emitted",
            records=len(records),
            sightings=buffer.sightings,
            objects=len(buffer.written),
            quarantined=buffer.quarantined,
            withheld=buffer.withheld,
        )
        for table, site, date in sorted(buffer.written):
            self._compact(table, site, date)

    def _emit_site(
        self, site: Site | None, records: list[StreamRecord], ends: tuple[StreamRecord, StreamRecord], buffer: Buffer
    ) -> None:
        """The objects of one site, named by the first and the last record of all that are read together."""
        for record in records:
            self._take(record, site, buffer)
        first, last = ends[0], None if self._is_alone else ends[1].sequence
        self._keeping.hold(buffer.held)
        for (table, name, date), rows in buffer.rows.items():
            self._store.put(object_name(table, name, date, first.shard, first.sequence, last), to_parquet(table, rows))
        buffer.written |= buffer.rows.keys()
        buffer.rows.clear()
        buffer.held.clear()

    def _take(self, record: StreamRecord, site: Site | None, buffer: Buffer) -> None:
        try:
            if not record.site:
                raise WireError("the record was not written by our ingest")
            if site is None:
                raise WireError(f"site {record.site} is not known any more")
            batch = read_batch(record.message)
            made = rows_of(batch, site, record.received_ms, record.message)
        except Exception as error:
            # WireError says what is wrong. Anything else is a mistake of ours, and the same at every try: one batch that we
            # cannot read must not stop all those behind it.
            self._quarantine(record, site, str(error) if isinstance(error, WireError) else kind_and_place(error))
            buffer.quarantined += 1
            return
        withheld = self._keeping.withhold(site, made, batch, record.received_ms)
        for (table, date), rows in made.items():
            buffer.rows[table, site.site, date] += rows
            if batch.sightings and table in DEVICE_TABLES:
                buffer.held.add((site.site, date))
        buffer.sightings += len(batch.sightings) - withheld
        buffer.withheld += withheld
        buffer.seen[batch.header.agent] = _about(batch, record.received_ms)

    def _quarantine(self, record: StreamRecord, site: Site | None, reason: str) -> None:
        name = quarantine_name(record.shard, record.sequence)
        self._keeping.quarantine(record, site, reason, name)
        self._store.put(name, record.message)
        self._store.put(name.removesuffix(".cose") + ".reason.txt", f"{record.site}: {reason}\n".encode())
        log.warning("record_quarantined", shard=record.shard, sequence=record.sequence, reason=reason)

    def _compact(self, table: str, site: str, date: str) -> None:
        """Merge a partition's small objects into one. Killed between put and remove, rows lie there twice and count once.

        Its name is made of the names that went into it: of two consumers that merge at the same time, one with an object more, neither
        overwrites what the other has just put in the place of the objects that it removes.
        """
        place = (table, site, date)
        self._room[place] = self._room.get(place, 1) - 1
        if self._room[place] > 0:
            return  # not yet: to list a partition costs as much as an object
        names = [name for name in self._store.names(partition(*place)) if f"/{LARGE}-" not in name]
        small = [name for name in names if f"/{COMPACTED}-" not in name]
        self._note_room(place, COMPACT_FROM - len(small))
        if len(small) < COMPACT_FROM:
            return
        try:
            parts = [self._store.get(name) for name in names]
        except StoreError:
            if not self._is_alone and set(names) - set(self._store.names(partition(table, site, date))):
                return  # another consumer is merging them
            raise
        merged = merge_parquet(table, parts)
        kind = LARGE if len(merged) >= LARGE_BYTES else COMPACTED
        self._store.put(f"{partition(table, site, date)}{kind}-{_hash(names)}.parquet", merged)
        for name in names:
            self._store.remove(name)
        log.info("partition_compacted", table=table, objects=len(names))

    def _note_room(self, place: tuple[str, str, str], room: int) -> None:
        """So many more objects may come before the partition is looked at again."""
        if len(self._room) >= PARTITIONS_KEPT:
            self._room.clear()
        self._room[place] = room


def _hash(names: list[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:20]


def _about(batch: Batch, received_ms: int) -> dict[str, Any]:
    header = batch.header
    return {
        "software": header.software,
        "last_batch_ms": header.window_end_ms,
        "last_received_ms": received_ms,
        "config_hash": header.config_hash.hex(),
        "clock": header.clock.name.lower(),
    }


def _note_agents(connection: Connection, seen: dict[str, dict[str, Any]]) -> None:
    for agent, values in sorted(seen.items()):
        # Nothing of this is what ingest goes by.
        connection.execute(
            update(agents).where(agents.c.agent == agent).values(changed_ms=agents.c.changed_ms, **values)
        )
