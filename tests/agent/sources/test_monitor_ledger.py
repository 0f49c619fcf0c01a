"""What a live source says in its ticks reaches the ledger of the batch it belongs to, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from support.days import pipeline
from support.frames import T0_US, heard

from agent.dot11.captured import CapturedFrame, Tick
from agent.ledger import Ledger
from agent.pipeline import SignedBatch
from agent.runner import run
from agent.wire.codec import decode_batch
from agent.wire.cose import open_message
from agent.wire.model import LedgerCounts

START_US = T0_US // 30_000_000 * 30_000_000
SECOND_US = 1_000_000


class ScriptedAir:
    """A live source whose air is written down."""

    def __init__(self, air: list[CapturedFrame | Tick], last: Tick) -> None:
        self.air, self.last = air, last

    @classmethod
    def from_config(cls, section: Any) -> Self:
        raise NotImplementedError

    def __iter__(self) -> Iterator[CapturedFrame | Tick]:
        yield from self.air

    def losses(self) -> dict[str, int]:
        return {}

    def rest(self) -> Iterator[CapturedFrame | Tick]:
        yield self.last

    def state(self) -> dict[str, int | float | str | None]:
        return {}

    def close(self) -> None:
        pass


class KeptBatches:
    """A delivery that keeps what it is given."""

    left = untold = 0
    trouble = ""

    def __init__(self) -> None:
        self.batches: list[SignedBatch] = []

    def put(self, batch: SignedBatch) -> int:
        self.batches.append(batch)
        return 0

    def finish(self, _drain_s: float) -> None:
        pass


def ledgers(
    air: list[CapturedFrame | Tick], *, stop_after: int | None = None, last: Tick | None = None
) -> list[LedgerCounts]:
    """The ledgers of the batches of a run; it is stopped after so many elements of the air."""
    delivery = KeptBatches()
    asked = [0]

    def should_stop() -> bool:
        asked[0] += 1
        return stop_after is not None and asked[0] >= stop_after

    run(
        ScriptedAir(air, last or Tick(air[-1].time_us)),
        pipeline(silence_limit_s=0),
        delivery,  # type: ignore[arg-type]
        should_stop=should_stop,
    )
    return [decode_batch(open_message(batch.message).payload).ledger for batch in delivery.batches]


def tick(second: float, *listened: tuple[int, int], lost: int = 0) -> Tick:
    return Tick(START_US + round(second * SECOND_US), listened, (("kernel_drops", lost),) if lost else ())


def frame(second: float) -> CapturedFrame:
    return CapturedFrame(heard(), START_US + round(second * SECOND_US), 127, 0, False)


def test_listening_and_losses_go_into_the_batch_that_the_tick_closes():
    """The tick at 30 s speaks of the 30 s before it."""
    air = [tick(n, *([(6, 1000)] if n else []), lost=2 if n == 30 else 0) for n in range(61)]

    first, second, _ = ledgers(air)

    assert (first.listening_ms, first.kernel_drops) == ({6: 30_000}, 2)
    assert (second.listening_ms, second.kernel_drops) == ({6: 30_000}, 0)


def test_time_not_listened_is_missing_from_the_ledger():
    """A radio that was deaf for 12 of 30 s listened for 18, whatever frames say."""
    air: list[CapturedFrame | Tick] = [tick(0), frame(0.5)]
    air += [tick(n, *([] if 5 < n <= 17 else [(11, 1000)])) for n in range(1, 31)]

    first, _ = ledgers(air)

    assert first.listening_ms == {11: 18_000}
    assert first.frames == first.probe_requests == 1


def test_a_frame_that_closes_the_batch_before_the_tick_does_not_shorten_the_listening():
    """A frame at 30.1 s comes before the tick that speaks of the last second; no second is lost, none counted twice."""
    air: list[CapturedFrame | Tick] = []
    for n in range(121):
        air += [tick(n + 0.5, (1, 1000)), frame(n + 0.6)]

    kept = ledgers(air)

    assert [ledger.listening_ms for ledger in kept[1:4]] == [{1: 30_000}] * 3


def test_a_stopped_run_takes_the_last_frame_and_the_last_words_of_the_source():
    """Nothing that was drawn from the source is dropped when a signal comes."""
    kept = ledgers([tick(0), frame(1), frame(2), frame(3)], stop_after=2, last=tick(2.5, (6, 900), lost=7))

    assert len(kept) == 1
    assert kept[0].frames == 1
    assert (kept[0].listening_ms, kept[0].kernel_drops) == ({6: 900}, 7)


def test_no_batch_listened_longer_than_it_lasted():
    """What is over stays for the next batch; what was listened first goes first."""
    ledger = Ledger()
    ledger.listen(6, 20_000)
    ledger.listen(1, 30_000)

    first, second = ledger.close(window_ms=30_000), ledger.close(window_ms=30_000)

    assert first.listening_ms == {6: 20_000, 1: 10_000}
    assert second.listening_ms == {1: 20_000}
