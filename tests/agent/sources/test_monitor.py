"""The monitor source on real packet sockets: what comes in, what is counted, and that it outlives its interface."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.frames import heard, local, probe, radiotap
from support.veth import ETHERNET, RADIOTAP, FakeMonitor

import agent.sources.monitor as monitor
from agent.config import SourceSection
from agent.dot11.captured import CapturedFrame, Tick
from agent.sources import load_source
from agent.sources.base import LiveSource
from agent.sources.errors import InterfaceMissing, NotAMonitor
from agent.sources.monitor import MonitorSource, command_restorer
from agent.sources.monitor_senses import Stay, channel_of_frame, read_stay

CHECKOUT = Path(__file__).parents[3]
BEACON = radiotap() + probe(first=0x80)
OWN_BEACON = radiotap(rssi=None, mhz=None) + probe(first=0x80)
PATIENCE_S = 20
"""After so long a test says what did not happen."""


@pytest.fixture
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMonitor]:
    """A monitor interface, and looks at it ten times a second."""
    monkeypatch.setattr(monitor, "LOOK_EVERY_US", 100_000)
    made = FakeMonitor(tmp_path / "net")
    yield made
    made.close()


class Ear:
    """Reads a source step by step and keeps what it gave."""

    def __init__(self, air: FakeMonitor, **settings: object) -> None:
        self.air = air
        self.source = MonitorSource(air.name, sysfs=air.sysfs, **settings)  # type: ignore[arg-type]
        self.frames: list[CapturedFrame] = []
        self.ticks: list[Tick] = []
        self._heard = iter(self.source)

    def until(self, is_so: Callable[[], bool], *, sending: bytes = b"") -> None:
        """Read until something is so; ``sending`` is put on the air with each tick."""
        end_s = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end_s, f"did not happen; {self.source.state()}"
            heard = next(self._heard)
            if isinstance(heard, Tick):
                self.ticks.append(heard)
                if sending:
                    self.air.send(sending)
            else:
                self.frames.append(heard)

    def is_(self, condition: str) -> Callable[[], bool]:
        return lambda: self.source.state()["condition"] == condition

    def drops(self) -> int:
        return sum(frames for tick in self.ticks for _, frames in tick.lost)

    def listened_ms(self) -> dict[int, int]:
        total: Counter[int] = Counter()
        for tick in self.ticks:
            total.update(dict(tick.listened_ms))
        return dict(total)


@pytest.fixture
def listen(air: FakeMonitor) -> Iterator[Callable[..., Ear]]:
    """Opens ears on the air and closes them."""
    ears: list[Ear] = []

    def make(**settings: object) -> Ear:
        ears.append(Ear(air, **settings))
        return ears[-1]

    yield make
    for ear in ears:
        ear.source.close()


@pytest.mark.parametrize("uses_ring", [True, False], ids=["ring", "recv"])
def test_probe_requests_come_with_the_kernels_times_and_in_order(
    air: FakeMonitor, listen: Callable[..., Ear], uses_ring: bool
):
    """Beacons between them are neither seen nor missed, nor is what was on the air before."""
    air.send(heard(local(99)))
    before_us = time.time_ns() // 1000
    ear = listen(uses_ring=uses_ring)
    sent = [heard(local(n), sequence=n) for n in range(300)]
    for frame in sent:
        air.send(BEACON, frame)

    ear.until(lambda: len(ear.frames) == 300)

    assert [frame.data for frame in ear.frames] == sent
    times = [frame.time_us for frame in ear.frames]
    assert times == sorted(times)
    assert before_us <= times[0]
    assert times[-1] <= time.time_ns() // 1000
    assert {frame.link_type for frame in ear.frames} == {127}
    assert ear.source.state()["reader"] == ("ring" if uses_ring else "recv")


@pytest.mark.parametrize("uses_ring", [True, False], ids=["ring", "recv"])
def test_every_frame_is_heard_or_counted_as_dropped(air: FakeMonitor, listen: Callable[..., Ear], uses_ring: bool):
    """More frames than there is room for, while nobody reads."""
    ear = listen(uses_ring=uses_ring, ring_bytes=1 << 17)
    sent = 6000
    for n in range(sent):
        air.send(heard(local(n)))

    ear.until(lambda: len(ear.frames) + ear.drops() >= sent)

    assert len(ear.frames) + ear.drops() == sent
    assert ear.drops() > 0
    assert ear.source.losses() == {"kernel_drops": ear.drops()}


def test_ticks_are_never_ahead_of_frames_that_still_wait(air: FakeMonitor, listen: Callable[..., Ear]):
    """Otherwise those frames would be booked at the tick's time."""
    ear = listen()
    order: list[int] = []
    end_s = time.monotonic() + 1.5
    for number, something in enumerate(ear.source):
        order.append(something.time_us)
        if isinstance(something, Tick):
            air.send(*(heard(local(number)) for _ in range(5)))
            if time.monotonic() > end_s:
                break

    assert order == sorted(order)
    assert len(order) > 20


