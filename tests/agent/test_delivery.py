"""Batches reach the cloud in order, once it is there; until then they wait, and what had to be given up is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from support.days import pipeline
from support.disks import fill, make_read_only, small_disk
from support.frames import T0_US
from support.stand_in_cloud import Answer, StandInCloud, stand_in_cloud

from agent.delivery import MEMORY_BATCHES, DryDelivery, SpoolDelivery
from agent.dot11.captured import Tick
from agent.pipeline import SignedBatch
from agent.runner import run
from agent.spool import Spool
from agent.upload.backoff import Backoff
from agent.upload.https import Connection
from agent.upload.uploader import Uploader
from agent.wire.codec import decode_batch
from agent.wire.cose import open_message

PATIENCE_S = 20.0


def batch(number: int, size: int = 8) -> SignedBatch:
    return SignedBatch(b"bootboot", number, 1, number.to_bytes(4, "big") * (size // 4))


def numbers(bodies: list[bytes]) -> list[int]:
    return [int.from_bytes(body[:4], "big") for body in bodies]


def once_each(sent: list[int]) -> list[int]:
    """Without the repetitions of a batch that was deferred."""
    return [n for place, n in enumerate(sent) if place == 0 or sent[place - 1] != n]


def until(is_so: Callable[[], bool]) -> None:
    """Wait for the worker."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "the worker did not come to it"
        time.sleep(0.005)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 10_000_000)


def delivery_to(
    cloud: StandInCloud | str, spool: Spool, *, last_s: float = 0.02, waits_for_room: bool = False
) -> SpoolDelivery:
    url = cloud if isinstance(cloud, str) else cloud.url
    backoff = Backoff(0.01, last_s, Random(1).random)
    return SpoolDelivery(spool, Uploader(Connection(url, timeout_s=2)), backoff, waits_for_room=waits_for_room)


