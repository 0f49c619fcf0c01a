"""The spool: a batch that was taken is there, whole and in order, until the cloud has it, whatever happens to disk and power."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.disks import FailingDisk, PowerCut, failing, fill, make_read_only, small_disk

import agent.spool.directory
from agent.spool import Spool, SpoolEntry, SpoolUnwritable

BOOT = b"bootboot"
PLENTY = 10_000_000
IO_ERROR = OSError(errno.EIO, "Input/output error")


def message(number: int) -> bytes:
    """Told apart, and long enough to be torn."""
    return number.to_bytes(4, "big") * (50 + number % 7)


def filled(folder: Path, count: int, limit_bytes: int = PLENTY) -> Spool:
    spool = Spool(folder, limit_bytes)
    for number in range(count):
        spool.append(BOOT, number, message(number))
    return spool


def waiting(spool: Spool) -> list[int]:
    assert [spool.read(entry) for entry in spool.entries()] == [message(entry.number) for entry in spool.entries()]
    assert spool.pending_bytes == sum(len(spool.read(entry)) for entry in spool.entries())
    return [entry.number for entry in spool.entries()]


# --- as it should go ------------------------------------------------------------------------------------------------


def test_what_was_appended_waits_in_order_over_restarts(tmp_path: Path):
    filled(tmp_path, 3)
    Spool(tmp_path, PLENTY).append(b"another!", 0, message(0))

    entries = Spool(tmp_path, PLENTY).entries()

    assert [(e.boot, e.number) for e in entries] == [(BOOT, 0), (BOOT, 1), (BOOT, 2), (b"another!", 0)]
    assert [e.sequence for e in entries] == [0, 1, 2, 3]


def test_acknowledged_is_removed(tmp_path: Path):
    spool = filled(tmp_path, 3)
    spool.acknowledge(spool.oldest())

    assert waiting(spool) == waiting(Spool(tmp_path, PLENTY)) == [1, 2]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_number_is_not_used_again_while_a_batch_bears_it(tmp_path: Path):
    """Also where the newest was refused and lies aside under it."""
    spool = filled(tmp_path, 2)
    spool.refuse(spool.entries()[1])
    spool.acknowledge(spool.oldest())

    assert Spool(tmp_path, PLENTY).append(BOOT, 9, message(9)).sequence == 2


def test_the_oldest_but_the_very_oldest_make_room_and_are_counted(tmp_path: Path):
    spool = filled(tmp_path, 10, limit_bytes=1000)

    assert waiting(spool) == waiting(Spool(tmp_path, PLENTY)) == [0, 7, 8, 9]
    assert spool.evicted_batches == 6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 700), max_size=25))
def test_the_limit_holds_and_what_is_left_is_the_oldest_and_the_newest(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
):
    spool = Spool(tmp_path_factory.mktemp("spool"), 1000)
    for number, size in enumerate(sizes):
        spool.append(BOOT, number, bytes(size))
        assert spool.pending_bytes <= 1000 or len(spool.entries()) == 2  # the oldest stays, whatever comes

    kept = [entry.number for entry in spool.entries()]
    assert kept[:1] == list(range(len(sizes)))[:1]
    assert kept[1:] == list(range(1, len(sizes)))[len(sizes) - len(kept) :]
    assert spool.evicted_batches == len(sizes) - len(kept)


def test_a_refused_batch_is_set_aside_and_the_newest_hundred_are_kept(tmp_path: Path):
    spool = filled(tmp_path, 105)
    while (entry := spool.oldest()) is not None:
        spool.refuse(entry)

    aside = sorted((tmp_path / "refused").iterdir())
    assert [path.read_bytes() for path in aside] == [message(number) for number in range(5, 105)]
    assert spool.refused_batches == 105
    assert Spool(tmp_path, PLENTY).entries() == []


def test_a_batch_that_was_given_up_while_the_cloud_looked_at_it_is_gone_for_good(tmp_path: Path):
    spool = filled(tmp_path, 2)
    looked_at = spool.oldest()
    spool.give_up([looked_at])

    spool.refuse(looked_at)
    spool.acknowledge(looked_at)

    assert waiting(spool) == [1]
    assert spool.refused_batches == 0


def test_what_is_not_ours_is_left_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "0000000000000001.cose").write_bytes(b"no such name")
    (tmp_path / "old").mkdir()

    assert filled(tmp_path, 1).entries()[0].sequence == 0
    assert (tmp_path / "notes.txt").exists() and (tmp_path / "0000000000000001.cose").exists()


@pytest.mark.parametrize("size", [0, 1, 100])
def test_an_unfinished_file_is_removed_at_the_next_start(tmp_path: Path, size: int):
    """What a power cut leaves: any part of a batch, under the other name."""
    filled(tmp_path, 1)
    (tmp_path / f"{1:016d}-{BOOT.hex()}-{1:010d}.cose.part").write_bytes(message(1)[:size])

    assert waiting(Spool(tmp_path, PLENTY)) == [0]
    assert len(list(tmp_path.iterdir())) == 1


# --- disks that fail ------------------------------------------------------------------------------------------------


def test_a_full_disk_takes_nothing_keeps_the_rest_and_goes_on_when_there_is_room(tmp_path: Path):
    """A real one, of 64 KiB."""
    with small_disk(tmp_path / "disk") as disk:
        spool = Spool(disk / "spool", PLENTY)
        spool.append(BOOT, 0, message(0))
        ballast = fill(disk)

        for _ in range(2):
            with pytest.raises(
                SpoolUnwritable, match=r"written \(No space left on device\); free space or set spool\.directory"
            ):
                spool.append(BOOT, 1, bytes(20_000))
        assert waiting(spool) == waiting(Spool(disk / "spool", PLENTY)) == [0]
        assert len(list((disk / "spool").iterdir())) == 1
        ballast.unlink()
        spool.append(BOOT, 1, message(1))

        assert waiting(spool) == waiting(Spool(disk / "spool", PLENTY)) == [0, 1]


def test_a_read_only_disk_is_said_and_holds_up_nobody(tmp_path: Path):
    with small_disk(tmp_path / "disk") as disk:
        spool = filled(disk / "spool", 3)
        make_read_only(disk)

        with pytest.raises(SpoolUnwritable, match=r"written \(Read-only file system\)"):
            spool.append(BOOT, 3, message(3))
        with pytest.raises(SpoolUnwritable, match="removed"):
            spool.acknowledge(spool.oldest())
        with pytest.raises(SpoolUnwritable, match="moved"):
            spool.refuse(spool.oldest())
        assert waiting(spool) == [2]

        make_read_only(disk, read_only=False)
        assert waiting(Spool(disk / "spool", PLENTY)) == [0, 1, 2]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SpoolUnwritable, match=r"spool .*/file/spool: a batch cannot be opened \(Not a directory\)"):
        Spool(tmp_path / "file" / "spool", PLENTY)


def test_a_batch_that_vanished_is_said(tmp_path: Path):
    spool = filled(tmp_path, 1)
    next(tmp_path.iterdir()).unlink()

    with pytest.raises(SpoolUnwritable, match=r"read \(No such file"):
        spool.read(spool.oldest())


# --- any step may fail ----------------------------------------------------------------------------------------------

steps = st.lists(
    st.sampled_from(["append", "append", "append", "acknowledge", "refuse", "evict"]), min_size=1, max_size=8
)


class Story:
    """Steps taken on a spool, and what a restart must find: ``kept`` for certain, ``maybe`` where the step was under way."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder, PLENTY)
        self.kept: list[int] = []
        self.maybe: set[int] = set()
        self.number = 0

    def take(self, step: str) -> None:
        oldest = self.spool.oldest()
        if step == "append" or oldest is None:
            self.append()
        elif step == "evict":
            self.spool.limit_bytes = self.spool.pending_bytes
            self.maybe.update(self.kept)
            self.append()
            self.settle()
            self.spool.limit_bytes = PLENTY
        else:
            self.let_go(oldest, step)

    def append(self) -> None:
        number, self.number = self.number, self.number + 1
        self.maybe.add(number)
        self.spool.append(BOOT, number, message(number))
        self.settle()

    def let_go(self, entry: SpoolEntry, step: str) -> None:
        self.kept.remove(entry.number)
        self.maybe.add(entry.number)
        getattr(self.spool, step)(entry)
        self.settle()

    def settle(self) -> None:
        """The step has returned: what waits is certain."""
        self.kept = [entry.number for entry in self.spool.entries()]
        self.maybe = set()


