"""The record processor of the Kinesis Client Library: one process for each shard, run by the library's MultiLangDaemon over pipes.

It runs the same consumer as the embedded loop: records are gathered by number, bytes and seconds, become objects of the lake, and
only then the library's checkpoint moves. The library's Python side passes over errors of a processor and would go on behind records
that were never stored; so here an error is tried again, and in the end the process stops, which hands the shard to another worker.
amazon-kclpy is installed on its own: docs/adr/0013-kinesis.md. Source: amazon-kclpy 3.1, v3 record processor.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud.stores.base import StoreError
from cloud.streams.base import BatchName, StreamError, StreamRecord
from cloud.streams.kinesis_records import jitter, place_of, sequence_of, unpack
from cloud.streams.positions import Positions

log = structlog.get_logger()
TRY_S = 300.0
"""How long an error is tried again before the process stops."""
NOTE_S = 30.0
"""How often it is said how far behind the shard is."""
TROUBLES = (StreamError, StoreError, SQLAlchemyError)
LOST = frozenset({"ShutdownException"})


class LeaseLost(StreamError):
    """Another worker has the shard; what is gathered here is its business now."""


class Drains(Protocol):
    """The consumer, as far as it is needed here."""

    def drain(self) -> int:
        """See ``Consumer.drain``."""
        ...


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is gathered before it becomes objects; whichever is reached first."""

    records: int = 5000
    bytes: int = 32_000_000
    seconds: float = 30.0

    def are_reached(self, records: int, size_bytes: int, age_s: float) -> bool:
        """True where so many records, of so many bytes, the oldest here for so long, must not wait any longer."""
        return records > 0 and (records >= self.records or size_bytes >= self.bytes or age_s >= self.seconds)


class ShardBuffer:
    """One shard's records, pushed by the library and read by the consumer: the consumer's side of ``Stream``."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._records: deque[StreamRecord] = deque()
        self._since_s = 0.0
        self.bytes = 0
        self.checkpointer: Any = None
        """The library's, as it came with the last call."""

    def __len__(self) -> int:
        return len(self._records)

    def push(self, record: StreamRecord) -> None:
        """A record from the library. What was pushed before is passed over."""
        if self._records and record.sequence <= self._records[-1].sequence:
            return
        if not self._records:
            self._since_s = self._now_s()
        self._records.append(record)
        self.bytes += len(record.message)

    def age_s(self) -> float:
        """How long the oldest has been here."""
        return self._now_s() - self._since_s if self._records else 0.0

    def forget(self) -> None:
        """The shard is another worker's."""
        self._records.clear()
        self.bytes = 0

    async def append(self, name: BatchName, site: str, received_ms: int, message: bytes) -> bool:
        """A consumer writes nothing."""
        raise StreamError("a record processor only reads")

    def read(self, limit: int) -> list[StreamRecord]:
        """See ``Stream.read``."""
        return [record for record, _ in zip(self._records, range(limit), strict=False)]

    def checkpoint(self, record: StreamRecord) -> None:
        """See ``Stream.checkpoint``. Raises LeaseLost where the shard is another worker's."""
        sequence, sub_sequence = sequence_of(record.sequence)
        try:
            self.checkpointer.checkpoint(sequence, sub_sequence)
        except Exception as error:  # the library's CheckpointError, which only says a word
            word = str(getattr(error, "value", error))
            if word in LOST:
                raise LeaseLost(f"shard {record.shard} is another worker's now") from error
            raise StreamError(f"the checkpoint of shard {record.shard} was not taken: {word}") from error
        while self._records and self._records[0].sequence <= record.sequence:
            self.bytes -= len(self._records.popleft().message)
        self._since_s = self._now_s()

    def close(self) -> None:
        """See ``Stream.close``."""


class Processor:
    """A record processor of version 3. ``consumer`` reads from ``buffer``; ``positions`` tells ingest how far behind the shard is."""

    version = 3

    def __init__(
        self,
        buffer: ShardBuffer,
        consumer: Drains,
        thresholds: Thresholds,
        positions: Positions | None = None,
        *,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._buffer = buffer
        self._consumer = consumer
        self._thresholds = thresholds
        self._positions = positions
        self._now_s = now_s
        self._sleep = sleep
        self._pause_s = jitter(draw)
        self._shard = ""
        self._noted_s = -1e9

    def initialize(self, initialize_input: Any) -> None:
        """The shard is ours."""
        self._shard = initialize_input.shard_id
        log.info("shard_taken", shard=self._shard)

    def process_records(self, process_records_input: Any) -> None:
        """Gather, and store what is gathered once it is enough. Comes without records too, about once a second."""
        self._buffer.checkpointer = process_records_input.checkpointer
        for record in process_records_input.records:
            place = place_of(record.sequence_number, record.sub_sequence_number or 0)
            self._buffer.push(unpack(self._shard, place, record.binary_data))
        if self._thresholds.are_reached(len(self._buffer), self._buffer.bytes, self._buffer.age_s()):
            self._store()
        self._note(int(process_records_input.millis_behind_latest or 0))

    def lease_lost(self, _lease_lost_input: Any) -> None:
        """Another worker begins at the checkpoint."""
        self._buffer.forget()
        log.info("shard_lost", shard=self._shard)

    def shard_ended(self, shard_ended_input: Any) -> None:
        """The shard was split or merged: its children may begin once everything of it is stored."""
        self._buffer.checkpointer = shard_ended_input.checkpointer
        self._store()
        self._insist(lambda: self._end(shard_ended_input.checkpointer))
        log.info("shard_ended", shard=self._shard)

    def shutdown_requested(self, shutdown_requested_input: Any) -> None:
        """The worker stops: store what is here, so that its successor need not read it again."""
        self._buffer.checkpointer = shutdown_requested_input.checkpointer
        self._store()

    # --- store, and try again ---------------------------------------------------------------------------------------

    def _store(self) -> None:
        try:
            self._insist(self._consumer.drain)
        except LeaseLost:
            self._buffer.forget()

    def _end(self, checkpointer: Any) -> None:
        if self._positions:
            self._positions.finish(self._shard)
        try:
            checkpointer.checkpoint()
        except Exception as error:
            if getattr(error, "value", None) not in LOST:
                raise

    def _insist(self, act: Callable[[], object]) -> None:
        """Do it until it is done. Raises LeaseLost; SystemExit where it cannot be done for TRY_S."""
        until_s, tries = self._now_s() + TRY_S, 0
        while True:
            try:
                act()
                return
            except LeaseLost:
                raise
            except Exception as error:
                tries += 1
                said = str(error) if isinstance(error, TROUBLES) else repr(error)
                if self._now_s() >= until_s:
                    log.error("shard_given_up", shard=self._shard, error=said)
                    raise SystemExit(1) from error
                log.warning("shard_deferred", shard=self._shard, error=said)
                self._sleep(0.1 + 10 * self._pause_s(tries))

    def _note(self, behind_ms: int) -> None:
        """Tell ingest how old the oldest is that waits, once in a while; that it cannot be told stops nothing."""
        if self._positions is None or self._now_s() - self._noted_s < NOTE_S:
            return
        self._noted_s = self._now_s()
        try:
            self._positions.note(self._shard, behind_ms + round(self._buffer.age_s() * 1000))
        except StreamError as error:
            log.warning("shard_deferred", shard=self._shard, error=str(error))
