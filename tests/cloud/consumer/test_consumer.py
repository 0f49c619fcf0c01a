"""From the stream to the lake: whatever breaks and whenever, every sighting counts once, and what cannot be read is kept with its reason."""

from __future__ import annotations

import itertools
import shutil
import zlib
from dataclasses import replace

import cbor2
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from support.batches import KEY, batches, signed
from support.clouds import DATE, HOUR_MS, MIN_MS, NOON_MS, Cloud, busy_hour, counted, heard, stay

from agent.wire.codec import encode_batch, inflate
from agent.wire.cose import sign_message
from agent.wire.errors import WireError
from agent.wire.model import LedgerCounts, WindowEstimate
from cloud.consumer.consumer import COMPACT_FROM, Consumer
from cloud.consumer.transform import read_batch
from cloud.databases.tables import agents, dirty_days
from cloud.stores.base import StoreError
from cloud.streams.base import BatchName, StreamError

BEGIN_MS = NOON_MS - HOUR_MS


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    made.close()


def lake_rows(made: Cloud, table: str) -> list[dict]:
    """All rows of a table of the lake, copies included."""
    return [
        row
        for name in made.embedded.store.names(f"{table}/")
        for row in pq.read_table(made.embedded.store.location(name), partitioning=None).to_pylist()
    ]


def distinct(rows: list[dict]) -> set[tuple]:
    return {(row["agent"], row["boot"], row["batch"], row["row_no"]) for row in rows}


def quarantined(made: Cloud) -> dict[str, str]:
    """Message's object -> reason."""
    store = made.embedded.store
    names = [name for name in store.names("quarantine/") if name.endswith(".cose")]
    return {name: store.get(name.removesuffix(".cose") + ".reason.txt").decode() for name in names}


def junk(number: int) -> tuple[bytes, BatchName]:
    """A message whose signature was right and whose payload is not."""
    return sign_message(zlib.compress(b"\xff junk"), "ap-test", KEY.sign), BatchName("ap-test", b"junkjunk", number)


# --- what lies in the lake ----------------------------------------------------------------------------------------------


def test_every_sighting_becomes_one_row_with_all_that_it_said(cloud):
    content = heard(
        0, stay(1, BEGIN_MS, 6), stay(2, BEGIN_MS + 1, 7, 10, rssi_median_dbm=None, rssi_max_dbm=None, channel=None)
    )
    cloud.take(content)

    first, second = lake_rows(cloud, "sightings")
    assert first == {
        "agent": "ap-test", "boot": b"bootboot".hex(), "batch": 0, "row_no": 0, "mode": "day", "key_epoch": 19_675,
        "pseudonym": (1).to_bytes(8, "big").hex(), "first_ms": BEGIN_MS, "last_ms": BEGIN_MS + 6 * MIN_MS, "bursts": 1, "frames": 4,
        "rssi_max_dbm": -58, "rssi_median_dbm": -60, "p_inside": 90, "channel": 6, "address_kind": "randomised", "source": "pcap",
        "confidence": 90, "link": None,
    }  # fmt: skip
    assert (second["rssi_max_dbm"], second["rssi_median_dbm"], second["channel"]) == (None, None, None)


def test_rows_lie_under_their_site_and_their_own_local_date(tmp_path):
    made = Cloud(tmp_path, time_zone="Asia/Tokyo")
    midnight = NOON_MS + 3 * HOUR_MS
    made.take(
        heard(0, stay(1, midnight - 1, 6), stay(2, midnight, 6), start_ms=midnight - HOUR_MS, end_ms=midnight + HOUR_MS)
    )
    names = made.embedded.store.names("sightings/")
    made.close()

    assert names == [f"sightings/site=shop/date={date}/embedded-{1:020d}.parquet" for date in (DATE, "2026-11-21")]


def test_the_signed_message_lies_in_the_lake_as_the_agent_sent_it(cloud):
    content = heard(0, *busy_hour())
    cloud.take(content)

    (kept,) = lake_rows(cloud, "messages")
    assert kept["message"] == signed(content)


def test_unknown_fields_are_kept_and_the_known_ones_used(cloud):
    """A newer agent adds a key, and nothing is lost: SPEC.md section 2."""
    content = replace(heard(0, *busy_hour()), extra={9: "new", 17: [1, 2]})
    cloud.take(content)

    (kept,) = lake_rows(cloud, "messages")
    assert read_batch(kept["message"]).extra == {9: "new", 17: [1, 2]}
    assert cloud.day()["visitors"]["value"] == 12


