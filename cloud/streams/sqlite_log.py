"""The embedded stream: an append-only log in SQLite, with group commit (docs/adr/0006-embedded-stream.md).

One thread writes. What arrives while it waits for the disk goes into the next transaction together, so the disk's fsync is paid once
for many batches, and nobody is told "stored" before it. Names stay for ever, messages until the consumer is done with them.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cloud.streams.base import BatchName, StreamError, StreamFull, StreamRecord

SHARD = "embedded"
DEFAULT_LIMIT_BYTES = 2_000_000_000
GROUP_MAX = 512
AT_ONCE = 8
"""So many go to the writing thread before the turn of the event loop ends: else all senders wait for the disk, and then the disk for all."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    sequence INTEGER PRIMARY KEY, agent TEXT NOT NULL, boot BLOB NOT NULL, batch INTEGER NOT NULL,
    site TEXT NOT NULL, received_ms INTEGER NOT NULL, message BLOB,
    UNIQUE (agent, boot, batch)
);
CREATE TABLE IF NOT EXISTS checkpoints (shard TEXT PRIMARY KEY, sequence INTEGER NOT NULL);
"""
BEHIND = "WHERE sequence > COALESCE((SELECT sequence FROM checkpoints WHERE shard = ?), 0)"
"""What waits for the consumer. By the primary key: names are kept for ever, and none of the old ones is looked at again."""
INSERT = "INSERT OR IGNORE INTO records (agent, boot, batch, site, received_ms, message) VALUES (?, ?, ?, ?, ?, ?)"
MORE = ", (?, ?, ?, ?, ?, ?)"
"""For each further row of the same statement."""
FIND = "SELECT sequence FROM records WHERE agent = ? AND boot = ? AND batch = ?"


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
        self._reader_lock = threading.Lock()
        with _failures("opened"):
            self._reader = self._connect()
            self._reader.executescript(SCHEMA)
            self._waiting_bytes = self._read_waiting_bytes()
            (self._last_sequence,) = self._reader.execute("SELECT COALESCE(MAX(sequence), 0) FROM records").fetchone()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Append]] = {}
        self._appends: queue.SimpleQueue[list[_Append] | None] = queue.SimpleQueue()
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
        self._gather(_Append((name.agent, name.boot, name.batch, site, received_ms, message), loop, done))
        return await done

    def _gather(self, append: _Append) -> None:
        """What comes within one turn of an event loop is handed to the writing thread together: waking it costs as much as checking."""
        gathered = self._gathered.get(append.loop)
        if gathered is None:
            self._gathered[append.loop] = [append]
            append.loop.call_soon(self._hand_over, append.loop)
        else:
            gathered.append(append)
            if len(gathered) >= AT_ONCE:
                self._hand_over(append.loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        gathered = self._gathered.pop(loop, None)
        if gathered:
            self._appends.put(gathered)

    def read(self, limit: int) -> list[StreamRecord]:
        """See ``Stream.read``."""
        with self._reader_lock, _failures("read"):
            rows = self._reader.execute(
                f"SELECT sequence, site, received_ms, message FROM records {BEHIND} ORDER BY sequence LIMIT ?",  # noqa: S608
                (SHARD, limit),
            ).fetchall()
        return [
            StreamRecord(SHARD, sequence, site, received_ms, message) for sequence, site, received_ms, message in rows
        ]

    def checkpoint(self, record: StreamRecord) -> None:
        """See ``Stream.checkpoint``. What lies before it is let go, its names are kept."""
        with self._reader_lock, _failures("written"), self._reader:
            self._reader.execute("BEGIN IMMEDIATE")
            self._reader.execute(
                f"UPDATE records SET message = NULL {BEHIND} AND sequence <= ?",  # noqa: S608
                (record.shard, record.sequence),
            )
            self._reader.execute(
                "INSERT INTO checkpoints VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET sequence = MAX(sequence, excluded.sequence)",
                (record.shard, record.sequence),
            )
            self._waiting_bytes = self._read_waiting_bytes()

    def waiting(self) -> int:
        """Records behind the checkpoint. Raises StreamError."""
        with self._reader_lock, _failures("read"):
            return int(self._reader.execute(f"SELECT COUNT(*) FROM records {BEHIND}", (SHARD,)).fetchone()[0])  # noqa: S608

    def forget(self, before_ms: int) -> int:
        """Let go of the names of batches that came before ``before_ms`` and are dealt with; gives how many. What was let go since the last
        call leaves the file's log too. Raises StreamError."""
        with self._reader_lock, _failures("written"):
            done = self._reader.execute(
                "DELETE FROM records WHERE received_ms < ? AND message IS NULL AND sequence < (SELECT MAX(sequence) FROM records)",
                (before_ms,),
            ).rowcount
            self._reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(done)

    def close(self) -> None:
        """See ``Stream.close``."""
        if not self._is_closed:
            self._is_closed = True
            for loop in list(self._gathered):
                self._hand_over(loop)
            self._appends.put(None)
            self._writer.join()
            self._reader.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # an acknowledged batch survives a power cut
        connection.execute("PRAGMA secure_delete = ON")  # a batch that is let go does not stay in unused pages
        return connection

    def _read_waiting_bytes(self) -> int:
        return int(
            self._reader.execute(
                f"SELECT COALESCE(SUM(LENGTH(message)), 0) FROM records {BEHIND}",  # noqa: S608
                (SHARD,),
            ).fetchone()[0]
        )

    # --- the writing thread ---------------------------------------------------------------------------------------

    def _write(self) -> None:
        connection = self._connect()
        is_open = True
        while is_open:
            parts = [self._appends.get()]
            while len(parts) < GROUP_MAX and not self._appends.empty():
                parts.append(self._appends.get())
            is_open = None not in parts
            appends = [append for part in parts if part is not None for append in part]
            for start in range(0, len(appends), GROUP_MAX):
                self._commit(connection, appends[start : start + GROUP_MAX])
        connection.close()

    def _commit(self, connection: sqlite3.Connection, appends: list[_Append]) -> None:
        try:
            # One statement for all: it is its own transaction, and every further one would be a wait for the interpreter's lock.
            inserted = connection.execute(
                INSERT + MORE * (len(appends) - 1), [value for append in appends for value in append.row]
            )
            results = [True] * len(appends)
            if inserted.rowcount != len(appends):
                results = _which_are_new(connection, appends, self._last_sequence)
            self._last_sequence = max(self._last_sequence, inserted.lastrowid or 0)
        except sqlite3.Error as error:
            _settle(appends, [StreamError(f"the stream could not be written: {error}")] * len(appends))
            return
        self._waiting_bytes += sum(len(a.row[5]) for a, is_new in zip(appends, results, strict=True) if is_new)
        _settle(appends, results)
        self.on_append()


