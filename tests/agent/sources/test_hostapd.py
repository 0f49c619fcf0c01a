"""The source 'hostapd' against a stand-in ubusd on a real socket: heard, counted, and found again after every loss."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.agent_state import enrolled
from support.batches import KEY
from support.days import pipeline, pseudonymiser_for
from support.frames import LOCAL, local
from support.shared_data import shared_data
from support.ubusd import Access, Bus, Ubusd

from agent.cli import main
from agent.config import SourceSection
from agent.dot11.captured import Event, Heard, Presence, Tick
from agent.dot11.probe_request import Skipped
from agent.pipeline import Pipeline
from agent.sources import load_source
from agent.sources.base import LiveSource
from agent.sources.errors import UbusDenied, UbusMissing
from agent.sources.hostapd import HostapdSource, known_crashing
from agent.wire.codec import decode_batch
from agent.wire.cose import open_message, sign_message
from agent.wire.model import AddressKind

PATIENCE_S = 15.0


def bus(*interfaces: str, **access: Any) -> Bus:
    """A bus with hostapd serving some networks."""
    made = Bus(Access(**access))
    for interface in interfaces:
        made.add_hostapd(interface)
    return made


def fields(address: bytes = LOCAL, **changes: Any) -> dict[str, Any]:
    """The table of a probe event."""
    return {"address": address.hex(":"), "ifname": "wlan0", "signal": -60, "freq": 2437} | changes


class Air:
    """A source that is being read: its items gather here, as a pipeline would get them."""

    def __init__(self, source: HostapdSource) -> None:
        self.source = source
        self.items: list[Heard] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for item in self.source:
            self.items.append(item)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that comes by itself."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"waited in vain for {what}: {self.source.state()}, {self.outcomes()}"
            time.sleep(0.01)

    def outcomes(self) -> Counter[str]:
        """How many of each kind came."""
        words = (
            "presence"
            if isinstance(item, Presence)
            else item.request.reason
            if isinstance(item, Event) and isinstance(item.request, Skipped)
            else type(item).__name__.lower()
            for item in list(self.items)
        )
        return Counter(words)

    def events(self) -> int:
        """Events of any outcome."""
        return sum(isinstance(item, Event) for item in list(self.items))

    def close(self) -> None:
        self.source.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "ubus.sock")
    yield made
    made.close()


class House:
    """A ubusd, and a source that listens to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ubusd: Ubusd | None = None
        self.air: Air | None = None

    def open(self, made: Bus, **options: Any) -> tuple[Ubusd, Air]:
        self.ubusd = Ubusd(self.path, made)
        self.air = Air(HostapdSource(str(self.path), **options))
        return self.ubusd, self.air

    def close(self) -> None:
        if self.air:
            self.air.close()
        if self.ubusd:
            self.ubusd.stop()


def subscribed(air: Air, networks: int = 1) -> Callable[[], bool]:
    """All networks are subscribed to."""
    return lambda: air.source.state()["networks_subscribed"] == networks


def test_the_source_is_a_live_source_of_the_table(house: House):
    house.ubusd = Ubusd(house.path, bus("wlan0"))

    source = load_source("hostapd").from_config(SourceSection(name="hostapd", ubus_socket=str(house.path)))

    assert isinstance(source, LiveSource)
    assert source.state()["networks_subscribed"] == 1, (
        "what there was at the start is subscribed to before the first item"
    )
    source.close()
    source.close()


def test_probe_requests_of_two_networks_reach_the_ledger_once_each(house: House):
    ubusd, air = house.open(bus("wlan0", "wlan0_1"))
    for number in range(20):
        for interface in ("wlan0", "wlan0_1"):
            ubusd.act("notify", interface, "probe", fields(local(number), ifname=interface))
    ubusd.act("notify", "wlan0", "auth", fields())
    ubusd.act("notify", "wlan0", "probe", {"signal": -60})
    air.until(lambda: air.events() == 42, "42 events")

    assert air.outcomes() - Counter(tick=1000) == Counter(
        event=20, duplicate_event=20, not_probe_request=1, malformed_event=1
    )


