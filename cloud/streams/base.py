"""The port: what ingest and consumer need of a stream. One contract suite runs on every adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class StreamError(Exception):
    """The stream cannot take or give records now; trying again later may help."""


class StreamFull(StreamError):
    """So much waits for the consumer that nothing more is taken."""


@dataclass(frozen=True, slots=True)
class BatchName:
    """What tells one batch from all others, for ever."""

    agent: str
    boot: bytes
    batch: int


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One signed message as it came in, with its place in its shard."""

    shard: str
    sequence: int
    """Grows within the shard."""
    site: str
    received_ms: int
    message: bytes


class Stream(Protocol):
    """Appends are durable; reads are in order and repeat from the checkpoint after a crash.

    An embedded stream stores each name once. One behind a network may store it again, when an answer was lost or another process
    took it before: the shared SQL counts (agent, boot, batch) once in any case.
    """

    async def append(self, name: BatchName, site: str, received_ms: int, message: bytes) -> bool:
        """Keep a message. Returns when it is durable: True where it was stored now, False where its name is known to be stored.

        Raises StreamFull, and nothing was kept; StreamError, and it was not, or (behind a network) nobody knows: send it again.
        """
        ...

    def read(self, limit: int) -> list[StreamRecord]:
        """The oldest records behind the checkpoint, of one shard, at most ``limit``. Without a checkpoint in between, the same again.

        Raises StreamError.
        """
        ...

    def checkpoint(self, record: StreamRecord) -> None:
        """All records of the shard up to this one are dealt with. Raises StreamError; then it stands where it stood."""
        ...

    def close(self) -> None:
        """Finish what is being written. A second call does nothing."""
        ...