@contextmanager
def _failures(done: str) -> Iterator[None]:
    """SQLite's errors as the port's."""
    try:
        yield
    except sqlite3.Error as error:
        raise StreamError(f"the stream could not be {done}: {error}; free space, or move the data folder") from error


def _which_are_new(connection: sqlite3.Connection, appends: list[_Append], last_sequence: int) -> list[bool]:
    """Of a group that was just written, which were not there before: those beyond ``last_sequence``, each name once."""
    seen: set[tuple[str, bytes, int]] = set()
    results = []
    for append in appends:
        name = append.row[:3]
        (sequence,) = connection.execute(FIND, name).fetchone()
        results.append(sequence > last_sequence and name not in seen)
        seen.add(name)
    return results


def _settle(appends: list[_Append], results: Sequence[bool | StreamError]) -> None:
    """Answer every waiter, one call into each event loop. Who has gone away meanwhile is passed over, with or without its loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[bool], bool | StreamError]]] = {}
    for append, result in zip(appends, results, strict=True):
        by_loop.setdefault(append.loop, []).append((append.done, result))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_answer, answers)


def _answer(answers: list[tuple[asyncio.Future[bool], bool | StreamError]]) -> None:
    for done, result in answers:
        if done.done():
            continue
        if isinstance(result, StreamError):
            done.set_exception(result)
        else:
            done.set_result(result)
