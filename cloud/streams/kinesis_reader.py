"""Reading Kinesis without the Kinesis Client Library: every shard by polling, from one process (docs/adr/0013-kinesis.md).

For small deployments and tests; more than one consumer process wants the library (``cloud.consumer.kcl``). A shard that was split or
merged is read to its end before its children, so a site's records come in order through a re-shard.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cloud.streams.base import BatchName, StreamError, StreamRecord
from cloud.streams.kinesis_errors import StreamThrottled, error_from
from cloud.streams.kinesis_records import place_of, sequence_of, take_apart, unpack
from cloud.streams.positions import Positions

GET_LIMIT = 1000
GET_GAP_S = 0.2
"""Kinesis gives a shard's records five times a second."""
LIST_S = 10.0
"""How often the list of shards is read while none of them ends."""
EMPTY_GETS = 100
"""A stretch of a shard without records is passed over by so many calls at most."""
COUNT_LIMIT = 5000
"""How far ahead ``waiting`` looks."""
TRIES = 5


@dataclass(slots=True)
class _Shard:
    name: str
    parents: tuple[str, ...]
    place: int | None
    """The last record that was dealt with."""
    is_done: bool
    """Closed, and read and dealt with to its end."""
    ahead: deque[StreamRecord] = field(default_factory=deque)
    """Read and not dealt with."""
    iterator: str | None = None
    is_ended: bool = False
    """Nothing of it is left in Kinesis that was not read."""
    behind_ms: int = 0
    got_s: float = -1e9