def test_unknown_keys_inside_header_and_ledger_are_no_reason_to_refuse(cloud):
    fields = cbor2.loads(inflate(encode_batch(heard(0, *busy_hour()))))
    fields[1][40], fields[2][40] = "new", 5
    message = sign_message(zlib.compress(cbor2.dumps(fields, canonical=True)), "ap-test", KEY.sign)
    cloud.append(message, BatchName("ap-test", b"bootboot", 0))
    cloud.embedded.work()

    assert lake_rows(cloud, "messages")[0]["message"] == message
    assert cloud.day()["visitors"]["value"] == 12


def test_what_an_access_point_said_last_is_known(cloud):
    cloud.take(heard(0, *busy_hour(), software="0.2.0"))

    with cloud.embedded.database.connect() as connection:
        row = connection.execute(select(agents)).one()
    assert (row.software, row.last_batch_ms, row.last_received_ms, row.config_hash) == (
        "0.2.0",
        NOON_MS,
        NOON_MS,
        b"confhash".hex(),
    )


# --- what cannot be read ------------------------------------------------------------------------------------------------

WRONG = {
    "payload": (lambda: junk(0)[0], "CBOR"),
    "too many frames": (lambda: signed(heard(0, stay(1, BEGIN_MS, 6, frames=1 << 31))), "frames"),
    "a ledger beyond counting": (lambda: signed(replace(heard(0), ledger=LedgerCounts(1 << 60, 1 << 60))), "ledger"),
    "listening beyond counting": (lambda: signed(replace(heard(0), ledger=LedgerCounts(0, 0, listening_ms={1: 1 << 62}))), "ledger"),
    "a window of a year": (lambda: signed(heard(0, start_ms=NOON_MS - 365 * 24 * HOUR_MS)), "speaks of"),
    "a sighting of another year": (lambda: signed(heard(0, stay(1, NOON_MS - 365 * 24 * HOUR_MS, 6))), "outside"),
    "a sighting that never ends": (lambda: signed(heard(0, stay(1, BEGIN_MS, 1e8))), "outside"),
    "an estimate of another year": (lambda: signed(replace(heard(0), windows=(WindowEstimate(0, 1.0, 1.0, 1.0),))), "outside"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_used_goes_to_quarantine_whole_and_with_its_reason(cloud, name):
    make, words = WRONG[name]
    cloud.append(make(), BatchName("ap-test", b"bootboot", 0))
    cloud.append(heard(1, *busy_hour()))
    cloud.embedded.work()

    ((kept, reason),) = quarantined(cloud).items()
    assert cloud.embedded.store.get(kept) == make()
    assert reason.startswith("shop: ") and words in reason
    assert cloud.day()["visitors"]["value"] == 12
    assert cloud.embedded.is_idle()


def test_a_batch_of_a_site_that_is_gone_goes_to_quarantine(cloud):
    cloud.append(signed(heard(0)), BatchName("ap-test", b"bootboot", 0), site="gone")
    cloud.embedded.work()

    assert list(quarantined(cloud).values()) == ["gone: site gone is not known any more\n"]


def test_a_mistake_of_ours_stops_one_batch_and_not_those_behind_it(cloud, monkeypatch):
    """Whatever a batch does to the reading of it, the same would happen at every try: it is set aside, never in the way."""
    import cloud.consumer.consumer as consumer

    def reads(message: bytes):
        if message == signed(heard(0)):
            raise TypeError("nobody thought of this")
        return read_batch(message)

    monkeypatch.setattr(consumer, "read_batch", reads)
    cloud.take(heard(0), heard(1, *busy_hour()))

    (reason,) = quarantined(cloud).values()
    assert reason.startswith("shop: TypeError at cloud.consumer.consumer:"), "the kind and the line"
    assert "nobody" not in reason, "and nothing of the text, which may hold anything"
    assert cloud.day()["visitors"]["value"] == 12


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """The folder of a cloud that has heard nothing yet."""
    folder = tmp_path_factory.mktemp("empty") / "cloud"
    Cloud(folder).close()
    return folder


@settings(max_examples=20, deadline=None)
@given(st.lists(batches(), max_size=6), st.lists(st.binary(max_size=60), max_size=3))
def test_the_account_closes(tmp_path_factory, empty, contents, payloads):
    """Sightings in = rows out + quarantined, whatever the agents send; the stream has seen to it that none came twice."""
    folder = tmp_path_factory.mktemp("account") / "cloud"
    shutil.copytree(empty, folder)
    made = Cloud(folder, is_new=False)
    sent, set_aside = 0, 0
    for number, content in enumerate(contents):
        content = replace(content, header=replace(content.header, batch=number))
        made.append(content)
        try:
            read_batch(signed(content))
            sent += len(content.sightings)
        except WireError:
            set_aside += 1
    for number, payload in enumerate(payloads):
        made.append(sign_message(payload, "ap-test", KEY.sign), BatchName("ap-test", b"junkjunk", number))
    made.embedded.consumer.drain()
    rows, kept = lake_rows(made, "sightings"), len(quarantined(made))
    made.close()

    assert len(rows) == len(distinct(rows)) == sent
    assert kept == set_aside + len(payloads)


# --- faults: at every call, once ----------------------------------------------------------------------------------------

PARTS = {
    "store": (("put", "get", "names", "remove"), StoreError),
    "stream": (("read", "checkpoint"), StreamError),
    "database": (("begin", "connect"), SQLAlchemyError),
}
CHANGING = ("put", "remove", "checkpoint")


class Faults:
    """Makes the n-th call into store, stream or database fail; with ``after`` a call that changes something, and after it was done."""

    def __init__(self, made: Cloud, fail_at: int, after: bool = False) -> None:
        self.calls, self.fail_at, self.after, self.is_on = 0, fail_at, after, True
        for part, (methods, error) in PARTS.items():
            for method in methods:
                if not after or method in CHANGING:
                    owner = getattr(made.embedded, part)
                    setattr(owner, method, self._guarded(getattr(owner, method), error))

    def _guarded(self, method, error):
        def call(*arguments, **named):
            self.calls += self.is_on
            fails = self.is_on and self.calls == self.fail_at
            if fails and not self.after:
                raise error("injected")
            result = method(*arguments, **named)
            if fails:
                raise error("injected")
            return result

        return call


def each_fault(template, folder, work, after: bool = False):
    """The n-th call fails, for n = 1, 2, ... until a run meets none. Gives each cloud after ``work`` was done, again after the failure
    as the worker does it, and n."""
    for fail_at in itertools.count(1):
        shutil.copytree(template, folder / str(fail_at))
        made = Cloud(folder / str(fail_at), is_new=False)
        faults = Faults(made, fail_at, after)
        try:
            work(made)
        except (StoreError, StreamError, SQLAlchemyError):
            work(made)
        faults.is_on = False
        yield made, fail_at
        made.close()
        if faults.calls < fail_at:
            return


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cloud in whose stream three batches wait, one of them unreadable; and the figures that come of them."""
    folder = tmp_path_factory.mktemp("filled")
    made = Cloud(folder / "waiting")
    made.append(heard(0, *busy_hour()))
    made.append(*junk(0))
    made.append(heard(2, stay(900, BEGIN_MS, 30)))
    made.close()
    shutil.copytree(folder / "waiting", folder / "done")
    made = Cloud(folder / "done", is_new=False)
    made.embedded.work()
    figures = made.figures()
    made.close()
    return folder / "waiting", figures


@pytest.mark.parametrize(("after", "calls"), [(False, 30), (True, 12)], ids=["before it is done", "after it was done"])
def test_a_fault_at_any_call_changes_no_figure(tmp_path, filled, monkeypatch, after, calls):
    monkeypatch.setattr("cloud.consumer.consumer.MAX_RECORDS", 2)
    template, figures = filled
    for made, fail_at in each_fault(template, tmp_path, lambda made: made.embedded.work(), after):
        assert made.figures() == figures, fail_at
        assert len(distinct(lake_rows(made, "sightings"))) == 33 and len(quarantined(made)) == 1
        assert made.embedded.is_idle()
    assert fail_at > calls, "so many calls were tried"


def test_records_read_again_after_a_crash_overwrite_their_object(cloud, monkeypatch):
    """Killed between object and checkpoint: the next run reads from the same record on, and more with it."""
    cloud.append(heard(0, *busy_hour()))
    with monkeypatch.context() as patched:
        patched.setattr(
            cloud.embedded.stream, "checkpoint", lambda _record: (_ for _ in ()).throw(StreamError("killed"))
        )
        with pytest.raises(StreamError):
            cloud.embedded.work()
    assert len(lake_rows(cloud, "sightings")) == 32
    cloud.append(heard(1, stay(900, BEGIN_MS, 30)))
    cloud.embedded.work()

    assert len(cloud.embedded.store.names("sightings/")) == 1
    assert len(lake_rows(cloud, "sightings")) == 33
    assert cloud.day()["visitors"]["value"] == 13


def test_the_same_batch_in_two_objects_counts_once(cloud):
    """A cloud whose stream may repeat (Kinesis does) writes rows twice; figures are by (agent, boot, batch, row)."""
    cloud.take(heard(0, *busy_hour()))
    before = cloud.figures()
    store = cloud.embedded.store
    for name in store.names(""):
        store.put(name.replace("embedded-", "other-"), store.get(name))
    cloud.embedded.analyse("shop", DATE)

    assert cloud.figures() == before


# --- compaction -----------------------------------------------------------------------------------------------------------


def test_many_small_objects_become_one_and_every_row_stays(cloud):
    for number in range(COMPACT_FROM + 5):
        cloud.append(heard(number, stay(number, BEGIN_MS + number * 1000, 6)))
        cloud.embedded.consumer.drain()
    cloud.embedded.work()

    names = cloud.embedded.store.names("sightings/")
    assert len(names) == 6 and "compact" in names[0]
    assert len(lake_rows(cloud, "sightings")) == COMPACT_FROM + 5
    assert cloud.day()["visitors"]["value"] == COMPACT_FROM + 5
    assert {row["message"] for row in lake_rows(cloud, "messages")} == {
        signed(heard(n, stay(n, BEGIN_MS + n * 1000, 6))) for n in range(COMPACT_FROM + 5)
    }


def test_compaction_goes_on_from_the_compacted_object(cloud, monkeypatch):
    monkeypatch.setattr("cloud.consumer.consumer.COMPACT_FROM", 4)
    for number in range(21):
        cloud.append(heard(number, stay(number, BEGIN_MS + number * 1000, 6)))
        cloud.embedded.consumer.drain()
    cloud.embedded.work()

    assert len(cloud.embedded.store.names("sightings/")) <= 4
    assert len(lake_rows(cloud, "sightings")) == 21
    assert cloud.day()["visitors"]["value"] == 21


def test_a_merged_object_that_is_large_enough_is_left_alone(cloud, monkeypatch):
    """So a merge needs the room of a few megabytes, however long the day is."""
    monkeypatch.setattr("cloud.consumer.consumer.COMPACT_FROM", 4)
    monkeypatch.setattr("cloud.consumer.consumer.LARGE_BYTES", 1)
    read = []
    get = cloud.embedded.store.get
    monkeypatch.setattr(cloud.embedded.store, "get", lambda name: read.append(name) or get(name))
    for number in range(21):
        cloud.append(heard(number, stay(number, BEGIN_MS + number * 1000, 6)))
        cloud.embedded.consumer.drain()
    cloud.embedded.work()

    assert sum("compact-large" in name for name in cloud.embedded.store.names("sightings/")) == 5
    assert len(read) == len(set(read)), "each object is read once"
    assert len(lake_rows(cloud, "sightings")) == 21 and cloud.day()["visitors"]["value"] == 21


def test_a_compaction_that_breaks_off_loses_nothing(tmp_path, monkeypatch):
    """At each of its calls: rows may lie there twice, never not at all."""
    monkeypatch.setattr("cloud.consumer.consumer.COMPACT_FROM", 3)
    made = Cloud(tmp_path / "template")
    for number in range(3):
        made.append(heard(number, stay(number, BEGIN_MS, 6)))
        if number < 2:
            made.embedded.consumer.drain()
    made.close()
    for made, fail_at in each_fault(tmp_path / "template", tmp_path, lambda made: made.embedded.consumer.drain()):
        for table, rows in (("sightings", 3), ("windows", 3)):
            assert len(distinct(lake_rows(made, table))) == rows, fail_at
        assert len({row["message"] for row in lake_rows(made, "messages")}) == 3, fail_at
    assert fail_at > 30


def test_mode_count_leaves_counts_and_a_ledger(tmp_path):
    made = Cloud(tmp_path, mode="count")
    made.take(counted(0, ("inside", 7.0), ("outside", 9.0)))
    rows = lake_rows(made, "zone_counts")
    made.close()

    assert [(row["zone"], row["devices"], row["low"], row["high"]) for row in rows] == [
        ("inside", 7.0, 6.0, 9.0),
        ("outside", 9.0, 8.0, 11.0),
    ]


def test_a_day_stays_marked_until_its_figures_stand(cloud, monkeypatch):
    monkeypatch.setattr("cloud.analyst.analyse_day", lambda *_arguments: (_ for _ in ()).throw(StoreError("away")))
    cloud.append(heard(0, *busy_hour()))
    with pytest.raises(StoreError):
        cloud.embedded.work()
    monkeypatch.undo()

    with cloud.embedded.database.connect() as connection:
        assert connection.execute(select(dirty_days.c.date)).scalars().all() == [DATE]
    assert not cloud.embedded.is_idle()
    cloud.embedded.work()
    assert cloud.embedded.is_idle() and cloud.day()


def test_each_mark_is_another_one_also_within_one_millisecond(cloud):
    """Else a day that got more rows while it was computed would lose its mark, and the rows would never be counted."""
    marks = []
    for number in range(3):
        cloud.append(heard(number, stay(number, BEGIN_MS, 6)))
        cloud.embedded.consumer.drain()
        with cloud.embedded.database.connect() as connection:
            marks += connection.execute(select(dirty_days.c.since_ms)).scalars()

    assert len(set(marks)) == 3 and marks == sorted(marks)


def test_a_former_consumer_that_writes_late_takes_no_row_away(cloud):
    """After a takeover it may still be under way with the first of the records that its successor has stored, and come last."""
    parts = (cloud.embedded.store, cloud.embedded.database, cloud.embedded.fleet, cloud.clock)
    former, successor = (Consumer(cloud.embedded.stream, *parts, is_alone=False) for _ in range(2))
    cloud.append(heard(0, stay(1, BEGIN_MS, 6)))
    under_way = cloud.embedded.stream.read(1)
    cloud.append(heard(1, stay(2, BEGIN_MS, 6)))
    successor.drain()
    former._emit(under_way)
    cloud.embedded.work()

    assert len(distinct(lake_rows(cloud, "sightings"))) == 2
    assert cloud.day()["visitors"]["value"] == 2


def test_an_object_holds_no_more_records_and_bytes_than_it_may_and_one_record_always(cloud):
    parts = (cloud.embedded.store, cloud.embedded.database, cloud.embedded.fleet, cloud.clock)
    contents = [heard(n, stay(n, BEGIN_MS, 5)) for n in range(6)]
    size = len(signed(contents[0]))
    for content in contents:
        cloud.append(content)

    assert Consumer(cloud.embedded.stream, *parts, max_records=4, max_bytes=2 * size + 20).drain() == 6
    assert [len(pq.read_table(cloud.embedded.store.location(n))) for n in cloud.embedded.store.names("messages/")] == [
        2,
        2,
        2,
    ]

    cloud.append(heard(9, stay(9, BEGIN_MS, 5)))
    assert Consumer(cloud.embedded.stream, *parts, max_bytes=1).drain() == 1


def test_a_partition_is_listed_only_when_it_may_be_full(cloud):
    """In S3 a listing costs as much as an object."""

    class Counting:
        listed = 0

        def __getattr__(self, name):
            return getattr(cloud.embedded.store, name)

        def names(self, prefix):
            self.listed += prefix.startswith("ledger/")
            return cloud.embedded.store.names(prefix)

    store = Counting()
    consumer = Consumer(
        cloud.embedded.stream, store, cloud.embedded.database, cloud.embedded.fleet, cloud.clock, max_records=1
    )
    for number in range(COMPACT_FROM):
        cloud.append(heard(number, stay(1, BEGIN_MS, 5)))
        consumer.drain()

    assert store.listed == 2, "the first and the last"
    assert len(cloud.embedded.store.names("ledger/")) == 1
