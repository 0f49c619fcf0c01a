"""What every stream promises: durable before it says so, in order, once for each name, again until the checkpoint."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from contracts.adapters import AT_LEAST_ONCE, BOUNDED_BY_AGE, STREAMS

from cloud.streams.base import BatchName, StreamError, StreamFull

CHECKOUT = Path(__file__).resolve().parents[2]
CHILD = """
import asyncio, os, sys
from pathlib import Path
from contracts.adapters import STREAMS
from cloud.streams.base import BatchName

async def send(stream):
    for number in range(int(sys.argv[3])):
        await stream.append(BatchName("ap-1", b"bootboot", number), "shop", number, b"message %d" % number)
        print(number, flush=True)

asyncio.run(send(STREAMS[sys.argv[1]](Path(sys.argv[2]))))
os._exit(9)
"""


@pytest.fixture(params=sorted(STREAMS))
def opened(request, tmp_path):
    """Opens the stream of this test's folder, as often as asked; each is closed at the end."""
    streams = []

    def open_stream(**limits):
        streams.append(STREAMS[request.param](tmp_path, **limits))
        return streams[-1]

    open_stream.adapter, open_stream.folder = request.param, tmp_path
    yield open_stream
    for stream in streams:
        stream.close()


def append(
    stream, number: int, message: bytes = b"message", agent: str = "ap-1", boot: bytes = b"bootboot", site: str = "shop"
):
    return asyncio.run(stream.append(BatchName(agent, boot, number), site, 1000 + number, message))


def test_records_come_back_in_the_order_in_which_they_went_in(opened):
    stream = opened()
    for number in range(7):
        append(stream, number, b"message %d" % number, site=f"shop-{number % 2}")

    records = stream.read(100)

    assert [record.message for record in records] == [b"message %d" % number for number in range(7)]
    for site in ("shop-0", "shop-1"):
        assert [r.received_ms for r in records if r.site == site] == sorted(
            r.received_ms for r in records if r.site == site
        )
    for shard in {record.shard for record in records}:
        sequences = [record.sequence for record in records if record.shard == shard]
        assert sequences == sorted(set(sequences))


def test_a_record_comes_back_as_it_went_in(opened):
    stream = opened()
    append(stream, 5, bytes(range(256)), site="café")

    (record,) = stream.read(10)

    assert (record.site, record.received_ms, record.message) == ("café", 1005, bytes(range(256)))


@pytest.mark.parametrize(
    ("changed", "is_new"),
    [
        ({}, False),
        ({"agent": "ap-2"}, True),
        ({"boot": b"bootbook"}, True),
        ({"number": 8}, True),
        ({"message": b"another"}, False),
    ],
    ids=["same", "agent", "boot", "batch", "message"],
)
def test_a_name_is_stored_once(opened, changed, is_new):
    stream = opened()
    assert append(stream, 7) is True

    assert append(stream, **{"number": 7, **changed}) is is_new
    assert len(stream.read(10)) == 1 + is_new


def test_a_name_is_remembered_after_its_record_was_dealt_with(opened):
    stream = opened()
    append(stream, 1)
    stream.checkpoint(stream.read(1)[0])

    assert append(stream, 1) is False
    assert stream.read(10) == []


def test_without_a_checkpoint_the_same_records_come_again(opened):
    stream = opened()
    for number in range(5):
        append(stream, number)

    assert stream.read(2) == stream.read(2) == stream.read(5)[:2]


def test_a_checkpoint_moves_the_reader_and_never_back(opened):
    stream = opened()
    for number in range(5):
        append(stream, number)
    records = stream.read(5)

    stream.checkpoint(records[2])
    stream.checkpoint(records[0])

    assert [record.sequence for record in stream.read(9)] == [record.sequence for record in records[3:]]
    assert stream.waiting() == 2


