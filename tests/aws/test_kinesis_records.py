"""What lies in a Kinesis record, and in which order records are put: no Kinesis is needed, the extra 'aws' is."""

from __future__ import annotations

import base64
import hashlib

import pytest

pytest.importorskip("aws_kinesis_agg", reason="the extra 'aws' is not installed; run: make test-aws")
from aws_kinesis_agg import aggregator, deaggregator
from hypothesis import given
from hypothesis import strategies as st

from cloud.streams.kinesis_records import (
    MAX_AGGREGATED,
    MAX_PUT_BYTES,
    MAX_PUT_RECORDS,
    PAYLOAD_UNIT_BYTES,
    Item,
    Lane,
    aggregate,
    full_jitter_s,
    pack,
    place_of,
    sequence_of,
    take_apart,
    unpack,
)

sites = st.text(min_size=1, max_size=20).filter(lambda text: len(text.encode()) < 256)
messages = st.binary(max_size=300)


@given(sites, st.integers(0, 2**63), messages)
def test_a_message_comes_out_as_it_went_in(site, received_ms, message):
    record = unpack("shard", 7, pack(site, received_ms, message))

    assert (record.site, record.received_ms, record.message) == (site, received_ms, message)


@given(st.binary(max_size=300))
def test_what_is_none_of_ours_comes_out_whole_and_without_a_site(data):
    record = unpack("shard", 7, b"{" + data)

    assert (record.site, record.message) == ("", b"{" + data)


@given(sites, st.lists(messages, min_size=1, max_size=20))
def test_an_aggregated_record_is_taken_apart_in_order(site, data):
    assert take_apart(aggregate(site, data)) == data


@given(sites, st.lists(messages, min_size=2, max_size=20))
def test_amazons_own_library_reads_what_we_aggregate(site, data):
    about = {"sequenceNumber": "1", "kinesisSchemaVersion": "1.0", "approximateArrivalTimestamp": 0.0}
    record = {"kinesis": {"data": base64.b64encode(aggregate(site, data)), **about}}
    found = deaggregator.deaggregate_records([record])

    assert [base64.b64decode(one["kinesis"]["data"]) for one in found] == data
    assert {one["kinesis"]["partitionKey"] for one in found} == {site}


@given(st.lists(messages, min_size=1, max_size=20))
def test_we_read_what_amazons_own_library_aggregates(data):
    made = aggregator.RecordAggregator()
    for one in data:
        made.add_user_record("site", one)

    assert take_apart(made.clear_and_get().get_contents()[2]) == data


@given(st.lists(messages, min_size=2, max_size=5), st.data())
def test_a_record_that_was_altered_is_one_message(data, draw):
    record = bytearray(aggregate("site", data))
    record[draw.draw(st.integers(4, len(record) - 1))] ^= 1

    assert take_apart(bytes(record)) == [bytes(record)]


@pytest.mark.parametrize("content", [b"", b"\x0a\x01a", b"\xff\xff\xff"], ids=["empty", "no records", "no protobuf"])
def test_a_frame_without_messages_is_one_message_and_none_vanishes(content):
    framed = b"\xf3\x89\x9a\xc2" + content + hashlib.md5(content, usedforsecurity=False).digest()

    assert take_apart(framed) == [framed]


@given(st.integers(0, 10**56), st.integers(0, 999_999))
def test_a_place_is_its_sequence_number_and_its_place_within(sequence, sub_sequence):
    assert sequence_of(place_of(str(sequence), sub_sequence)) == (str(sequence), sub_sequence)


@pytest.mark.parametrize(
    ("tries", "bound_s"), [(1, 0.05), (2, 0.1), (3, 0.2), (5, 0.8), (6, 1.0), (60, 1.0), (10_000, 1.0)]
)
def test_a_pause_is_drawn_from_nothing_to_a_bound_that_doubles(tries, bound_s):
    assert full_jitter_s(tries, lambda: 0.0) == 0.0
    assert full_jitter_s(tries, lambda: 1.0) == pytest.approx(bound_s)


# --- the lane ---------------------------------------------------------------------------------------------------------


class Sent:
    """A lane and what its senders were told."""

    def __init__(self):
        self.lane, self.said = Lane(), {}

    def add(self, site: str, number: int, size: int = 1000, until_s: float = 10.0):
        data = b"%06d" % number + bytes(size - 6)
        self.lane.add(Item(site, data, until_s, lambda said: self.said.setdefault((site, number), said)))


def numbers(put) -> list[int]:
    return [int(item.data[:6]) for item in put.items]


