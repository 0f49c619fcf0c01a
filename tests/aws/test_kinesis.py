"""Kinesis as the stream, on kinesalite behind our fault proxy: nothing acknowledged is lost, a site keeps its order, senders are told in time."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from random import Random

import pytest
from structlog.testing import capture_logs
from support.aws import adapters, parts, proxy

if reason := parts.missing("boto3", "aws_kinesis_agg", "kinesalite"):
    pytest.skip(reason, allow_module_level=True)

from cloud.streams.base import BatchName, StreamError, StreamFull
from cloud.streams.kinesis_errors import StreamDenied, StreamThrottled

FAST = {"read_timeout": 0.7, "connect_timeout": 0.7}


@pytest.fixture(scope="module")
def kinesis():
    return adapters.client("kinesis", parts.node_emulator("kinesalite"))


class Opened:
    """A new stream behind a proxy; ``writes`` goes through it, ``reads`` does not."""

    def __init__(self, kinesis, folder, shards=1, choose=proxy.never, **options):
        from cloud.streams.kinesis import KinesisWriter

        self.kinesis = kinesis
        self.name = adapters.make_stream(kinesis, shards)
        self.proxy = proxy.Proxy(parts.node_emulator("kinesalite"), choose)
        self.writer = KinesisWriter(adapters.client("kinesis", self.proxy.url, **FAST), self.name, **options)
        self.reads = adapters.open_kinesis(parts.node_emulator("kinesalite"), self.name, folder)
        self.folder = folder

    def append(self, number: int, site: str = "shop", message: bytes | None = None, agent: str = "ap-1"):
        message = b"message %d" % number if message is None else message
        name = BatchName(agent, b"bootboot", number)
        return asyncio.run(asyncio.wait_for(self.writer.append(name, site, number, message), 60))

    def messages(self, limit: int = 100_000) -> list[bytes]:
        """All that is in the stream, shard by shard, dealt with as it is read."""
        found = []
        while records := self.reads.read(limit):
            found += [record.message for record in records]
            self.reads.checkpoint(records[-1])
        return found

    def close(self):
        self.writer.close()
        self.reads.close()
        self.proxy.close()


@pytest.fixture
def open_stream(kinesis, tmp_path):
    opened = []

    def opens(**options):
        opened.append(Opened(kinesis, tmp_path, **options))
        return opened[-1]

    yield opens
    for one in opened:
        one.close()


# --- acknowledged means stored ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["throttle", "some", "error", "drop", "hang"])
def test_a_put_that_fails_is_put_again_and_stored_once(open_stream, fault):
    stream = open_stream(choose=proxy.script(fault, fault))

    assert stream.append(1) is True
    assert stream.messages() == [b"message 1"]
    assert stream.proxy.faults[fault] >= 1


@pytest.mark.parametrize("fault", ["error_after", "drop_after"])
def test_a_lost_acknowledgement_means_a_second_copy_and_never_none(open_stream, fault):
    """Kinesis stores at least once: docs/adr/0013-kinesis.md. The shared SQL counts the copies once."""
    stream = open_stream(choose=proxy.script(fault))

    assert stream.append(1) is True
    assert stream.messages() == [b"message 1"] * 2


def test_only_the_records_that_failed_are_put_again(open_stream):
    stream = open_stream(choose=proxy.script(*["some"] * 3), lanes=1)

    async def all_at_once():
        names = [BatchName(f"ap-{n}", b"bootboot", 0) for n in range(100)]
        return await asyncio.gather(
            *(stream.writer.append(name, f"site-{n}", 0, b"%d" % n) for n, name in enumerate(names))
        )

    assert all(asyncio.run(all_at_once()))
    assert sorted(stream.messages(), key=int) == [b"%d" % n for n in range(100)]


def test_a_site_keeps_its_order_through_every_fault(open_stream):
    kinds = ("throttle", "some", "error", "drop")  # those after which nothing was stored: no second copies
    stream = open_stream(shards=3, choose=proxy.drawn(5, 0.5, kinds, most=60), append_s=60.0)

    async def send(agent: int) -> None:
        for number in range(30):  # as an access point does: the next after the last was acknowledged
            name = BatchName(f"ap-{agent}", b"bootboot", number)
            await stream.writer.append(name, f"site-{agent % 4}", 0, b"%d %d" % (agent, number))

    async def all_at_once():
        await asyncio.gather(*(send(agent) for agent in range(12)))

    asyncio.run(all_at_once())
    found = [tuple(map(int, message.split())) for message in stream.messages()]

    for agent in range(12):
        assert [number for a, number in found if a == agent] == list(range(30))
    assert sum(stream.proxy.faults.values()) > 20


def test_what_waits_meanwhile_shares_calls_and_records(open_stream):
    """Group commit and KPL aggregation: far fewer calls and records than messages, in order."""
    stream = open_stream(lanes=1)

    async def all_at_once():
        names = [BatchName("ap-1", b"bootboot", n) for n in range(500)]
        return await asyncio.gather(
            *(stream.writer.append(name, "shop", 0, b"%d" % n * 50) for n, name in enumerate(names))
        )

    assert all(asyncio.run(all_at_once()))
    raw = raw_records(stream)
    assert stream.proxy.requests["PutRecords"] < 60 and len(raw) < 60
    assert max(map(len, raw)) <= 25 * 1024
    assert stream.messages() == [b"%d" % n * 50 for n in range(500)]


def raw_records(stream) -> list[bytes]:
    (shard,) = stream.kinesis.list_shards(StreamName=stream.name)["Shards"]
    where = {"StreamName": stream.name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = stream.kinesis.get_shard_iterator(**where)["ShardIterator"]
    return [record["Data"] for record in stream.kinesis.get_records(ShardIterator=iterator)["Records"]]


def test_a_single_message_is_no_aggregated_record(open_stream):
    stream = open_stream()
    stream.append(1, message=b"x" * 40_000)

    (raw,) = raw_records(stream)
    assert raw.endswith(b"x" * 40_000) and len(raw) < 40_050


# --- told in time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words", "kind"),
    [("throttle", "Throughput", StreamThrottled), ("error", "500", StreamError), ("drop", "not answer", StreamError)],
)
def test_a_sender_is_told_in_bounded_time_when_kinesis_takes_nothing(open_stream, fault, words, kind):
    stream = open_stream(choose=lambda *_: fault, append_s=0.5)

    begun = time.monotonic()
    with pytest.raises(kind, match=words):
        stream.append(1)
    assert time.monotonic() - begun < 10
    assert stream.writer.waiting() == 0


def test_a_stream_that_is_not_there_is_said_at_once(open_stream):
    stream = open_stream(append_s=30.0)
    stream.writer._name = "no-such-stream"

    with pytest.raises(StreamDenied, match="ResourceNotFound"):
        stream.append(1)


def test_a_trouble_is_logged_once_and_its_end_once(open_stream):
    with capture_logs() as logged:
        stream = open_stream(choose=proxy.script(*["throttle"] * 4), lanes=1)
        stream.append(1)
        stream.append(2)

    events = Counter(line["event"] for line in logged)
    assert events == {"stream_put_deferred": 1, "stream_put_recovered": 1}


class _BrokenLog:
    """A log on a full disk."""

    def __init__(self) -> None:
        self.tries = 0

    def __getattr__(self, _level):
        def write(_event, **_fields):
            self.tries += 1
            raise OSError(28, "No space left on device")

        return write


def test_a_log_that_cannot_be_written_costs_no_batch_and_no_lane(open_stream, monkeypatch):
    broken = _BrokenLog()
    monkeypatch.setattr("cloud.streams.kinesis.log", broken)
    stream = open_stream(choose=proxy.script("throttle", "throttle"), lanes=1)

    assert [stream.append(number) for number in range(4)] == [True] * 4
    assert stream.messages() == [b"message %d" % number for number in range(4)]
    assert broken.tries >= 2, "the deferred put and its recovery were to be said"


@pytest.mark.parametrize("step", ["take", "stored", "failed"])
def test_a_mistake_of_ours_in_a_lane_is_told_to_its_senders_and_the_lane_goes_on(open_stream, monkeypatch, step):
    """Whatever of its own ends a turn, nobody waits for ever: not those in the lane, not those who come after."""
    from cloud.streams.kinesis_records import Lane

    real, mistakes = getattr(Lane, step), [1]

    def act(lane, *arguments):
        if mistakes and (step != "take" or lane.bytes):
            raise ZeroDivisionError(mistakes.pop())
        return real(lane, *arguments)

    monkeypatch.setattr(Lane, step, act)
    stream = open_stream(choose=proxy.script("throttle"), lanes=1)

    async def two_sites():
        appends = (stream.writer.append(BatchName("ap", b"boot", n), f"site-{n}", 0, b"%d" % n) for n in range(2))
        return await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), 20)

    told = asyncio.run(two_sites())
    assert any(isinstance(one, StreamError) and "ZeroDivisionError" in str(one) for one in told), told
    assert stream.append(7) is True and stream.writer.waiting() == 0
    assert b"message 7" in stream.messages()


def test_too_much_that_waits_is_refused_before_memory_is_full(open_stream, monkeypatch):
    monkeypatch.setattr("cloud.streams.kinesis.LANE_BYTES", 100_000)
    stream = open_stream(choose=lambda *_: "throttle", append_s=1.0, lanes=1)

    async def all_at_once():
        names = [BatchName("ap-1", b"bootboot", n) for n in range(100)]
        appends = (stream.writer.append(name, "shop", 0, b"x" * 10_000) for name in names)
        return await asyncio.gather(*appends, return_exceptions=True)

    results = asyncio.run(all_at_once())
    assert all(isinstance(result, StreamError) for result in results)
    assert sum("keep up" in str(result) for result in results) >= 90


def test_a_stream_whose_consumers_are_too_far_behind_takes_nothing(open_stream):
    """Records would expire before they are read; access points can keep them longer than the stream does."""
    why: list[str | None] = ["the consumers are 19 h behind"]
    stream = open_stream(why_full=lambda: why[0])
    with pytest.raises(StreamFull, match="19 h"):
        stream.append(1)
    why[0] = None
    assert stream.append(1) is True


def test_closing_puts_what_waits(open_stream):
    stream = open_stream(choose=proxy.script("throttle", "error"))

    async def begin_and_close():
        waits = asyncio.ensure_future(stream.writer.append(BatchName("ap-1", b"bootboot", 1), "shop", 0, b"last words"))
        await asyncio.sleep(0.01)
        await asyncio.to_thread(stream.writer.close)
        return await waits

    assert asyncio.run(begin_and_close()) is True
    assert stream.messages() == [b"last words"]


# --- reading ----------------------------------------------------------------------------------------------------------


def by_site(messages: list[bytes]) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for message in messages:
        site, number = message.split(b" ")
        found.setdefault(site, []).append(int(number))
    return found


def fill(stream, start: int, count: int, sites: int = 6) -> None:
    async def send(site: int) -> None:
        for number in range(start, start + count):
            await stream.writer.append(
                BatchName(f"ap-{site}", b"boot", number), f"site-{site}", 0, b"%d %d" % (site, number)
            )

    async def all_sites():
        await asyncio.gather(*(send(site) for site in range(sites)))

    asyncio.run(all_sites())


def split(kinesis, name: str, shard: dict) -> None:
    span = shard["HashKeyRange"]
    middle = (int(span["StartingHashKey"]) + int(span["EndingHashKey"])) // 2
    kinesis.split_shard(StreamName=name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))
    adapters.wait_active(kinesis, name)


def open_shards(kinesis, name: str) -> list[dict]:
    shards = kinesis.list_shards(StreamName=name)["Shards"]
    found = [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
    return sorted(found, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))


def merge(kinesis, name: str, first: dict, second: dict) -> None:
    kinesis.merge_shards(StreamName=name, ShardToMerge=first["ShardId"], AdjacentShardToMerge=second["ShardId"])
    adapters.wait_active(kinesis, name)


def test_every_record_comes_once_and_in_order_through_a_split_and_a_merge(open_stream, kinesis):
    stream = open_stream(shards=2)
    fill(stream, 0, 10)
    seen = stream.messages(7)
    split(kinesis, stream.name, open_shards(kinesis, stream.name)[0])
    fill(stream, 10, 10)
    some = stream.reads.read(5)  # in the middle of a shard that is closed by now
    stream.reads.checkpoint(some[1])
    seen += [record.message for record in some[:2]]
    shards = open_shards(kinesis, stream.name)
    merge(kinesis, stream.name, shards[1], shards[2])
    fill(stream, 20, 10)
    seen += stream.messages(7)

    assert by_site(seen) == {b"%d" % site: list(range(30)) for site in range(6)}
    assert stream.reads.waiting() == 0


def test_a_new_reader_goes_on_where_the_last_one_stood_across_a_re_shard(open_stream, kinesis, tmp_path):
    stream = open_stream(shards=1)
    fill(stream, 0, 20, sites=3)
    first = stream.reads.read(25)
    stream.reads.checkpoint(first[-1])
    split(kinesis, stream.name, open_shards(kinesis, stream.name)[0])
    fill(stream, 20, 5, sites=3)
    again = adapters.open_kinesis(parts.node_emulator("kinesalite"), stream.name, tmp_path)
    seen = [record.message for record in first]
    while records := again.read(10):
        seen += [record.message for record in records]
        again.checkpoint(records[-1])
    again.close()

    assert by_site(seen) == {b"%d" % site: list(range(25)) for site in range(3)}


def test_a_checkpoint_within_an_aggregated_record_is_kept(open_stream, tmp_path):
    stream = open_stream(lanes=1, choose=proxy.script("throttle", "throttle"))

    async def all_at_once():
        appends = (stream.writer.append(BatchName("ap-1", b"boot", n), "shop", n, b"%d" % n) for n in range(40))
        await asyncio.gather(*appends)

    asyncio.run(all_at_once())
    records = stream.reads.read(40)
    assert len(raw_records(stream)) < 10, "they were aggregated"
    stream.reads.checkpoint(records[29])
    again = adapters.open_kinesis(parts.node_emulator("kinesalite"), stream.name, tmp_path)

    assert [record.message for record in again.read(100)] == [b"%d" % n for n in range(30, 40)]
    again.close()


def test_reading_goes_on_through_faults(open_stream, tmp_path):
    stream = open_stream(shards=2)
    fill(stream, 0, 10)
    with proxy.faulty(
        parts.node_emulator("kinesalite"), proxy.drawn(3, 0.4, ("throttle", "error", "drop", "drop_after"), 30)
    ) as bad:
        reads = adapters.open_kinesis(
            bad.url, stream.name, tmp_path / "other" if (tmp_path / "other").mkdir() is None else tmp_path
        )
        seen, tries = [], 0
        while tries < 100 and len(seen) < 60:
            tries += 1
            try:
                records = reads.read(9)
                if records:
                    reads.checkpoint(records[-1])
                    seen += [record.message for record in records]
            except StreamError:
                continue
        reads.close()

    assert by_site(seen) == {b"%d" % site: list(range(10)) for site in range(6)}
    assert sum(bad.faults.values()) > 5


def test_a_record_that_somebody_else_put_comes_without_a_site(open_stream):
    stream = open_stream()
    stream.kinesis.put_record(StreamName=stream.name, PartitionKey="x", Data=b"hello")

    (record,) = stream.reads.read(10)
    assert (record.site, record.message) == ("", b"hello")


def test_a_random_walk_of_writes_reads_and_re_shards_loses_nothing(open_stream, kinesis, tmp_path):
    chance = Random(11)
    stream = open_stream(
        shards=2, choose=proxy.drawn(11, 0.2, ("throttle", "some", "error", "drop"), 40), append_s=30.0
    )
    written, seen = 0, []
    for _ in range(12):
        fill(stream, written, 3)
        written += 3
        shards = open_shards(kinesis, stream.name)
        if chance.random() < 0.5 and len(shards) < 5:
            split(kinesis, stream.name, chance.choice(shards))
        elif len(shards) > 1:
            place = chance.randrange(len(shards) - 1)
            merge(kinesis, stream.name, shards[place], shards[place + 1])
        records = stream.reads.read(chance.randint(1, 20))
        if records:
            stream.reads.checkpoint(records[-1])
            seen += [record.message for record in records]
    seen += stream.messages()

    assert by_site(seen) == {b"%d" % site: list(range(written)) for site in range(6)}


def test_the_wire_form_of_a_put_is_json_so_that_the_proxy_understands_it(open_stream):
    """Else 'some' would fail nothing and no test here would notice."""
    seen = []
    stream = open_stream()
    answer = stream.proxy.answer
    stream.proxy.answer = lambda handler, operation, body: (seen.append(body), answer(handler, operation, body))
    stream.append(1)

    (body,) = seen
    assert base64.b64decode(json.loads(body)["Records"][0]["Data"]).endswith(b"message 1")
