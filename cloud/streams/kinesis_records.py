"""What lies in a Kinesis record, and the order in which records are put (core; docs/adr/0013-kinesis.md).

A signed message travels untouched behind a few bytes that say whose it is and when it came. Several messages of one site that wait
at the same time become one KPL-aggregated record, which the Kinesis Client Library and our reader take apart again.
Source: "KPL Aggregated Record Format" (amazon-kinesis-producer, aggregation-format.md), its messages by aws-kinesis-agg, whose own
taking apart prints records that it cannot read and drops them; Kinesis Data Streams API, PutRecords.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from aws_kinesis_agg import MAGIC
from aws_kinesis_agg.deaggregator import (
    messages_pb2,
)  # importing the messages alone fails: it is this that makes them findable
from google.protobuf.message import DecodeError

from cloud.streams.base import StreamRecord

PAYLOAD_UNIT_BYTES = 25 * 1024
"""What Kinesis bills a record by; messages are gathered up to this, and not beyond: a site's record stays small and its put quick."""
MAX_PUT_RECORDS = 500
MAX_PUT_BYTES = 5_000_000
MAX_AGGREGATED = 1000
SUB_SEQUENCES = 10**6
"""A record's place is its Kinesis sequence number times this, plus its place within an aggregated record."""
# Importing the messages alone fails: the deaggregator is what makes their own imports findable.
AggregatedRecord = messages_pb2.AggregatedRecord
_HEAD = struct.Struct(">BQB")
_MD5_BYTES = 16
_VERSION = 1
_KPL_BYTES = 64
"""What the KPL's frame takes at most: magic, checksum, the key once."""
_KPL_MESSAGE_BYTES = 16
"""What it takes for each message at most."""


def pack(site: str, received_ms: int, message: bytes) -> bytes:
    """A message as the data of a Kinesis record."""
    name = site.encode()
    return _HEAD.pack(_VERSION, received_ms, len(name)) + name + message


def unpack(shard: str, place: int, data: bytes) -> StreamRecord:
    """The message in a record. What is none of ours comes with an empty site, so that the consumer sets it aside with its reason."""
    try:
        version, received_ms, length = _HEAD.unpack_from(data)
        site = data[_HEAD.size : _HEAD.size + length].decode()
        if version == _VERSION and len(data) >= _HEAD.size + length:
            return StreamRecord(shard, place, site, received_ms, data[_HEAD.size + length :])
    except (struct.error, UnicodeDecodeError):
        pass
    return StreamRecord(shard, place, "", 0, data)


def place_of(sequence: str | int, sub_sequence: int) -> int:
    """Where a user record stands in its shard."""
    return int(sequence) * SUB_SEQUENCES + sub_sequence


def sequence_of(place: int) -> tuple[str, int]:
    """The Kinesis sequence number and the place within its record."""
    sequence, sub_sequence = divmod(place, SUB_SEQUENCES)
    return str(sequence), sub_sequence


def aggregate(site: str, data: Sequence[bytes]) -> bytes:
    """One record out of the data of several of one site; a single one stays as it is."""
    if len(data) == 1:
        return data[0]
    made = AggregatedRecord(partition_key_table=[site])
    for one in data:
        made.records.add(partition_key_index=0, data=one)
    content: bytes = made.SerializeToString()
    return bytes(MAGIC) + content + hashlib.md5(content, usedforsecurity=False).digest()


def take_apart(data: bytes) -> list[bytes]:
    """The data of each message in a record. What is no aggregated record whole and unaltered is one message."""
    content, checksum = data[len(MAGIC) : -_MD5_BYTES], data[-_MD5_BYTES:]
    if data.startswith(MAGIC) and hashlib.md5(content, usedforsecurity=False).digest() == checksum:
        try:
            return [bytes(record.data) for record in AggregatedRecord.FromString(content).records] or [data]
        except DecodeError:
            pass
    return [data]


@dataclass(slots=True, eq=False)
class Item:
    """One message that waits to be put, until ``until_s`` at the latest. ``answer``: True stored, or why not."""

    site: str
    data: bytes
    until_s: float
    answer: Callable[[Exception | bool], None]


@dataclass(frozen=True, slots=True, eq=False)
class Put:
    """One entry of PutRecords: the oldest messages of a site."""

    site: str
    items: tuple[Item, ...]
    data: bytes