def test_what_hostapd_does_not_know_is_null_on_the_wire_and_joined_devices_say_so(house: House):
    """A joined device has a dwell although it sends no probe request; it is a sighting of its own kind, and no frame of the ledger."""
    made = bus("wlan0")
    made.hostapd("wlan0").clients = {local(7).hex(":"): {"assoc": True, "authorized": True, "signal": -48}}
    ubusd, air = house.open(made)
    ubusd.act("notify", "wlan0", "probe", {"address": local(1).hex(":"), "freq": 2437})
    air.until(
        lambda: air.outcomes()["event"] == 1 and air.outcomes()["presence"] >= 1, "a probe request and a presence"
    )
    air.close()

    settings = replace(pipeline().settings, source="hostapd", silence_limit_s=0)
    line = Pipeline(settings, lambda payload: sign_message(payload, "ap-test", KEY.sign), pseudonymiser_for)
    batches = [decode_batch(open_message(signed.message).payload) for signed in line.run(list(air.items))]

    sightings = {s.address_kind: s for batch in batches for s in batch.sightings}
    probing, joined = sightings[AddressKind.RANDOMISED], sightings[AddressKind.ASSOCIATED]
    assert (probing.rssi_median_dbm, probing.p_inside, probing.channel, probing.source) == (None, None, 6, "hostapd")
    assert (joined.rssi_median_dbm, joined.channel, joined.confidence) == (-48, 6, 100)
    assert (line.totals.frames, line.totals.probe_requests, line.totals.skipped) == (1, 1, {})


def test_a_device_is_joined_from_its_association_to_its_leaving(house: House):
    ubusd, air = house.open(bus("wlan0"))
    ubusd.act("notify", "wlan0", "assoc", fields(signal=-40))
    ubusd.act("notify", "wlan0", "sta-authorized", {"address": LOCAL.hex(":"), "ifname": "wlan0", "auth-alg": "open"})
    ubusd.act("notify", "wlan0", "disassoc", {"address": LOCAL.hex(":"), "ifname": "wlan0"})
    air.until(lambda: air.events() == 3, "three events")

    presences = [item.request for item in list(air.items) if isinstance(item, Presence)]
    assert [(p.rssi_dbm, p.channel) for p in presences] == [(-40, 6), (None, None), (None, None)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("probe-wlan0-scan.jsonl", Counter(event=5)),
        ("probe-simplified-S.jsonl", Counter(event=4)),
        ("probe-auth-assoc-burst.jsonl", None),
    ],
)
def test_recorded_events_of_a_real_hostapd_arrive_to_the_last(house: House, name: str, expected: Counter[str] | None):
    lines = [line for line in (shared_data("ubus") / name).read_text().splitlines() if line.startswith('{ "')]
    told = [next(iter(json.loads(line).items())) for line in lines]
    ubusd, air = house.open(bus("wlan0", "wlan0_1"))
    for event, table in told:
        ubusd.act("notify", table["ifname"], event, table)
    air.until(lambda: air.events() == len(told), f"{len(told)} events")
    came = air.outcomes()

    assert came["malformed_event"] == came["bad_address"] == 0
    assert came["not_probe_request"] == sum(event != "probe" for event, _ in told)
    assert came["event"] + came["duplicate_event"] == sum(event == "probe" for event, _ in told)
    if expected is not None:
        assert came - Counter(tick=1000) == expected
    else:
        assert came["duplicate_event"] > 1000, "most of the recording are bursts that two networks told of"


@pytest.mark.alone
def test_500_events_a_second_are_all_heard(house: House):
    """Two seconds of it, while another program makes hostapd wait for our answers."""
    ubusd, air = house.open(bus("wlan0"))
    began_s = time.monotonic()
    for number in range(1000):
        while time.monotonic() - began_s < number / 500:
            time.sleep(0.001)
        ubusd.act("notify", "wlan0", "probe", fields(local(number)), wants_answer=True)
    air.until(lambda: air.events() == 1000, "1,000 events")

    assert (air.outcomes()["event"], ubusd.dropped, air.source.losses()) == (1000, 0, {})
    assert len(ubusd.bus.answers) == 1000