class KinesisReader:
    """The consumer's side of the stream ``name``; ``positions`` keeps the checkpoints. Not for several processes at once."""

    def __init__(
        self,
        client: Any,
        name: str,
        positions: Positions,
        *,
        gap_s: float = GET_GAP_S,
        list_s: float = LIST_S,
        count_limit: int = COUNT_LIMIT,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._name = name
        self._positions = positions
        self._gap_s = gap_s
        self._list_s = list_s
        self._count_limit = count_limit
        self._now_s = now_s
        self._sleep = sleep
        self._shards: dict[str, _Shard] = {}
        self._listed_s = -1e9
        self._current = ""
        """The shard whose records were given last: given again until a checkpoint."""

    def read(self, limit: int) -> list[StreamRecord]:
        """The oldest records behind the checkpoint of one shard. See ``Stream.read``."""
        for shard in self._in_turn():
            self._get_ahead(shard, limit)
            if shard.ahead:
                self._current = shard.name
                return [record for record, _ in zip(shard.ahead, range(limit), strict=False)]
        return []

    def checkpoint(self, record: StreamRecord) -> None:
        """See ``Stream.checkpoint``."""
        shard = self._shards[record.shard]
        if shard.place is None or record.sequence > shard.place:
            self._positions.save(shard.name, record.sequence, shard.behind_ms)
            shard.place = record.sequence
        while shard.ahead and shard.ahead[0].sequence <= record.sequence:
            shard.ahead.popleft()
        self._finish(shard)
        self._current = ""

    def waiting(self) -> int:
        """Records that are known to wait, at most ``count_limit`` of a shard; 0 only where none does. Raises StreamError."""
        for shard in self._in_turn():
            self._get_ahead(shard, self._count_limit)
        return sum(len(shard.ahead) for shard in self._shards.values())

    def waiting_bytes(self) -> int:
        """What `waiting` or `read` found last."""
        return sum(len(record.message) for shard in self._shards.values() for record in shard.ahead)

    def note(self) -> None:
        """Write down how far behind each shard is, so that a quiet one does not look like one that nobody reads. Raises StreamError."""
        for shard in self._shards.values():
            if not shard.is_done and self._is_ready(shard):
                self._positions.note(shard.name, shard.behind_ms)

    async def append(self, name: BatchName, site: str, received_ms: int, message: bytes) -> bool:
        """A reader writes nothing."""
        raise StreamError("this process only reads the stream")

    def close(self) -> None:
        """See ``Stream.close``."""

    # --- shards -------------------------------------------------------------------------------------------------------

    def _in_turn(self) -> Iterator[_Shard]:
        """Shards that may be read, the one of the last read first, each once; the children of one that ends meanwhile too."""
        seen: set[str] = set()
        self._list_shards()
        while True:
            open_now = [s for s in self._shards.values() if s.name not in seen and not s.is_done and self._is_ready(s)]
            if not open_now:
                return
            shard = min(open_now, key=lambda s: s.name != self._current)
            seen.add(shard.name)
            yield shard

    def _is_ready(self, shard: _Shard) -> bool:
        # A parent that Kinesis lists no more has expired with all its records.
        return all(self._shards[name].is_done for name in shard.parents if name in self._shards)

    def _list_shards(self) -> None:
        if self._now_s() - self._listed_s < self._list_s:
            return
        kept = self._positions.load()
        for answer in self._list_pages():
            for one in answer["Shards"]:
                name = one["ShardId"]
                parents = tuple(one[key] for key in ("ParentShardId", "AdjacentParentShardId") if one.get(key))
                place, is_done = kept.get(name, (None, False))
                self._shards.setdefault(name, _Shard(name, parents, place, is_done))
        self._listed_s = self._now_s()

    def _list_pages(self) -> Iterator[dict[str, Any]]:
        answer = self._call("list_shards", StreamName=self._name)
        yield answer
        while token := answer.get("NextToken"):
            answer = self._call("list_shards", NextToken=token)
            yield answer

    def _finish(self, shard: _Shard) -> None:
        if shard.is_ended and not shard.ahead and not shard.is_done:
            self._positions.finish(shard.name)
            shard.is_done = True
            self._listed_s = -1e9  # its children are new
            self._list_shards()

    # --- records ------------------------------------------------------------------------------------------------------

    def _get_ahead(self, shard: _Shard, limit: int) -> None:
        """Read until there are ``limit`` records ahead, or none is left."""
        for _ in range(EMPTY_GETS):
            if shard.is_ended or len(shard.ahead) >= limit:
                break
            self._get(shard)
            if shard.behind_ms == 0:
                break
        self._finish(shard)

    def _get(self, shard: _Shard) -> None:
        wait_s = shard.got_s + self._gap_s - self._now_s()
        if wait_s > 0:
            self._sleep(wait_s)
        shard.got_s = self._now_s()
        if shard.iterator is None:
            shard.iterator = self._iterator_of(shard)
        try:
            answer = self._call("get_records", ShardIterator=shard.iterator, Limit=GET_LIMIT)
        except StreamError:
            shard.iterator = None  # it may be too old: the next try begins at what was read last
            raise
        last = shard.ahead[-1].sequence if shard.ahead else shard.place
        records = self._taken_apart(shard.name, answer["Records"])
        shard.ahead.extend(r for r in records if last is None or r.sequence > last)
        shard.iterator = answer.get("NextShardIterator")
        shard.is_ended = shard.iterator is None
        # An emulator that does not say how far behind we are: a full answer may have more behind it.
        shard.behind_ms = int(answer.get("MillisBehindLatest", len(answer["Records"])))

    def _iterator_of(self, shard: _Shard) -> str:
        last = shard.ahead[-1].sequence if shard.ahead else shard.place
        start: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
        if last is not None:  # the same record again: it may be an aggregated one of which a part was dealt with
            start = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence_of(last)[0]}
        return str(self._call("get_shard_iterator", StreamName=self._name, ShardId=shard.name, **start)["ShardIterator"])  # fmt: skip

    def _taken_apart(self, shard: str, records: list[dict[str, Any]]) -> Iterator[StreamRecord]:
        for record in records:
            for number, user in enumerate(take_apart(record["Data"])):
                yield unpack(shard, place_of(record["SequenceNumber"], number), user)

    def _call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """A call of boto3, again where Kinesis has no room just now. Raises StreamError."""
        for tries in range(1, TRIES + 1):
            try:
                answer: dict[str, Any] = getattr(self._client, name)(**arguments)
                return answer
            except (ClientError, BotoCoreError) as error:
                failure = error_from(error)
                if tries == TRIES or not isinstance(failure, StreamThrottled):
                    raise failure from error
            self._sleep(self._gap_s * tries)
        raise AssertionError("cannot happen: the last try returns or raises")
