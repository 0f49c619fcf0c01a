"""How far each shard was dealt with, in the database; and how far behind that is, for ingest to know."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from cloud.databases.base import upsert
from cloud.databases.tables import stream_shards
from cloud.streams.base import StreamError


class Positions:
    """The rows of one stream. ``now_ms`` is the clock. Methods raise StreamError where the database does not answer."""

    def __init__(self, database: Engine, stream: str, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._stream = stream
        self._now_ms = now_ms

    def load(self) -> dict[str, tuple[int | None, bool]]:
        """Shard -> (place of the last record that was dealt with, whether the shard is done with for ever)."""
        c = stream_shards.c
        query = select(c.shard, c.place, c.is_done).where(c.stream == self._stream)
        try:
            with self._database.connect() as connection:
                rows = list(connection.execute(query))
        except SQLAlchemyError as error:
            raise StreamError(f"the checkpoints cannot be read: {_cause(error)}") from error
        return {row.shard: (int(row.place) if row.place else None, bool(row.is_done)) for row in rows}

    def save(self, shard: str, place: int, behind_ms: int) -> None:
        """All up to ``place`` is dealt with; the newest of it was ``behind_ms`` old."""
        self._set(shard, place=str(place), behind_ms=behind_ms)

    def note(self, shard: str, behind_ms: int) -> None:
        """The shard is read by somebody who keeps its place elsewhere."""
        self._set(shard, behind_ms=behind_ms)

    def finish(self, shard: str) -> None:
        """The shard is closed and everything in it is dealt with."""
        self._set(shard, is_done=True, behind_ms=0)

    def behind_ms(self) -> int:
        """How old the oldest record is that may wait; a shard of which nothing was heard for long grows older with the clock."""
        c, now_ms = stream_shards.c, self._now_ms()
        query = select(c.behind_ms, c.seen_ms).where(c.stream == self._stream, c.is_done.is_(False))
        try:
            with self._database.connect() as connection:
                rows = list(connection.execute(query))
        except SQLAlchemyError as error:
            raise StreamError(f"the checkpoints cannot be read: {_cause(error)}") from error
        return max((int(row.behind_ms) + max(0, now_ms - int(row.seen_ms)) for row in rows), default=0)

    def _set(self, shard: str, **values: object) -> None:
        key = {"stream": self._stream, "shard": shard}
        usual = {"place": None, "is_done": False, "behind_ms": 0, **values}
        try:
            with self._database.begin() as connection:
                upsert(connection, stream_shards, key, {**values, "seen_ms": self._now_ms()}, usual)
        except SQLAlchemyError as error:
            raise StreamError(f"the checkpoint cannot be written: {_cause(error)}") from error


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]