def test_a_reader_that_stands_still_loses_with_a_count_and_never_keeps_hostapd_waiting(house: House):
    """The pipeline may be busy for seconds: what does not fit is lost and said, and every call for an answer is answered."""
    ubusd = house.ubusd = Ubusd(house.path, bus("wlan0"))
    source = HostapdSource(str(house.path), queue_max=100)
    items = iter(source)
    assert isinstance(next(items), Tick)
    for number in range(250):
        ubusd.act("notify", "wlan0", "probe", fields(local(number)), wants_answer=True)
    deadline_s = time.monotonic() + PATIENCE_S
    while source.state()["events_lost"] + source.state()["events_waiting"] < 250 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    lost = source.state()["events_lost"]
    *_, tick = source.rest()
    source.close()

    assert len(ubusd.bus.answers) == 250
    assert 149 <= lost <= 151, "one or two of the places go to the lists of clients"
    assert dict(tick.lost) == source.losses() == {"kernel_drops": lost}
    assert [item.lost for item in source.rest()] == [()]


def test_a_hostapd_that_restarts_is_heard_again(house: House):
    ubusd, air = house.open(bus("wlan0"))
    ubusd.act("remove_hostapd", "wlan0")
    air.until(subscribed(air, 0), "the loss to be noticed")
    ubusd.act("add_hostapd", "wlan0")
    air.until(subscribed(air), "the new hostapd to be subscribed to")

    ubusd.act("notify", "wlan0", "probe", fields())
    air.until(lambda: air.events() == 1, "an event of the new hostapd")


def test_a_ubusd_that_restarts_is_found_again_and_the_gap_is_not_listened(house: House):
    ubusd, air = house.open(bus("wlan0"))
    air.until(
        lambda: sum(ms for item in list(air.items) if isinstance(item, Tick) for _, ms in item.listened_ms) > 300,
        "listening",
    )
    ubusd.stop()
    air.until(subscribed(air, 0), "the loss to be noticed")
    from_here = len(air.items)
    air.until(lambda: sum(isinstance(item, Tick) for item in air.items[from_here:]) >= 3, "three ticks of silence")
    silent = [item for item in air.items[from_here + 1 :] if isinstance(item, Tick)]
    assert [tick.listened_ms for tick in silent[1:]] == [()] * (len(silent) - 1)

    house.ubusd = Ubusd(house.path, bus("wlan0"))
    air.until(subscribed(air), "the new ubusd to be found")
    house.ubusd.act("notify", "wlan0", "probe", fields())
    air.until(lambda: air.events() == 1, "an event through the new ubusd")
    assert air.source.state()["reconnections"] == 1


def test_bytes_that_are_no_ubus_end_the_connection_and_another_is_made(house: House):
    ubusd, air = house.open(bus("wlan0"))
    with ubusd._lock:
        for client in list(ubusd._sockets):
            ubusd._deliver(client, b"\xff" * 64)
    air.until(lambda: air.source.state()["reconnections"] == 1, "another connection")
    air.until(subscribed(air), "the subscription")

    ubusd.act("notify", "wlan0", "probe", fields())
    air.until(lambda: air.events() == 1, "an event over the new connection")


def test_time_is_listened_while_hostapd_is_there_and_channels_share_it(house: House):
    made = bus("wlan0")
    made.add_hostapd("wlan1", 5180)
    began_s = time.monotonic()
    _, air = house.open(made)
    air.until(lambda: air.outcomes()["tick"] >= 4, "four ticks")
    air.close()
    passed_ms = (time.monotonic() - began_s) * 1000

    listened: Counter[int] = Counter()
    for item in (*air.items, *air.source.rest()):
        if isinstance(item, Tick):
            listened.update(dict(item.listened_ms))
    assert 0 < sum(listened.values()) <= passed_ms
    assert listened[6] + listened[36] > 0.5 * sum(listened.values()), (
        "only until the first answer the channel is not known"
    )
    assert abs(listened[6] - listened[36]) <= 600


def test_no_hostapd_yet_is_waited_for(house: House):
    ubusd, air = house.open(bus())
    air.until(lambda: air.outcomes()["tick"] >= 2, "ticks without a hostapd")
    assert all(item.listened_ms == () for item in air.items if isinstance(item, Tick))

    ubusd.act("add_hostapd", "wlan0")
    air.until(subscribed(air), "hostapd")


