"""Before its clock is set an access point holds what it hears, and then puts it where it belongs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hypothesis import given
from hypothesis import strategies as st
from support.frames import T0_US, heard

from agent.clock import WallClock
from agent.dot11.captured import CapturedFrame, Tick
from agent.wire.model import ClockState


class Bench:
    """Two clocks that a test moves. ``step_us`` is what setting the wall clock will change it by."""

    def __init__(self, step_us: int, set_after_s: float) -> None:
        self.mono_us = 5_000_000
        self.step_us = step_us
        self.set_after_us = self.mono_us + int(set_after_s * 1e6)

    def is_set(self) -> bool:
        return self.mono_us >= self.set_after_us

    def wall_us(self) -> int:
        return T0_US + self.mono_us + (self.step_us if self.is_set() else 0)

    def frames(self, times_s: Iterable[float]) -> Iterator[CapturedFrame | Tick]:
        """A frame at each time, stamped by the wall clock as it then was, and a tick each second between."""
        for time_s in sorted([*times_s, *range(int(max(times_s, default=0)) + 2)]):
            self.mono_us = 5_000_000 + int(time_s * 1e6)
            is_tick = time_s == int(time_s)
            yield Tick(self.wall_us()) if is_tick else CapturedFrame(heard(), self.wall_us(), 127, 0, False)

    def clock(self, wait_s: float = 600) -> WallClock:
        return WallClock(self.is_set, self.wall_us, lambda: self.mono_us, wait_s)


def times_of(frames: Iterable[CapturedFrame | Tick], bench: Bench, step_us: int) -> list[float]:
    """When the frames say that they were heard, in seconds of the true clock since the start."""
    return [(f.time_us - T0_US - 5_000_000 - step_us) / 1e6 for f in frames if isinstance(f, CapturedFrame)]


def test_a_clock_that_is_set_changes_nothing():
    bench = Bench(0, 0)
    clock = bench.clock()

    assert times_of(clock.place(bench.frames([0.5, 1.5])), bench, 0) == [0.5, 1.5]
    assert clock.state is ClockState.SYNCED


def test_frames_heard_before_the_clock_was_set_are_moved_by_its_step():
    step_us = 3 * 365 * 86_400_000_000
    bench = Bench(step_us, set_after_s=3)
    clock = bench.clock()

    assert times_of(clock.place(bench.frames([0.5, 1.5, 4.5])), bench, step_us) == [0.5, 1.5, 4.5]
    assert clock.state is ClockState.SYNCED


def test_a_clock_that_is_never_set_is_said_and_nothing_is_thrown_away():
    bench = Bench(0, set_after_s=1e9)
    clock = bench.clock(wait_s=2)

    assert times_of(clock.place(bench.frames([0.5, 1.5, 3.5])), bench, 0) == [0.5, 1.5, 3.5]
    assert clock.state is ClockState.UNSYNCED


def test_a_full_memory_ends_the_wait():
    bench = Bench(0, set_after_s=1e9)
    passed = bench.clock().place(bench.frames([number + 0.5 for number in range(50)]), held_max=10)

    next(passed)
    assert bench.mono_us < 5_000_000 + 10_000_000


def test_a_clock_set_after_the_wait_is_believed_from_then_on():
    bench = Bench(1_000_000_000, set_after_s=4)
    clock = bench.clock(wait_s=2)
    states = [clock.state for _ in clock.place(bench.frames([0.5, 5.5]))]

    assert (states[0], states[-1]) == (ClockState.UNSYNCED, ClockState.SYNCED)


@given(
    st.lists(st.floats(0.01, 30).filter(lambda t: t != int(t)), min_size=1),
    st.integers(-(10**12), 10**15),
    st.floats(0, 40),
)
def test_no_frame_is_lost_or_overtaken(times_s: list[float], step_us: int, set_after_s: float):
    bench = Bench(step_us, set_after_s)
    placed = times_of(bench.clock(wait_s=20).place(bench.frames(times_s)), bench, 0)

    assert len(placed) == len(times_s)
    if set_after_s <= 20:
        assert placed == sorted(placed)
