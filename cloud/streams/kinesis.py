"""Amazon Kinesis Data Streams as the stream (docs/adr/0013-kinesis.md): the writer that ingest waits for, and the whole port.

Each lane is a thread of its own with one PutRecords under way; what arrives meanwhile goes into the next one together. A site always
takes the same lane, so its messages keep their order. Kinesis stores at least once: an answer that got lost means a second copy,
which the shared SQL counts once. boto3 is an extra: pip install ivizone[aws].
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from cloud.log import kind_and_place
from cloud.streams.base import BatchName, StreamError, StreamFull, StreamRecord
from cloud.streams.kinesis_errors import StreamDenied, error_from, error_of
from cloud.streams.kinesis_reader import KinesisReader
from cloud.streams.kinesis_records import Item, Lane, Put, jitter, pack

log = structlog.get_logger()
LANES = 4
APPEND_S = 10.0
"""How long a batch may wait for Kinesis before its sender is told to come back: less than an access point's or a balancer's patience."""
LANE_BYTES = 16_000_000
"""What may wait in one lane."""
NAMES_KEPT = 50_000
CONNECT_S, READ_S = 2.0, 4.0
RETRIES: dict[str, Any] = {"total_max_attempts": 1}
"""None by boto3: it would send the records again that are stored already."""


@dataclass(slots=True)
class _Waiters:
    """Everybody who sent one name while it was under way."""

    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[bool]]] = field(default_factory=list)


class KinesisWriter:
    """Appends to the stream ``name`` through ``client``, a boto3 client of Kinesis made with RETRIES.

    ``why_full`` says why nothing more may be taken, None where it may.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        *,
        lanes: int = LANES,
        append_s: float = APPEND_S,
        why_full: Callable[[], str | None] = lambda: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._name = name
        self._append_s = append_s
        self._why_full = why_full
        self._pause_s = jitter(draw)
        self._lock = threading.Lock()
        self._under_way: dict[BatchName, _Waiters] = {}
        self._stored: OrderedDict[BatchName, None] = OrderedDict()
        self._is_closed = False
        self._lanes = [_LaneThread(self, number) for number in range(lanes)]

    async def append(self, name: BatchName, site: str, received_ms: int, message: bytes) -> bool:
        """See ``Stream.append``. A name that this process stored lately is known to be stored; one that another process stored is
        stored again. After a StreamError it may be in the stream all the same."""
        loop = asyncio.get_running_loop()
        waits: asyncio.Future[bool] = loop.create_future()
        if (why := self._why_full()) is not None:
            raise StreamFull(why)
        with self._lock:
            if self._is_closed:
                raise StreamError("the stream is closed: the server is stopping")
            if name in self._stored:
                return False
            is_first = name not in self._under_way
            self._under_way.setdefault(name, _Waiters()).loops.append((loop, waits))
        if is_first:
            until_s = time.monotonic() + self._append_s
            self._lane_of(site).add(Item(site, pack(site, received_ms, message), until_s, lambda said: self._answer(name, said)))  # fmt: skip
        return await waits

    def waiting(self) -> int:
        """Messages that Kinesis has not taken yet."""
        return sum(lane.waiting() for lane in self._lanes)

    def close(self) -> None:
        """Put what waits, as long as it may wait, and stop."""
        with self._lock:
            self._is_closed = True
        for lane in self._lanes:
            lane.stop()

    def _lane_of(self, site: str) -> _LaneThread:
        return self._lanes[zlib.crc32(site.encode()) % len(self._lanes)]

    def _answer(self, name: BatchName, said: Exception | bool) -> None:
        with self._lock:
            waiters = self._under_way.pop(name).loops
            if said is True:
                self._stored[name] = None
                if len(self._stored) > NAMES_KEPT:
                    self._stored.popitem(last=False)
        for number, (loop, waits) in enumerate(waiters):
            with suppress(RuntimeError):  # the sender's loop is closed
                loop.call_soon_threadsafe(_settle, waits, said if isinstance(said, Exception) else number == 0)

    def put(self, puts: list[Put]) -> list[StreamError | None]:
        """One PutRecords; for each record None where it is stored, else why not."""
        entries = [{"Data": put.data, "PartitionKey": put.site} for put in puts]
        try:
            answers = self._client.put_records(StreamName=self._name, Records=entries)["Records"]
        except (ClientError, BotoCoreError) as error:
            return [error_from(error)] * len(puts)
        return [
            error_of(a["ErrorCode"], str(a.get("ErrorMessage", ""))) if a.get("ErrorCode") else None for a in answers
        ]

    def pause_s(self, tries: int) -> float:
        """How long a record waits after so many tries."""
        return self._pause_s(tries)