@dataclass(slots=True)
class _Site:
    items: deque[Item] = field(default_factory=deque)
    tries: int = 0
    not_before_s: float = 0.0
    is_under_way: bool = False


class Lane:
    """What waits, by site. At most one record of a site is under way at a time, so a record that fails is overtaken by none of its
    site, although Kinesis promises no order within a call. Not for use by several threads at once."""

    def __init__(self) -> None:
        self._sites: dict[str, _Site] = {}
        self.bytes = 0
        """Data that waits or is under way."""

    def __len__(self) -> int:
        return sum(len(site.items) for site in self._sites.values())

    def add(self, item: Item) -> None:
        """Queue a message behind those of its site."""
        self._sites.setdefault(item.site, _Site()).items.append(item)
        self.bytes += len(item.data)

    def take(self, now_s: float) -> list[Put]:
        """What one PutRecords may carry now: of each site that is not pausing its oldest messages, up to a payload unit."""
        puts: list[Put] = []
        size = 0
        for name, site in self._sites.items():
            if site.is_under_way or site.not_before_s > now_s or not site.items:
                continue
            items = _first_unit(site.items)
            data = aggregate(name, [item.data for item in items])
            size += len(data) + len(name.encode())
            if len(puts) == MAX_PUT_RECORDS or size > MAX_PUT_BYTES:
                break
            site.is_under_way = True
            puts.append(Put(name, tuple(items), data))
        for put in puts:  # whoever was served stands behind those who were not
            self._sites[put.site] = self._sites.pop(put.site)
        return puts

    def stored(self, put: Put) -> None:
        """Kinesis has it: answer those who wait."""
        site = self._sites[put.site]
        site.tries, site.is_under_way = 0, False
        for item in put.items:
            site.items.popleft()
            self._let_go(item, True)
        if not site.items:
            del self._sites[put.site]

    def failed(self, put: Put, now_s: float, pause_s: Callable[[int], float]) -> None:
        """It must be tried again after ``pause_s(tries so far)``; nothing of its site goes before it."""
        site = self._sites[put.site]
        site.tries += 1
        site.not_before_s, site.is_under_way = now_s + pause_s(site.tries), False

    def give_up(self, now_s: float, why: Callable[[], Exception]) -> None:
        """Answer those whose time is over and who are not under way. What they sent may be in the stream all the same."""
        for name, site in list(self._sites.items()):
            while not site.is_under_way and site.items and site.items[0].until_s <= now_s:
                self._let_go(site.items.popleft(), why())
            if not site.items:
                del self._sites[name]

    def give_all_up(self) -> list[Item]:
        """Let go of everything, under way or not; gives it, unanswered."""
        items = [item for site in self._sites.values() for item in site.items]
        self._sites.clear()
        self.bytes = 0
        return items

    def next_s(self) -> float | None:
        """When `take` or `give_up` has something to do; None where nothing waits."""
        return min((min(site.not_before_s, site.items[0].until_s) for site in self._sites.values()), default=None)

    def _let_go(self, item: Item, answer: Exception | bool) -> None:
        self.bytes -= len(item.data)
        item.answer(answer)


def _first_unit(items: deque[Item]) -> list[Item]:
    """The oldest, as many as fill a payload unit; at least one."""
    taken: list[Item] = []
    size = _KPL_BYTES + len(items[0].site.encode())
    for item in items:
        size += len(item.data) + _KPL_MESSAGE_BYTES
        if taken and (size > PAYLOAD_UNIT_BYTES or len(taken) == MAX_AGGREGATED):
            break
        taken.append(item)
    return taken


def full_jitter_s(tries: int, draw: Callable[[], float], base_s: float = 0.05, cap_s: float = 1.0) -> float:
    """A pause drawn evenly from 0 to a bound that doubles with each try. ``draw`` gives 0..1. Source: AWS Architecture Blog,
    "Exponential Backoff And Jitter" (2015), full jitter."""
    return draw() * min(cap_s, base_s * 2.0 ** min(tries - 1, 30))


def jitter(draw: Callable[[], float]) -> Callable[[int], float]:
    """``full_jitter_s`` with its source of chance."""
    return partial(full_jitter_s, draw=draw)