@pytest.fixture(autouse=True)
def the_worker_must_not_die(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An exception in a thread is printed and forgotten; here it fails the test."""
    died: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda what: died.append(what.exc_value))
    yield
    assert died == []


# --- the cloud ------------------------------------------------------------------------------------------------------


def test_batches_are_sent_in_order_and_forgotten(spool: Spool):
    with stand_in_cloud() as cloud:
        delivery = delivery_to(cloud, spool)
        assert [delivery.put(batch(n)) for n in range(20)] == [0] * 20
        delivery.finish(PATIENCE_S)

    assert numbers(cloud.bodies) == list(range(20))
    assert (delivery.left, delivery.trouble) == (0, "")
    assert list(spool.directory.iterdir()) == []


def test_while_the_cloud_is_away_batches_wait_and_then_go_in_order(spool: Spool):
    with stand_in_cloud(
        *[Answer(503)] * 5, Answer(raw=b""), Answer(429, headers={"Retry-After": "0"}), Answer(202)
    ) as cloud:
        delivery = delivery_to(cloud, spool)
        for n in range(8):
            delivery.put(batch(n))
        delivery.finish(PATIENCE_S)

    assert once_each(numbers(cloud.bodies)) == list(range(8))
    assert len(cloud.bodies) == 15
    assert delivery.left == 0


def test_what_could_not_be_sent_is_sent_by_the_next_run(spool: Spool):
    delivery = delivery_to("http://127.0.0.1:9", spool)
    for n in range(3):
        delivery.put(batch(n))
    delivery.finish(0.05)
    assert delivery.left == 3
    assert "did not answer" in delivery.trouble

    with stand_in_cloud() as cloud:
        following = delivery_to(cloud, Spool(spool.directory, 10_000_000))
        following.put(batch(3))
        following.finish(PATIENCE_S)
    assert numbers(cloud.bodies) == [0, 1, 2, 3]


def test_a_refused_batch_is_set_aside_and_the_others_go_on(spool: Spool, capsys: pytest.CaptureFixture[str]):
    with stand_in_cloud(Answer(202), Answer(400, b"malformed"), Answer(413), Answer(202)) as cloud:
        delivery = delivery_to(cloud, spool)
        for n in range(5):
            delivery.put(batch(n))
        delivery.finish(PATIENCE_S)

    assert numbers(cloud.bodies) == [0, 1, 2, 3, 4]
    aside = sorted((spool.directory / "refused").iterdir())
    assert [path.read_bytes() for path in aside] == [batch(1).message, batch(2).message]
    assert delivery.left == 0
    assert capsys.readouterr().err.count("upload_refused") == 2


@pytest.mark.parametrize("status", [401, 403])
def test_locked_out_keeps_everything_asks_once_and_does_not_wait_at_the_end(spool: Spool, status: int):
    with stand_in_cloud(Answer(status, b"who are you")) as cloud:
        delivery = delivery_to(cloud, spool)
        for n in range(3):
            delivery.put(batch(n))
        started = time.monotonic()
        delivery.finish(PATIENCE_S)

    assert time.monotonic() - started < PATIENCE_S / 2
    assert numbers(cloud.bodies) == [0]
    assert delivery.left == len(list(spool.directory.glob("*.cose"))) == 3
    assert f"status {status}: who are you" in delivery.trouble


@pytest.mark.parametrize(
    "answer", [Answer(503, headers={"Retry-After": "600"}), Answer(202, delay_s=1.9)], ids=["away", "slow"]
)
def test_the_end_comes_in_time_whatever_the_cloud_does(spool: Spool, answer: Answer):
    with stand_in_cloud(answer) as cloud:
        delivery = delivery_to(cloud, spool)
        for n in range(5):
            delivery.put(batch(n))
        started = time.monotonic()
        delivery.finish(0.3)
        took_s = time.monotonic() - started

    assert took_s < 1.9
    assert delivery.left >= 4


def test_without_an_uploader_batches_wait_in_the_spool(spool: Spool):
    delivery = SpoolDelivery(spool, None, Backoff(1, 1, Random(1).random), waits_for_room=False)
    delivery.put(batch(0))
    delivery.finish(0.01)

    assert (delivery.left, delivery.trouble) == (1, "")


def test_a_dry_delivery_keeps_nothing():
    delivery = DryDelivery()
    assert delivery.put(batch(0)) == 0
    delivery.finish(0)

    assert (delivery.left, delivery.trouble) == (0, "")


def test_a_fault_of_our_own_is_said_and_sending_goes_on(spool: Spool, capsys: pytest.CaptureFixture[str]):
    class Faulty(Uploader):
        faults = 2

        def send(self, message: bytes):
            if self.faults:
                self.faults -= 1
                raise RuntimeError("a bug")
            return super().send(message)

    with stand_in_cloud() as cloud:
        backoff = Backoff(0.01, 0.02, Random(1).random)
        delivery = SpoolDelivery(spool, Faulty(Connection(cloud.url)), backoff, waits_for_room=False)
        delivery.put(batch(0))
        delivery.finish(PATIENCE_S)

    assert numbers(cloud.bodies) == [0]
    err = capsys.readouterr().err
    assert err.count("upload_failed") == 2 and "RuntimeError" in err and "a bug" not in err


# --- the disk -------------------------------------------------------------------------------------------------------


def test_a_full_disk_holds_batches_in_memory_and_they_go_to_it_when_there_is_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with small_disk(tmp_path / "disk") as disk:
        spool = Spool(disk / "spool", 10_000_000)
        delivery = delivery_to("http://127.0.0.1:9", spool)
        ballast = fill(disk)
        for n in range(5):
            assert delivery.put(batch(n)) == 0
        assert (len(spool.entries()), delivery.left) == (0, 5)
        assert "No space left on device" in delivery.trouble
        ballast.unlink()
        delivery.put(batch(5))
        delivery.finish(0.01)

        assert [entry.number for entry in Spool(disk / "spool", 10_000_000).entries()] == [0, 1, 2, 3, 4, 5]
    err = capsys.readouterr().err
    assert err.count("spool_unwritable") == err.count("spool_recovered") == 1


def test_batches_in_memory_reach_the_cloud_without_a_disk(tmp_path: Path):
    with small_disk(tmp_path / "disk") as disk, stand_in_cloud() as cloud:
        spool = Spool(disk / "spool", 10_000_000)
        make_read_only(disk)
        delivery = delivery_to(cloud, spool)
        for n in range(10):
            delivery.put(batch(n))
        delivery.finish(PATIENCE_S)
        make_read_only(disk, read_only=False)

    assert numbers(cloud.bodies) == list(range(10))
    assert delivery.left == 0


def test_memory_is_bounded_and_what_was_given_up_is_told(tmp_path: Path):
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        spool = Spool(disk / "spool", 10_000_000)
        make_read_only(disk)
        delivery = delivery_to("http://127.0.0.1:9", spool)
        given_up = [delivery.put(batch(n)) for n in range(MEMORY_BATCHES + 3)]
        make_read_only(disk, read_only=False)
        given_up.append(delivery.put(batch(MEMORY_BATCHES + 3)))
        delivery.finish(0.01)

        assert given_up == [0] * MEMORY_BATCHES + [1, 1, 1, 0]
        assert delivery.evicted_batches == 3
        assert [entry.number for entry in spool.entries()] == [0, *range(4, MEMORY_BATCHES + 4)]


def test_a_disk_that_keeps_what_was_sent_does_not_stop_the_sending(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Acknowledged and refused batches can neither be removed nor set aside; the next start sends them again, and the cloud has them."""
    with small_disk(tmp_path / "disk") as disk, stand_in_cloud(Answer(202), Answer(400), Answer(202)) as cloud:
        first = Spool(disk / "spool", 10_000_000)
        for n in range(4):
            first.append(b"bootboot", n, batch(n).message)
        make_read_only(disk)
        delivery = delivery_to(cloud, first)
        delivery.finish(PATIENCE_S)

        assert numbers(cloud.bodies) == [0, 1, 2, 3]
        assert "spool_unwritable" in capsys.readouterr().err
        make_read_only(disk, read_only=False)
        assert len(Spool(disk / "spool", 10_000_000).entries()) == 4


def test_a_batch_that_the_disk_does_not_give_back_holds_up_nobody(spool: Spool, capsys: pytest.CaptureFixture[str]):
    for n in range(3):
        spool.append(b"bootboot", n, batch(n).message)
    spool.entries()[0].path.unlink()
    with stand_in_cloud() as cloud:
        delivery = delivery_to(cloud, spool)
        delivery.finish(PATIENCE_S)

    assert numbers(cloud.bodies) == [1, 2]
    assert "spool_unreadable" in capsys.readouterr().err


# --- room -----------------------------------------------------------------------------------------------------------


def test_a_radio_evicts_the_oldest_and_the_next_ledger_says_so(tmp_path: Path):
    """Through the runner: evictions of batch n are in the ledger of a batch behind it, and all are told but the last ones'."""

    class Ticks:
        troubles = ()

        def __iter__(self):
            return iter([Tick(T0_US + n * 1_000_000) for n in range(40 * 30)])

        def losses(self):
            return {}

        def close(self):
            pass

    spool = Spool(tmp_path / "spool", 1500)
    delivery = delivery_to("http://127.0.0.1:9", spool)
    outcome = run(Ticks(), pipeline(batch_max_age_s=30), delivery, drain_s=0.01)

    kept = [decode_batch(open_message(spool.read(entry)).payload) for entry in spool.entries()]
    assert spool.evicted_batches > 20
    assert kept[-1].header.batch == outcome.totals.batches - 1
    told = sum(b.ledger.evicted_batches for b in kept)  # with a batch goes what it told of others: it is told again
    assert told + spool.untold_batches == spool.evicted_batches


def test_a_replay_waits_for_room_rather_than_to_evict(tmp_path: Path):
    spool = Spool(tmp_path / "spool", 1000)
    with stand_in_cloud(Answer(503), Answer(202, delay_s=0.01)) as cloud:
        delivery = delivery_to(cloud, spool, waits_for_room=True)
        given_up = sum(delivery.put(batch(n, size=400)) for n in range(12))
        delivery.finish(PATIENCE_S)

    assert given_up == 0
    assert once_each(numbers(cloud.bodies)) == list(range(12))


def test_the_end_does_not_wait_for_a_cloud_that_will_not_be_asked_in_time(tmp_path: Path):
    """It asked for an hour of patience; a supervisor kills after five seconds."""
    spool = Spool(tmp_path / "spool", 10_000)
    with stand_in_cloud(Answer(503, headers={"Retry-After": "3600"})) as cloud:
        delivery = delivery_to(cloud, spool)
        delivery.put(batch(0))
        until(lambda: delivery.uploads.deferred == 1)
        ending = threading.Thread(target=delivery.finish, args=(3000.0,), daemon=True)
        ending.start()
        ending.join(PATIENCE_S)

    assert not ending.is_alive()
    assert delivery.left == 1


def test_a_replay_that_shall_end_does_not_wait_for_room(tmp_path: Path):
    """The cloud asks for ten minutes of patience; who stops the agent does not wait for them."""
    spool = Spool(tmp_path / "spool", 1000)
    stop: list[bool] = []
    with stand_in_cloud(Answer(503, headers={"Retry-After": "600"})) as cloud:
        delivery = delivery_to(cloud, spool, waits_for_room=True)
        delivery.is_hurried = lambda: bool(stop)
        for n in range(2):
            delivery.put(batch(n, size=400))
        threading.Timer(0.1, stop.append, [True]).start()
        given_up = delivery.put(batch(2, size=400))
        delivery.finish(0.01)

    assert (stop, given_up) == ([True], 1)


@pytest.mark.parametrize("answer", [Answer(503), Answer(401)], ids=["away", "locked out"])
def test_a_replay_does_not_wait_for_ever(tmp_path: Path, answer: Answer):
    spool = Spool(tmp_path / "spool", 1000)
    with stand_in_cloud(answer) as cloud:
        delivery = delivery_to(cloud, spool, waits_for_room=True)
        given_up = sum(delivery.put(batch(n, size=400)) for n in range(4))
        delivery.finish(0.05)

    assert given_up == delivery.evicted_batches == 2
    kept = [entry.number for entry in spool.entries()]
    assert len(kept) == 2 and kept[-1] == 3  # beside the youngest the one before it, or the one that is just being sent