def test_listening_time_is_told_by_the_channel_of_what_is_heard(air: FakeMonitor, listen: Callable[..., Ear]):
    """No probe request is needed for it: a beacon that the filter keeps from us tells the channel and proves that we listen."""
    ear = listen()

    ear.until(lambda: ear.listened_ms().get(11, 0) >= 500, sending=radiotap(mhz=2462) + probe(first=0x80))

    assert ear.frames == []
    assert ear.source.state()["channel"] == 11


def test_own_beacons_prove_listening_without_a_channel(air: FakeMonitor, listen: Callable[..., Ear]):
    ear = listen()

    ear.until(lambda: ear.listened_ms().get(0, 0) >= 300, sending=OWN_BEACON)

    assert ear.source.state()["channel"] is None


def test_a_channel_plan_knows_better_than_frames(air: FakeMonitor, listen: Callable[..., Ear]):
    """Frames of neighbour channels are heard as well and name their own."""
    ear = listen(planned=lambda: Stay(6, 0))

    ear.until(lambda: ear.listened_ms().get(6, 0) >= 300, sending=radiotap(mhz=2432) + probe(first=0x80))

    assert set(ear.listened_ms()) == {6}


FAULTS: dict[str, tuple[Callable[[FakeMonitor], None], Callable[[FakeMonitor], None]]] = {
    "down": (lambda air: air.set_up(False), lambda air: air.set_up(True)),
    "gone": (lambda air: air.remove(), lambda air: air.add()),
    "not_monitor": (lambda air: air.set_type(ETHERNET), lambda air: air.set_type(RADIOTAP)),
}


@pytest.mark.parametrize("uses_ring", [True, False], ids=["ring", "recv"])
@pytest.mark.parametrize("fault", FAULTS)
def test_capture_outlives_a_fault_and_the_gap_is_not_listened(
    air: FakeMonitor, listen: Callable[..., Ear], fault: str, uses_ring: bool
):
    ear = listen(uses_ring=uses_ring)
    ear.until(lambda: ear.listened_ms().get(6, 0) >= 300, sending=heard())
    begin, end = FAULTS[fault]

    begin(air)
    ear.until(ear.is_(fault))
    listened_ms = sum(ear.listened_ms().values())
    ticks = len(ear.ticks)
    ear.until(lambda: len(ear.ticks) == ticks + 5)
    assert sum(ear.listened_ms().values()) == listened_ms
    end(air)
    frames = len(ear.frames)
    ear.until(lambda: len(ear.frames) > frames + 2, sending=heard(local(2)))
    ear.until(ear.is_("listening"), sending=heard(local(2)))

    state = ear.source.state()
    assert state["gaps"] == 2  # the one before the first frame, and this one


def test_silence_is_no_error_and_opens_the_capture_anew(air: FakeMonitor, listen: Callable[..., Ear]):
    """As where hostapd stops: everything is as it was, and no frame comes."""
    ear = listen(silence_s=0.5)
    ear.until(lambda: ear.listened_ms().get(6, 0) >= 300, sending=heard())

    ear.until(ear.is_("silent"))
    ear.until(lambda: ear.source.state()["reopened"] == 1)
    ear.until(ear.is_("listening"), sending=heard())


def test_whoever_can_make_the_interface_again_is_asked(air: FakeMonitor, listen: Callable[..., Ear]):
    def restore(condition: str) -> None:
        asked.append(condition)
        air.add()

    asked: list[str] = []
    ear = listen(restore=restore)
    ear.source._watch._ask.first_us = 100_000
    air.remove()

    ear.until(lambda: bool(asked))
    ear.until(ear.is_("listening"), sending=heard())

    assert asked == ["gone"]
    assert ear.source.state()["restores_asked"] == 1


def test_the_last_tick_says_what_was_not_told_yet(air: FakeMonitor, listen: Callable[..., Ear]):
    """Whoever stops the source asks for it, and no drop is told twice."""
    ear = listen(ring_bytes=1 << 17)
    ear.until(lambda: len(ear.ticks) == 1)
    for n in range(4000):
        air.send(heard(local(n)))

    *frames, first = ear.source.rest()
    *none, second = ear.source.rest()

    assert isinstance(first, Tick)
    assert dict(first.lost)["kernel_drops"] == 4000 - len(frames) > 0
    assert (none, second.lost) == ([], ())  # type: ignore[union-attr]