class _LaneThread:
    """One thread and its lane."""

    def __init__(self, writer: KinesisWriter, number: int) -> None:
        self._writer = writer
        self._lane = Lane()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._last_error: StreamError | None = None
        self._thread = threading.Thread(target=self._run, name=f"ivizone-kinesis-{number}", daemon=True)
        self._thread.start()

    def add(self, item: Item) -> None:
        with self._changed:
            if self._lane.bytes + len(item.data) > LANE_BYTES or self._is_stopping:
                reason = self._last_error or "too much waits for it"
                item.answer(StreamError(f"the stream does not keep up: {reason}"))
                return
            self._lane.add(item)
            self._changed.notify()

    def waiting(self) -> int:
        with self._changed:
            return len(self._lane)

    def stop(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        is_running = True
        while is_running:
            try:
                is_running = self._turn()
            except Exception as error:  # a mistake of ours: a lane that is gone would keep its senders waiting for ever
                self._begin_anew(StreamError(f"the stream's writer failed: {kind_and_place(error)}"))

    def _turn(self) -> bool:
        """Wait, put, settle, once; False where the lane is empty and stops."""
        if (puts := self._next()) is None:
            return False
        try:
            results = self._writer.put(puts) if puts else []
        except Exception as error:  # an answer that we do not understand: as if there were none
            results = [StreamError(f"the batch could not be put: {kind_and_place(error)}")] * len(puts)
        self._settle(puts, results)
        return True

    def _begin_anew(self, error: StreamError) -> None:
        """Nobody knows what of the lane was settled: all who wait in it are told to send again."""
        with self._changed:
            for item in self._lane.give_all_up():
                with suppress(Exception):  # the same mistake again, or who was answered already
                    item.answer(error)
        self._note(error, has_put=True)

    def _next(self) -> list[Put] | None:
        """What to put now, after waiting for it; None where the lane is empty and stops."""
        with self._changed:
            self._lane.give_up(time.monotonic(), self._why_given_up)
            if puts := self._lane.take(time.monotonic()):
                return puts
            next_s = self._lane.next_s()
            if next_s is None and self._is_stopping:
                return None
            self._changed.wait(None if next_s is None else max(0.0, next_s - time.monotonic()) + 0.001)
            return []

    def _settle(self, puts: list[Put], results: list[StreamError | None]) -> None:
        with self._changed:
            for put, error in zip(puts, results, strict=True):
                if error is None:
                    self._lane.stored(put)
                    continue
                pause_s: Callable[[int], float] = self._writer.pause_s
                if isinstance(error, StreamDenied):
                    pause_s = _at_once
                    for item in put.items:
                        item.until_s = 0.0  # nothing changes by waiting
                self._lane.failed(put, time.monotonic(), pause_s)
        self._note(next((error for error in results if error), None), bool(puts))

    def _note(self, error: StreamError | None, has_put: bool) -> None:
        """Say once that the stream does not take all, and once that it does again."""
        before = self._last_error
        if has_put:
            self._last_error = error
        # A log that cannot be written (a full disk, a closed pipe) is no reason to refuse batches.
        with suppress(Exception):
            if error and before is None:
                log.warning("stream_put_deferred", error=str(error))
            if error is None and has_put and before is not None:
                log.info("stream_put_recovered")

    def _why_given_up(self) -> Exception:
        return self._last_error or StreamError("Kinesis did not take the batch in time; send it again")


def _at_once(_tries: int) -> float:
    return 0.0


def _settle(waits: asyncio.Future[bool], said: Exception | bool) -> None:
    if waits.done():
        return
    if isinstance(said, Exception):
        waits.set_exception(said)
    else:
        waits.set_result(said)


class KinesisStream:
    """The whole port: what ingest writes and what one consumer, in one process, reads (see ``KinesisReader``)."""

    def __init__(self, writer: KinesisWriter, reader: KinesisReader) -> None:
        self._writer = writer
        self._reader = reader

    async def append(self, name: BatchName, site: str, received_ms: int, message: bytes) -> bool:
        """See ``Stream.append`` and ``KinesisWriter.append``."""
        return await self._writer.append(name, site, received_ms, message)

    def read(self, limit: int) -> list[StreamRecord]:
        """See ``Stream.read``."""
        return self._reader.read(limit)

    def checkpoint(self, record: StreamRecord) -> None:
        """See ``Stream.checkpoint``."""
        self._reader.checkpoint(record)

    def waiting(self) -> int:
        """Records behind the checkpoint. Raises StreamError."""
        return self._reader.waiting()

    def close(self) -> None:
        """See ``Stream.close``."""
        self._writer.close()