def test_messages_of_a_site_that_wait_together_fill_one_payload_unit():
    sent = Sent()
    for number in range(60):
        sent.add("a", number)
    (put,) = sent.lane.take(0.0)

    assert numbers(put) == list(range(len(put.items))) and len(put.items) > 20
    assert PAYLOAD_UNIT_BYTES - 1100 < len(put.data) <= PAYLOAD_UNIT_BYTES


def test_a_message_beyond_a_payload_unit_goes_alone_and_as_it_is():
    sent = Sent()
    sent.add("a", 0, size=60_000)
    sent.add("a", 1)
    (put,) = sent.lane.take(0.0)

    assert numbers(put) == [0] and put.data == put.items[0].data


def test_many_tiny_messages_are_not_more_than_the_reader_can_number():
    sent = Sent()
    for number in range(MAX_AGGREGATED + 10):
        sent.add("a", number, size=6)
    (put,) = sent.lane.take(0.0)

    assert len(put.items) == MAX_AGGREGATED


def test_nothing_of_a_site_is_put_while_one_of_it_is_under_way():
    sent = Sent()
    sent.add("a", 0)
    (put,) = sent.lane.take(0.0)
    sent.add("a", 1)
    sent.add("b", 2)

    assert [p.site for p in sent.lane.take(0.0)] == ["b"]
    sent.lane.stored(put)
    assert [numbers(p) for p in sent.lane.take(0.0)] == [[1]]
    assert sent.said == {("a", 0): True}


def test_what_failed_goes_first_after_its_pause_and_together_with_what_came_meanwhile():
    sent = Sent()
    sent.add("a", 0)
    (put,) = sent.lane.take(0.0)
    sent.add("a", 1)
    sent.lane.failed(put, 1.0, lambda tries: 0.5 * tries)

    assert sent.lane.take(1.4) == []
    assert sent.lane.next_s() == 1.5
    (put,) = sent.lane.take(1.5)
    assert numbers(put) == [0, 1]
    sent.lane.failed(put, 2.0, lambda tries: 0.5 * tries)
    assert sent.lane.take(2.9) == [] and sent.lane.take(3.0)


def test_a_site_that_pauses_holds_up_no_other():
    sent = Sent()
    sent.add("a", 0)
    sent.lane.failed(sent.lane.take(0.0)[0], 0.0, lambda _tries: 9.0)
    sent.add("b", 1)

    assert [put.site for put in sent.lane.take(0.1)] == ["b"]


def test_whoever_waited_too_long_is_told_and_those_behind_go_on():
    sent = Sent()
    sent.add("a", 0, until_s=1.0)
    sent.add("a", 1, until_s=2.0)
    put = sent.lane.take(0.0)[0]
    sent.lane.give_up(1.5, lambda: TimeoutError("late"))
    assert sent.said == {}, "what is under way is not given up"

    sent.lane.failed(put, 1.5, lambda _tries: 0.0)
    sent.lane.give_up(1.5, lambda: TimeoutError("late"))
    assert list(sent.said) == [("a", 0)] and isinstance(sent.said["a", 0], TimeoutError)
    assert numbers(sent.lane.take(1.5)[0]) == [1]


def test_a_call_keeps_to_what_kinesis_takes_and_the_rest_goes_next():
    sent = Sent()
    for number in range(MAX_PUT_RECORDS + 3):
        sent.add(f"s{number}", number)
    puts = sent.lane.take(0.0)
    assert len(puts) == MAX_PUT_RECORDS
    assert len(sent.lane.take(0.0)) == 3

    sent = Sent()
    for number in range(200):
        sent.add(f"s{number}", number, size=60_000)
    puts = sent.lane.take(0.0)
    assert sum(len(put.data) + len(put.site) for put in puts) <= MAX_PUT_BYTES < 200 * 60_000
    assert len(puts) > 70


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40), st.integers(0, 2**32))
def test_each_site_keeps_its_order_whatever_fails(steps, seed):
    """The law behind 'ordering per site': however calls fail, what is stored of a site is stored in the order in which it came."""
    from random import Random

    chance, sent, stored, now_s = Random(seed), Sent(), {"a": [], "b": [], "c": []}, 0.0
    for number, (site, turn) in enumerate([*steps, *[("a", True)] * 60]):
        if number < len(steps):
            sent.add(site, number, until_s=1e9)
        now_s += 1.0
        for put in sent.lane.take(now_s) if turn else ():
            if number < len(steps) and chance.random() < 0.5:
                sent.lane.failed(put, now_s, lambda _tries: chance.random() * 3)
            else:
                stored[put.site] += numbers(put)
                sent.lane.stored(put)

    assert len(sent.lane) == 0 and sent.lane.bytes == 0
    for site, found in stored.items():
        assert found == [number for number, (s, _) in enumerate(steps) if s == site]