@pytest.mark.parametrize("uses_ring", [True, False], ids=["ring", "recv"])
def test_what_was_heard_before_a_stop_is_handed_over(air: FakeMonitor, listen: Callable[..., Ear], uses_ring: bool):
    """What is left of a block of which some frames were yielded, and a block that the kernel still fills; what comes later is not heard."""
    ear = listen(uses_ring=uses_ring)
    ear.until(lambda: len(ear.ticks) == 1)
    air.send(*(heard(local(n)) for n in range(5)))
    ear.until(lambda: len(ear.frames) == 2)
    air.send(*(heard(local(n)) for n in range(5, 8)))
    rest = ear.source.rest()
    ear.frames.append(next(rest))  # type: ignore[arg-type]

    *frames, last = rest
    air.send(heard())

    assert isinstance(last, Tick)
    assert [frame.data for frame in (*ear.frames, *frames)] == [heard(local(n)) for n in range(8)]  # type: ignore[union-attr]
    assert not last.lost
    assert len(list(ear.source.rest())) == 1


def test_a_closed_source_ends(air: FakeMonitor, listen: Callable[..., Ear]):
    ear = listen()
    ear.until(lambda: len(ear.ticks) == 1)

    ear.source.close()
    ear.source.close()

    assert list(ear._heard) == []


def test_a_source_is_made_from_the_configuration_and_is_a_live_one(air: FakeMonitor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(monitor, "SYSFS", air.sysfs)

    source = load_source("monitor").from_config(SourceSection(interface=air.name, ring_kib=128))

    assert isinstance(source, LiveSource)
    source.close()


# --- what the owner did wrong -------------------------------------------------------------------------------------


def fake_sysfs(tmp_path: Path, name: str, link_type: int) -> Path:
    """What the system says of an interface that need not exist."""
    place = tmp_path / name
    (place / "statistics").mkdir(parents=True)
    for file, value in {"ifindex": 1, "type": link_type, "flags": "0x1003", "statistics/rx_packets": 0}.items():
        (place / file).write_text(f"{value}\n")
    return tmp_path


def test_a_missing_interface_is_named_with_those_there_are_and_how_to_make_it():
    with pytest.raises(
        InterfaceMissing, match=r"'mon77', which does not exist; there are .*lo.*iw dev .* type monitor"
    ):
        MonitorSource("mon77")


def test_an_interface_in_another_mode_is_refused_with_the_command_that_helps(tmp_path: Path):
    with pytest.raises(
        NotAMonitor, match=r"'wlan0', which is not in monitor mode \(link type 1, not 803\).*iw dev wlan0"
    ):
        MonitorSource("wlan0", sysfs=fake_sysfs(tmp_path, "wlan0", ETHERNET))


def test_without_the_right_to_capture_one_sentence_says_which_right():
    """As a user without capabilities, on an interface that exists."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from agent.sources.monitor import MonitorSource\n"
        "from agent.sources.errors import SourceError\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "try: MonitorSource('lo', sysfs=Path(sys.argv[1]))\n"
        "except SourceError as error: print(type(error).__name__, error)\n"
    )
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        sysfs = fake_sysfs(Path(open_to_all), "lo", RADIOTAP)
        done = subprocess.run(
            [sys.executable, "-c", code, str(sysfs)],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.stdout.startswith("NotPermitted the source 'monitor' needs the capability CAP_NET_RAW"), done.stderr
    assert done.stdout.count("\n") == 1


# --- small things -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "channel"),
    [
        (radiotap(mhz=2412) + probe(), 1),
        (radiotap(mhz=5180) + probe(), 36),
        (radiotap(mhz=1) + probe(), None),
        (radiotap(mhz=None) + probe(), None),
        (b"\0\0", None),
        (b"\1" * 40, None),
    ],
)
def test_the_channel_of_a_frame_is_the_one_its_header_names(data: bytes, channel: int | None):
    assert channel_of_frame(data) == channel


@pytest.mark.parametrize(
    ("report", "stay"),
    [
        ('{"interface": "mon0", "channel": 6, "since_s": 81.25, "is_hopping": true}', Stay(6, 81_250_000)),
        ('{"interface": "mon1", "channel": 6, "since_s": 81.25}', None),
        ('{"interface": "mon0", "channel": null, "since_s": 81.25}', None),
        ('{"interface": "mon0"}', None),
        ("[]", None),
        ("{", None),
        ("", None),
        ("\xff", None),
    ],
)
def test_a_report_of_a_channel_plan_is_believed_only_if_it_is_whole_and_ours(
    tmp_path: Path, report: str, stay: Stay | None
):
    (tmp_path / "channel.json").write_text(report, encoding="latin-1")

    assert read_stay(tmp_path / "channel.json", "mon0") == stay


def test_no_report_is_no_stay(tmp_path: Path):
    assert read_stay(tmp_path / "channel.json", "mon0") is None


def test_a_restore_command_is_told_the_condition(tmp_path: Path):
    command_restorer(f"cp /dev/null '{tmp_path}/x'")  # made, not run
    script = tmp_path / "restore"
    script.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/said"\n')
    script.chmod(0o755)

    command_restorer(f"{script} again")("gone")

    assert (tmp_path / "said").read_text() == "again gone\n"


def test_a_restore_command_that_cannot_run_harms_nobody(tmp_path: Path):
    command_restorer(str(tmp_path / "not there"))("gone")
