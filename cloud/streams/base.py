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
    """Appends are durable and happen once for each name; reads are in order and repeat from the checkpoint after a crash."""

    async def append(self, name: BatchName, site: str, received_ms: int, message: bytes) -> bool:
        """Keep a message. Returns when it is durable: True where it is new, False where its name was stored before.

        Raises StreamFull, StreamError; then nothing was kept.
        """
        ...

    def read(self, limit: int) -> list[StreamRecord]:
        """The oldest records behind the checkpoint, at most ``limit``. Without a checkpoint in between, the same again.

        Raises StreamError.
        """
        ...

    def checkpoint(self, record: StreamRecord) -> None:
        """All records of the shard up to this one are dealt with. Raises StreamError; then it stands where it stood."""
        ...

    def close(self) -> None:
        """Finish what is being written. A second call does nothing."""
        ...