def check_after_restart(folder: Path, story: Story) -> None:
    spool = Spool(folder, PLENTY)
    found = waiting(spool)
    assert found == sorted(set(found))
    assert set(story.kept) - story.maybe <= set(found) <= set(story.kept) | story.maybe
    assert not list(folder.glob("*.part"))
    after = spool.append(BOOT, 9999, message(9999))
    assert all(after.sequence > entry.sequence for entry in spool.entries()[:-1])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.integers(0, 60))
def test_killed_at_any_system_call_it_recovers(tmp_path_factory: pytest.TempPathFactory, taken: list[str], calls: int):
    folder = tmp_path_factory.mktemp("spool")
    story = Story(folder)
    disk = FailingDisk(calls, PowerCut(), stays=True)
    with failing(agent.spool.directory, disk):
        try:
            for step in taken:
                story.take(step)
        except PowerCut:
            pass
    check_after_restart(folder, story)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.integers(0, 60), st.booleans())
def test_a_disk_that_fails_at_any_system_call_loses_nothing_that_was_taken(
    tmp_path_factory: pytest.TempPathFactory, taken: list[str], calls: int, stays: bool
):
    """Errors come out as SpoolUnwritable, what waits can still be read, and a restart finds it."""
    folder = tmp_path_factory.mktemp("spool")
    story = Story(folder)
    disk = FailingDisk(calls, IO_ERROR, stays=stays)
    unsure: set[int] = set()
    for step in taken:
        try:
            with failing(agent.spool.directory, disk):
                story.take(step)
        except SpoolUnwritable:
            unsure |= story.maybe
            before = set(story.kept)
            story.settle()
            assert before - unsure <= set(story.kept) <= before
            story.spool.limit_bytes = PLENTY
        assert waiting(story.spool) == story.kept
    story.maybe = unsure - set(story.kept)
    check_after_restart(folder, story)