# --- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "access", [{"sees_hostapd": False}, {"may_subscribe": False}], ids=["hidden", "not to be subscribed to"]
)
def test_an_access_list_that_is_against_us_is_said_at_the_start(house: House, access: dict[str, bool]):
    house.ubusd = Ubusd(house.path, bus("wlan0", **access))

    with pytest.raises(UbusDenied, match=rf"user {os.getuid()} .*/usr/share/acl\.d/ivizone\.json.*killall -HUP ubusd"):
        HostapdSource(str(house.path))


def test_no_ubusd_is_said_at_the_start_and_run_exits_with_4(tmp_path: Path, capsys):
    with pytest.raises(UbusMissing):
        HostapdSource(str(tmp_path / "none.sock"))

    config = enrolled(tmp_path / "state", source={"name": "hostapd", "ubus_socket": f"{tmp_path}/none.sock"})
    assert main(["run", "--config", str(config)]) == 4
    assert "source.ubus_socket" in capsys.readouterr().err


def test_a_flood_over_the_queue_of_ubusd_leaves_a_live_source(house: House):
    """ubusd drops what is over 1 MiB and counts nothing; whatever arrived is counted, and it goes on."""
    ubusd, air = house.open(bus("wlan0"))
    for number in range(6000):
        ubusd.act("notify", "wlan0", "probe", fields(local(number), pad="x" * 400))
    air.until(lambda: air.events() + int(air.source.state()["events_lost"] or 0) + ubusd.dropped >= 6000, "the flood")
    ubusd.act("notify", "wlan0", "probe", fields(local(9999)))
    air.until(
        lambda: any(isinstance(i, Event) and i.request[0] == local(9999) for i in air.items[-50:]), "the event after it"
    )


# --- chips that crash -----------------------------------------------------------------------------------------------------


def chip(sys_dir: Path, interface: str, driver: str, number: str) -> None:
    """A network interface as sysfs shows it."""
    device = sys_dir / "devices/pci0" / interface
    device.mkdir(parents=True)
    (device / "device").write_text(number + "\n")
    (sys_dir / "bus/drivers" / driver).mkdir(parents=True, exist_ok=True)
    (device / "driver").symlink_to(sys_dir / "bus/drivers" / driver)
    phy = sys_dir / "class/net" / interface / "phy80211"
    phy.mkdir(parents=True)
    (phy / "device").symlink_to(device)


@pytest.mark.parametrize(
    ("driver", "number", "name"),
    [
        ("ath10k_pci", "0x003c", "QCA988x"),
        ("ath10k_pci", "0x0050", "QCA9887"),
        ("ath10k_pci", "0x0046", None),
        ("mt7915e", "0x7915", None),
    ],
)
def test_a_chip_is_known_by_driver_and_device(tmp_path: Path, driver: str, number: str, name: str | None):
    chip(tmp_path, "wlan0", driver, number)

    assert known_crashing("wlan0", tmp_path) == name
    assert known_crashing("wlan9", tmp_path) is None


@pytest.mark.parametrize(("option", "expected"), [("auto", ["wlan1"]), ("always", ["wlan0", "wlan1"]), ("never", [])])
def test_the_kill_switch_decides_which_networks_are_subscribed_to(
    house: House, tmp_path: Path, option: str, expected: list[str], capsys: pytest.CaptureFixture[str]
):
    chip(tmp_path / "sys", "wlan0", "ath10k_pci", "0x003c")
    chip(tmp_path / "sys", "wlan1", "mt7915e", "0x7915")
    ubusd, air = house.open(bus("wlan0", "wlan1"), probes=option, sys=tmp_path / "sys")

    air.until(lambda: len(ubusd.bus.hostapd("wlan0").calls) >= 2, "both to be asked how they are")

    heard = [name for name in ("wlan0", "wlan1") if ubusd.bus.hostapd(name).subscribers]
    assert heard == expected
    assert ("hostapd_probes_off" in capsys.readouterr().err) is (option != "always")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_closed_source_leaves_no_thread_and_no_socket(house: House):
    house.ubusd = Ubusd(house.path, bus("wlan0"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        HostapdSource(str(house.path)).close()

    deadline_s = time.monotonic() + PATIENCE_S
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert len(os.listdir("/proc/self/fd")) <= before
    assert "ivizone-hostapd" not in {thread.name for thread in threading.enumerate()}
