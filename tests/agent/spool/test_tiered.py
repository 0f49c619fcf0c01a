"""RAM first, flash in an outage: the order holds, nothing is lost, and flash is spared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.spool.directory
from agent.spool import Spool, SpoolUnwritable, TieredSpool

BOOT = b"bootboot"


def tiered(folder: Path, *, ram_limit: int = 10_000, flash_limit: int = 100_000, after_s: float = 3600) -> TieredSpool:
    return TieredSpool(Spool(folder / "ram", ram_limit), Spool(folder / "flash", flash_limit), after_s)


def waiting(spool: TieredSpool) -> list[int]:
    return [entry.number for entry in spool.entries()]


def on_flash(folder: Path) -> int:
    return len(list((folder / "flash").glob("*.cose")))


def test_flash_is_not_written_while_the_cloud_answers(tmp_path: Path):
    spool = tiered(tmp_path)
    for number in range(100):
        spool.acknowledge(spool.append(BOOT, number, b"batch"))

    assert spool.flash_bytes_written == 0
    assert spool.oldest() is None


def test_an_outage_moves_what_waits_to_flash_in_order(tmp_path: Path):
    spool = tiered(tmp_path)
    for number in range(3):
        spool.append(BOOT, number, b"batch")
    spool.cloud_is_away(3600)
    for number in range(3, 5):
        spool.append(BOOT, number, b"batch")

    assert waiting(spool) == [0, 1, 2, 3, 4]
    assert on_flash(tmp_path) == 5
    assert [spool.read(entry) for entry in spool.entries()] == [b"batch"] * 5


def test_flash_is_left_again_only_when_it_is_empty(tmp_path: Path):
    """Else a new batch in RAM would overtake the older ones on flash."""
    spool = tiered(tmp_path)
    spool.cloud_is_away(3600)
    spool.append(BOOT, 0, b"batch")
    spool.cloud_is_away(0)
    spool.append(BOOT, 1, b"batch")
    assert on_flash(tmp_path) == 2

    for _ in range(2):
        spool.acknowledge(spool.oldest())
    spool.append(BOOT, 2, b"batch")

    assert (on_flash(tmp_path), waiting(spool)) == (0, [2])


def test_a_full_ram_disk_does_not_wait_for_the_hour(tmp_path: Path):
    spool = tiered(tmp_path, ram_limit=12)
    for number in range(4):
        spool.append(BOOT, number, b"batch")

    assert waiting(spool) == [0, 1, 2, 3]
    assert spool.evicted_batches == 0
    assert on_flash(tmp_path) >= 3


def test_flash_that_takes_nothing_leaves_batches_in_ram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spool = tiered(tmp_path)
    spool.append(BOOT, 0, b"batch")
    spool.cloud_is_away(3600)
    flash_append = Spool.append

    def append(self: Spool, *what):
        if self.directory.name == "flash":
            raise SpoolUnwritable("read-only file system")
        return flash_append(self, *what)

    monkeypatch.setattr(Spool, "append", append)
    spool.append(BOOT, 1, b"batch")

    assert waiting(spool) == [0, 1]


def test_what_was_told_is_not_told_again_after_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The cut undoes what was done to flash since it was last made durable, and empties RAM."""
    flash, kept = tmp_path / "flash", tmp_path / "kept"

    def keep(directory: Path) -> None:
        if directory == flash:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(flash, kept)

    monkeypatch.setattr(agent.spool.directory, "_sync", keep)
    spool = tiered(tmp_path, flash_limit=3 * 5)
    spool.cloud_is_away(3600)
    for number in range(8):
        spool.append(BOOT, number, b"batch")
    spool.cloud_is_away(0)
    in_the_cloud = {}
    while entry := spool.oldest():
        in_the_cloud[entry.number] = entry.told
        spool.acknowledge(entry)
    entry = spool.append(BOOT, 8, b"batch", spool.untold_batches)
    in_the_cloud[entry.number] = entry.told
    spool.acknowledge(entry)

    for folder in (flash, tmp_path / "ram"):
        shutil.rmtree(folder)
    kept.rename(flash)
    again = tiered(tmp_path, flash_limit=3 * 5)

    in_the_cloud |= {entry.number: entry.told for entry in again.entries()}
    assert sum(in_the_cloud.values()) + again.untold_batches == 9 - len(in_the_cloud) == 5


def test_a_restart_in_an_outage_goes_on_where_it_was(tmp_path: Path):
    spool = tiered(tmp_path)
    spool.cloud_is_away(3600)
    spool.append(BOOT, 0, b"batch")
    again = tiered(tmp_path)
    again.append(BOOT, 1, b"batch")

    assert waiting(again) == [0, 1]
    assert on_flash(tmp_path) == 2


def test_who_only_looks_leaves_an_unfinished_batch_alone(tmp_path: Path):
    """`ivizone-agent spool ls` beside a running agent that is just writing."""
    part = tmp_path / "0000000000000000-626f6f74626f6f74-0000000000.cose.part"
    part.write_bytes(b"half a ba")
    Spool(tmp_path, 1000, is_ours=False)
    assert part.exists()
    Spool(tmp_path, 1000)
    assert not part.exists()


@given(st.lists(st.sampled_from(["append", "append", "ack", "away", "back", "restart"]), max_size=40))
def test_batches_leave_in_the_order_in_which_they_came(tmp_path_factory: pytest.TempPathFactory, steps: list[str]):
    folder = tmp_path_factory.mktemp("spool")
    spool, made, gone = tiered(folder, ram_limit=25), 0, []
    for step in [*steps, *["ack"] * len(steps)]:
        if step == "append":
            spool.append(BOOT, made, b"batch")
            made += 1
        elif step == "ack" and (oldest := spool.oldest()):
            assert spool.read(oldest) == b"batch"
            spool.acknowledge(oldest)
            gone.append(oldest.number)
        elif step == "restart":
            spool = tiered(folder, ram_limit=25)
        elif step in ("away", "back"):
            spool.cloud_is_away(7200 if step == "away" else 0)

    assert gone == list(range(made))
    assert len({entry.sequence for entry in spool.entries()}) == len(spool.entries())