def test_a_closed_stream_opens_where_it_was_left(opened):
    stream = opened()
    for number in range(3):
        append(stream, number, b"message %d" % number)
    stream.checkpoint(stream.read(1)[0])
    stream.close()
    stream.close()

    again = opened()

    assert [record.message for record in again.read(9)] == [b"message 1", b"message 2"]
    assert append(again, 0) is (opened.adapter in AT_LEAST_ONCE)


def test_what_was_acknowledged_survives_a_process_that_dies_at_once(opened):
    opened().close()  # it is there before the child
    done = subprocess.run(
        [sys.executable, "-c", CHILD, opened.adapter, str(opened.folder), "40"],
        cwd=CHECKOUT, env={"PYTHONPATH": f"{CHECKOUT}/tests:{CHECKOUT}"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 9, done.stderr
    assert [record.message for record in opened().read(99)] == [b"message %d" % number for number in range(40)]


def test_what_was_acknowledged_survives_a_kill_between_two_appends(opened):
    """Killed at any moment: everything that was said to be stored is there, in order, and at most the one under way beside it."""
    opened().close()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, opened.adapter, str(opened.folder), "1000000"],
        cwd=CHECKOUT, env={"PYTHONPATH": f"{CHECKOUT}/tests:{CHECKOUT}"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    acknowledged = [int(child.stdout.readline()) for _ in range(60)]
    child.kill()
    acknowledged += [int(line) for line in child.communicate(timeout=30)[0].splitlines()]

    kept = [int(record.message.split()[1]) for record in opened().read(1_000_000)]

    assert kept == list(range(len(kept)))
    assert len(acknowledged) <= len(kept) <= len(acknowledged) + 1


def test_many_appends_at_once_are_all_kept_and_each_name_is_new_once(opened):
    stream = opened()

    async def all_at_once() -> list[bool]:
        names = [BatchName(f"ap-{number % 10}", b"bootboot", number // 20) for number in range(400)]
        return await asyncio.gather(*(stream.append(name, "shop", 0, b"m") for name in names))

    results = asyncio.run(all_at_once())

    assert sum(results) == len(stream.read(1000)) == 200


def test_appends_from_several_event_loops_are_answered_each_in_its_own(opened):
    stream = opened()
    stored: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda agent=agent: stored.extend(append(stream, n, agent=f"ap-{agent}") for n in range(25))
        )
        for agent in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert stored == [True] * 100
    assert len(stream.read(1000)) == 100


def test_a_sender_that_has_gone_away_stops_nobody_else(opened):
    """Its event loop may be closed before the answer comes."""
    stream = opened()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_begin(stream))
    loop.close()

    assert append(stream, 2) is True
    assert [record.received_ms for record in stream.read(10)][-1] == 1002


async def _begin(stream) -> None:
    task = asyncio.ensure_future(stream.append(BatchName("ap-1", b"bootboot", 1), "shop", 1, b"message"))
    await asyncio.sleep(0)
    task.cancel()


def test_a_full_stream_refuses_and_takes_again_once_the_consumer_has_caught_up(opened):
    if opened.adapter in BOUNDED_BY_AGE:
        pytest.skip("it is full by age: test_kinesis.py")
    stream = opened(limit_bytes=100)
    append(stream, 1, b"m" * 60)

    with pytest.raises(StreamFull, match="60 bytes wait"):
        append(stream, 2, b"m" * 60)
    assert len(stream.read(10)) == 1
    stream.checkpoint(stream.read(1)[0])
    assert append(stream, 2, b"m" * 60) is True


def test_a_stream_that_was_full_is_still_full_after_a_restart(opened):
    if opened.adapter in BOUNDED_BY_AGE:
        pytest.skip("it is full by age: test_kinesis.py")
    stream = opened(limit_bytes=100)
    append(stream, 1, b"m" * 60)
    stream.close()

    with pytest.raises(StreamFull):
        append(opened(limit_bytes=100), 2, b"m" * 60)


def test_a_closed_stream_takes_nothing(opened):
    stream = opened()
    stream.close()

    with pytest.raises(StreamError, match="closed"):
        append(stream, 1)