@pytest.mark.parametrize("calls", range(7))
def test_a_batch_that_was_not_taken_leaves_nothing_behind(tmp_path: Path, calls: int):
    """Whichever call failed once, the directory's own fsync after the rename too."""
    spool = filled(tmp_path, 1)

    with failing(agent.spool.directory, FailingDisk(calls, IO_ERROR, stays=False)), pytest.raises(SpoolUnwritable):
        spool.append(BOOT, 1, message(1))

    assert waiting(Spool(tmp_path, PLENTY)) == [0]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("calls", range(7))
def test_no_two_batches_ever_bear_one_number(tmp_path: Path, calls: int):
    """A disk that takes back nothing may keep what it said it did not take; the next batch must not hide it."""
    spool = filled(tmp_path, 1)
    with failing(agent.spool.directory, FailingDisk(calls, IO_ERROR, stays=True)), pytest.raises(SpoolUnwritable):
        spool.append(BOOT, 1, message(1))
    spool.append(BOOT, 2, message(2))

    names = [path.name[:16] for path in tmp_path.glob("*.cose")]
    assert len(set(names)) == len(names)
    assert {entry.number for entry in Spool(tmp_path, PLENTY).entries()} >= {0, 2}


def test_the_failing_disk_fails_everywhere(tmp_path: Path):
    """So that the two laws above can fail: each call of an append is one of those that are counted."""
    with failing(agent.spool.directory, disk := FailingDisk(10_000, IO_ERROR, stays=False)):
        Spool(tmp_path, PLENTY).append(BOOT, 0, message(0))

    assert 10_000 - disk.left >= 8
    assert os.open.__name__ == "open"
