"""The embedded stream: an append-only log in SQLite, with group commit (docs/adr/0006-embedded-stream.md).

One thread writes. What arrives while it waits for the disk goes into the next transaction together, so the disk's fsync is paid once
for many batches, and nobody is told "stored" before it. Names stay for ever, messages until the consumer is done with them.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloud.streams.base import BatchName, StreamError, StreamFull, StreamRecord

SHARD = "embedded"
DEFAULT_LIMIT_BYTES = 2_000_000_000
GROUP_MAX = 512
SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    sequence INTEGER PRIMARY KEY, agent TEXT NOT NULL, boot BLOB NOT NULL, batch INTEGER NOT NULL,
    site TEXT NOT NULL, received_ms INTEGER NOT NULL, message BLOB,
    UNIQUE (agent, boot, batch)
);
CREATE TABLE IF NOT EXISTS checkpoints (shard TEXT PRIMARY KEY, sequence INTEGER NOT NULL);
"""
INSERT = "INSERT OR IGNORE INTO records (agent, boot, batch, site, received_ms, message) VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(slots=True)
class _Append:
    row: tuple[str, bytes, int, str, int, bytes]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[bool]


class SqliteStream:
    """A stream of one shard in the file ``path``. ``limit_bytes`` bounds what waits for the consumer."""

    def __init__(self, path: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._limit_bytes = limit_bytes
        self._reader = self._connect()
        self._reader.executescript(SCHEMA)
        self._reader_lock = threading.Lock()
        self._waiting_bytes = self._read_waiting_bytes()
        self._appends: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._is_closed = False
        self.on_append: Callable[[], None] = lambda: None
        """Called after each commit, from the writing thread: wakes an embedded consumer."""
        self._writer = threading.Thread(target=self._write, name="ivizone-stream", daemon=True)
        self._writer.start()

    async def append(self, name: BatchName, site: str, received_ms: int, message: bytes) -> bool:
        """See ``Stream.append``."""
        if self._waiting_bytes + len(message) > self._limit_bytes:
            raise StreamFull(f"{self._waiting_bytes} bytes wait for the consumer, the limit is {self._limit_bytes}")
        if self._is_closed:
            raise StreamError("the stream is closed: the server is stopping")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()
        self._appends.put(_Append((name.agent, name.boot, name.batch, site, received_ms, message), loop, done))
        return await done

    def read(self, limit: int) -> list[StreamRecord]:
        """See ``Stream.read``."""
        with self._reader_lock:
            rows = self._reader.execute(
                "SELECT sequence, site, received_ms, message FROM records WHERE message IS NOT NULL AND sequence > "
                "COALESCE((SELECT sequence FROM checkpoints WHERE shard = ?), 0) ORDER BY sequence LIMIT ?",
                (SHARD, limit),
            ).fetchall()
        return [
            StreamRecord(SHARD, sequence, site, received_ms, message) for sequence, site, received_ms, message in rows
        ]

    def checkpoint(self, record: StreamRecord) -> None:
        """See ``Stream.checkpoint``. What lies before it is let go, its names are kept."""
        with self._reader_lock, self._reader:
            self._reader.execute("BEGIN IMMEDIATE")
            self._reader.execute(
                "INSERT INTO checkpoints VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET sequence = MAX(sequence, excluded.sequence)",
                (record.shard, record.sequence),
            )
            self._reader.execute(
                "UPDATE records SET message = NULL WHERE sequence <= ? AND message IS NOT NULL", (record.sequence,)
            )
            self._waiting_bytes = self._read_waiting_bytes()

    def waiting(self) -> int:
        """Records behind the checkpoint."""
        with self._reader_lock:
            return int(self._reader.execute("SELECT COUNT(*) FROM records WHERE message IS NOT NULL").fetchone()[0])

    def close(self) -> None:
        """See ``Stream.close``."""
        if not self._is_closed:
            self._is_closed = True
            self._appends.put(None)
            self._writer.join()
            self._reader.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # an acknowledged batch survives a power cut
        return connection

    def _read_waiting_bytes(self) -> int:
        return int(
            self._reader.execute(
                "SELECT COALESCE(SUM(LENGTH(message)), 0) FROM records WHERE message IS NOT NULL"
            ).fetchone()[0]
        )

    # --- the writing thread ---------------------------------------------------------------------------------------

    def _write(self) -> None:
        connection = self._connect()
        is_open = True
        while is_open:
            group = [self._appends.get()]
            while len(group) < GROUP_MAX and not self._appends.empty():
                group.append(self._appends.get())
            is_open = None not in group
            appends = [append for append in group if append is not None]
            if appends:
                self._commit(connection, appends)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, appends: list[_Append]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [connection.execute(INSERT, append.row).rowcount == 1 for append in appends]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = StreamError(f"the stream could not be written: {error}")
            _settle(appends, lambda done: done.set_exception(failure))
            return
        self._waiting_bytes += sum(len(a.row[5]) for a, is_new in zip(appends, results, strict=True) if is_new)
        answers = iter(results)
        _settle(appends, lambda done: done.set_result(next(answers)))
        self.on_append()


def _settle(appends: list[_Append], settle: Callable[[asyncio.Future[bool]], None]) -> None:
    """Answer every waiter, one call into the loop for all of them. Who has gone away meanwhile is passed over."""

    def answer() -> None:
        for append in appends:
            if append.done.cancelled():
                append = _Append(append.row, append.loop, append.loop.create_future())
            settle(append.done)

    appends[0].loop.call_soon_threadsafe(answer)
