"""What holds single devices of a day is gone from the spool 24 h after the day closed, and the ledger tells of it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from support.batches import batch, signed

from agent.delivery import SpoolDelivery
from agent.pipeline import SignedBatch
from agent.spool import Spool, TieredSpool
from agent.spool.forgetting import LOOKS, Forgetting, over_at_s
from agent.upload.backoff import Backoff
from agent.wire.model import ClockState, LegalMode

DAY = 20_000
DAY_S = 86_400
OVER_S = (DAY + 2) * DAY_S
"""24 h after the day closed."""
BOOT = b"bootboot"


def message(
    number: int = 0, day: int = DAY, mode: LegalMode = LegalMode.DAY, clock: ClockState = ClockState.SYNCED
) -> bytes:
    epoch = -1 if mode is LegalMode.COUNT else day
    return signed(batch(batch=number, key_epoch=epoch, mode=mode, clock=clock))


@pytest.mark.parametrize(
    ("content", "offset_s", "over"),
    [
        pytest.param(message(), 0, OVER_S, id="day"),
        pytest.param(message(mode=LegalMode.CONSENT), 0, OVER_S, id="consent"),
        pytest.param(message(), -3600, OVER_S - 3600, id="a day that begins an hour before UTC's"),
        pytest.param(message(mode=LegalMode.COUNT), 0, None, id="count names nobody"),
        pytest.param(message(clock=ClockState.REPLAY), 0, None, id="a capture's day is long over"),
        pytest.param(message(clock=ClockState.UNSYNCED), 0, None, id="of an unset clock nobody knows the day"),
        pytest.param(b"damage", 0, None, id="damage"),
        pytest.param(b"", 0, None, id="empty"),
    ],
)
def test_a_batch_says_itself_when_it_must_be_gone(content: bytes, offset_s: int, over: float | None):
    assert over_at_s(content, offset_s) == over


class Clock:
    def __init__(self, s: float | None) -> None:
        self.s = s

    def __call__(self) -> float | None:
        return self.s


def spools(folder: Path, kind: str) -> Spool | TieredSpool:
    flash = Spool(folder / "flash", 100_000)
    return flash if kind == "flash" else TieredSpool(Spool(folder / "ram", 100_000), flash, 7 * DAY_S)


def delivery(spool, clock: Clock, told: list[int] | None = None) -> SpoolDelivery:
    backoff = Backoff(1, 1, Random(1).random)
    told = [] if told is None else told
    return SpoolDelivery(spool, None, backoff, waits_for_room=False, forgetting=Forgetting(clock, 0), told=told.append)


def put(made: SpoolDelivery, number: int, told: int = 0, **changes) -> int:
    content = message(number, **changes)
    return made.put(SignedBatch(BOOT, number, 0, content, told))


@pytest.mark.parametrize("kind", ["flash", "tiered"])
def test_batches_of_yesterday_are_gone_a_day_later_and_counted_once(tmp_path: Path, kind: str):
    clock, told = Clock(OVER_S - 1), []
    made = delivery(spools(tmp_path, kind), clock, told)
    lost = [put(made, number, day=DAY if number < 3 else DAY + 1) for number in range(5)]
    assert (lost, made.left) == ([0] * 5, 5)

    clock.s = OVER_S
    assert put(made, 5, day=DAY + 1) == 3
    assert put(made, 6, told=3, day=DAY + 1) == 0

    assert (made.left, made.untold, made.evicted_batches, told) == (4, 0, 3, [3])
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(message(number) in contents for number in range(3))
    assert all(message(number, DAY + 1) in contents for number in range(3, 7))


def test_what_names_nobody_waits_on(tmp_path: Path):
    clock = Clock(OVER_S)
    made = delivery(spools(tmp_path, "flash"), clock)
    for number, changes in enumerate(
        ({"mode": LegalMode.COUNT}, {"clock": ClockState.REPLAY}, {"clock": ClockState.UNSYNCED})
    ):
        assert put(made, number, **changes) == 0
    clock.s = OVER_S + 30 * DAY_S
    put(made, 3, mode=LegalMode.COUNT)
    assert made.left == 4


def test_an_agent_that_was_off_for_days_forgets_at_its_start(tmp_path: Path):
    spool = spools(tmp_path, "flash")
    spool.append(BOOT, 0, message())

    made = delivery(spools(tmp_path, "flash"), Clock(OVER_S))

    assert (made.left, made.untold) == (0, 1), "the first ledger will tell of it"
    assert all(path.stat().st_size == 0 for path in (tmp_path / "flash").iterdir() if path.is_file())


def test_killed_between_the_name_and_the_content_the_next_start_does_the_rest(tmp_path: Path):
    spool = spools(tmp_path, "flash")
    path = spool.append(BOOT, 0, message()).path
    path.rename(path.with_suffix(".evicted"))

    again = spools(tmp_path, "flash")

    assert again.untold_batches == 1
    assert path.with_suffix(".evicted").stat().st_size == 0


def test_while_the_clock_is_not_set_nothing_is_forgotten(tmp_path: Path):
    clock = Clock(None)
    made = delivery(spools(tmp_path, "flash"), clock)
    put(made, 0)
    put(made, 1)
    assert made.left == 2


def test_the_batch_that_is_with_the_cloud_has_its_turn_later(tmp_path: Path):
    """Else it could be stored, and told as given up."""
    spool = spools(tmp_path, "flash")
    spool.append(BOOT, 0, message())
    spool.held = spool.oldest()
    made = delivery(spool, Clock(OVER_S))
    assert made.left == 1
    spool.held = None
    assert put(made, 1, day=DAY + 5) == 1


def test_what_the_cloud_refused_is_forgotten_too(tmp_path: Path):
    spool = spools(tmp_path, "flash")
    spool.refuse(spool.append(BOOT, 0, message()))
    spool.refuse(spool.append(BOOT, 1, message(1, DAY + 1)))

    told: list[int] = []
    made = delivery(spool, Clock(OVER_S), told)

    assert ([entry.number for entry in spool.set_aside()], told, made.untold) == ([1], [1], 0)


def test_a_long_spool_is_gone_through_in_parts_and_each_batch_is_read_once():
    class Entry:
        def __init__(self, sequence: int) -> None:
            self.sequence = sequence

    entries, read = [Entry(n) for n in range(2 * LOOKS + 10)], []
    forgetting = Forgetting(Clock(OVER_S - 1), 0)
    for _ in range(4):
        assert forgetting.over("spool", entries, lambda entry: read.append(entry.sequence) or message()) == []
    assert read == list(range(2 * LOOKS + 10))
