"""What makes room is told of in a later ledger, once, also when the process dies in between or the teller itself makes room."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.disks import FailingDisk, PowerCut, failing

import agent.spool.directory
from agent.spool import Spool

BOOT = b"bootboot"
ROOM = 3
SIZE = 100
MADE = 9


def told_by(spool: Spool) -> int:
    """What the batches that wait tell of, and the notes."""
    return sum(entry.told for entry in spool.entries()) + spool.untold_batches


def fill(spool: Spool, first: int, count: int, started: list[int] | None = None) -> None:
    """As the runner does: each batch tells of what was given up before it."""
    told = spool.untold_batches
    for number in range(first, first + count):
        if started is not None:
            started.append(number)
        before = spool.lost_batches
        spool.append(BOOT, number, bytes(SIZE), told)
        told = spool.lost_batches - before


def test_with_a_batch_goes_what_it_told_of_and_is_told_again(tmp_path: Path):
    spool = Spool(tmp_path, ROOM * SIZE)
    fill(spool, 0, 50)

    assert spool.evicted_batches == 50 - ROOM == told_by(spool)


def test_what_nobody_told_is_told_after_a_restart(tmp_path: Path):
    fill(Spool(tmp_path, ROOM * SIZE), 0, 10)
    again = Spool(tmp_path, ROOM * SIZE)
    assert again.untold_batches > 0

    fill(again, 10, 5)

    assert told_by(again) == 15 - ROOM
    assert told_by(Spool(tmp_path, ROOM * SIZE)) == 15 - ROOM


@pytest.mark.parametrize("calls", range(90))
def test_dying_at_any_call_of_the_disk_tells_of_each_once(tmp_path: Path, calls: int):
    """Killed at the n-th call; the batch on its way may be there or not."""
    disk = FailingDisk(calls, PowerCut(), stays=True)
    started: list[int] = []
    spool = Spool(tmp_path, ROOM * SIZE)
    try:
        with failing(agent.spool.directory, disk):
            fill(spool, 0, MADE, started)
    except PowerCut:
        pass
    again = Spool(tmp_path, ROOM * SIZE)
    there = {entry.number for entry in again.entries()}

    lost = {number for number in started if number not in there}
    on_its_way = {started[-1]} - there
    assert told_by(again) == len(lost - on_its_way)
    assert not list(tmp_path.glob("*.part"))


def test_who_only_looks_leaves_the_notes_alone(tmp_path: Path):
    spool = Spool(tmp_path, ROOM * SIZE)
    fill(spool, 0, 10)
    before = sorted(path.name for path in tmp_path.iterdir())

    assert Spool(tmp_path, ROOM * SIZE, is_ours=False).untold_batches == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_oldest_makes_no_room(tmp_path: Path):
    """It is with the cloud, or was and got no answer: it would be stored there and told as given up."""
    spool = Spool(tmp_path, ROOM * SIZE)
    fill(spool, 0, ROOM + 2)

    assert [entry.number for entry in spool.entries()] == [0, ROOM, ROOM + 1]
    assert told_by(spool) == spool.evicted_batches == 2


def test_a_batch_that_went_from_memory_to_the_cloud_has_told(tmp_path: Path):
    spool = Spool(tmp_path, ROOM * SIZE)
    fill(spool, 0, ROOM + 1)
    assert spool.untold_batches == 1

    spool.tell(1)

    assert spool.untold_batches == Spool(tmp_path, ROOM * SIZE).untold_batches == 0
