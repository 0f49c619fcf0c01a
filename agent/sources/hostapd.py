"""hostapd's word as a source: probe requests and who has joined, from OpenWrt's ubus (shell; docs/adr/0011-ubus-socket.md).

No monitor interface and no rights over the radio are needed, and any driver will do. What hostapd does not tell stays unknown: sequence
numbers, elements, requests for other networks, other channels.

One thread reads the socket, answers and gives each notice its time, whatever the pipeline does meanwhile: a subscriber that stops
reading loses events, and where another program has set ``notify_response`` it would hold hostapd up. The notices wait in a queue; what
does not fit into it is counted as lost. What ubusd itself drops (over 1 MiB waiting for us) no one counts, so the share of requests heard is
not known with this source, only the time. Time counts as listened while a BSS is subscribed to and answers; BSSs on two channels share it.

ubusd gone, hostapd gone: the thread connects and subscribes again, with pauses of at most 5 s.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from agent.dot11.captured import Heard, Tick
from agent.log import log
from agent.sources.errors import UbusDenied, UbusError
from agent.sources.hostapd_events import EventReader
from agent.sources.hostapd_session import Notice, Session
from agent.sources.ubus import DEFAULT_PATH, UbusSocket

if TYPE_CHECKING:
    from agent.config import SourceSection

TICK_EVERY_S = 1.0
WAKE_EVERY_S = 0.5
FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 5.0
SETTLING_S = 3.0
"""How long the start waits for the first subscriptions, to say at once that ubusd does not let us."""
QUEUE_MAX = 4000
"""Notices that may wait for the pipeline: 8 s of 500 a second, about 3 MB."""

CRASHING_CHIPS: dict[tuple[str, str], str] = {
    ("ath10k_pci", "0x003c"): "QCA988x",
    ("ath10k_pci", "0x11ac"): "QCA988x",
    ("ath10k_pci", "0x0050"): "QCA9887",
}
"""(driver, PCI device) -> chip whose ath10k-ct firmware was seen to crash while probe requests were watched (greearb/ath10k-ct issue 206:
usteer and DAWN on wave-1 chips). Device numbers: Linux drivers/net/wireless/ath/ath10k/hw.h. Nothing a user may read tells the -ct
firmware from the other."""


class HostapdSource:
    """Probe requests and presences of every ``hostapd.*`` object of ubusd, and a tick each second, until it is closed.

    Connects at once, and raises UbusMissing, UbusDenied, UbusGone or UbusMalformed where that fails. A hostapd that is not there yet is waited
    for. ``probes``: "always", "never" (joined devices only), or "auto": unless the chip is among those seen to crash.
    """

    def __init__(
        self,
        socket_path: str = DEFAULT_PATH,
        probes: str = "auto",
        *,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        sys: Path = Path("/sys"),
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self._path = socket_path
        self._probes = probes
        self._clock_us = clock_us
        self._sys = sys
        self._queue: SimpleQueue[tuple[int, Notice] | None] = SimpleQueue()
        self._queue_max = queue_max
        self._reader = EventReader()
        self._counters = threading.Lock()
        self._listened_s: dict[int, float] = {}
        self._lost = 0
        self._lost_before = 0
        self._reconnections = 0
        self._booked_s = time.monotonic()
        self._closing = threading.Event()
        self._socket, self._session = self._connect()
        try:
            self._settle()
        except UbusError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._work, name="ivizone-hostapd", daemon=True)
        self._thread.start()

    @classmethod
    def from_config(cls, section: SourceSection) -> Self:
        """The hostapd behind ``source.ubus_socket``. Raises UbusError."""
        return cls(section.ubus_socket, section.hostapd_probes)

    def __iter__(self) -> Iterator[Heard]:
        last_us = self._clock_us()
        yield self._tick(last_us)
        next_tick_s = time.monotonic() + TICK_EVERY_S
        while not self._closing.is_set():
            try:
                told = self._queue.get(timeout=max(0.0, next_tick_s - time.monotonic()))
            except Empty:
                last_us = self._clock_us()
            else:
                if told is None:
                    return
                last_us = told[0]
                yield from self._reader.read(told[1], last_us)
            if time.monotonic() >= next_tick_s:
                next_tick_s = time.monotonic() + TICK_EVERY_S
                yield self._tick(last_us)

    def rest(self) -> Iterator[Heard]:
        """The notices that wait, and a last tick."""
        for _ in range(self._queue.qsize()):
            if told := self._queue.get():
                yield from self._reader.read(told[1], told[0])
        yield self._tick(self._clock_us())

    def losses(self) -> dict[str, int]:
        """Notices that found the queue full since the start. What ubusd dropped before is not known."""
        return {"kernel_drops": self._lost} if self._lost else {}

    def state(self) -> dict[str, int | float | str | None]:
        """Which BSSs are heard, and how the connection goes."""
        bsses = list(self._session.bsses.values())
        return {
            "networks": len(bsses),
            "networks_subscribed": sum(bss.is_subscribed for bss in bsses),
            "networks_silent": sum(bss.is_silent for bss in bsses),
            "events_waiting": self._queue.qsize(),
            "events_lost": self._lost,
            "reconnections": self._reconnections,
        }

    def close(self) -> None:
        """End the connection and the thread. A second call does nothing."""
        self._closing.set()
        self._socket.hang_up()  # a thread that waits in receive finds the end at once,
        self._queue.put(None)  # and so does whoever waits for the next item
        self._thread.join(2.0)
        self._socket.close()

    # --- the thread -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._closing.is_set():
            began_s = time.monotonic()
            trouble = self._serve()
            if self._closing.is_set():
                return
            self._session = Session(self._wants_probes, _tell)  # nothing is heard now, and ``state`` says so
            if time.monotonic() - began_s > LAST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            log.warning("ubus_lost", trouble=trouble, retry_in_s=pause_s)
            while not self._closing.wait(pause_s) and not self._reconnect():
                pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _serve(self) -> str:
        """Listen until the connection is lost or somebody closes the source. Gives what ended it."""
        try:
            while not self._closing.is_set():
                self._turn(WAKE_EVERY_S)
        except UbusError as error:
            return str(error)
        except Exception as error:  # the loop's edge: a fault of ours must not leave a source that hears nothing
            return type(error).__name__
        return "closed"

    def _reconnect(self) -> bool:
        """Make a connection in place of the lost one; False where that fails."""
        self._socket.close()
        try:
            self._socket, self._session = self._connect()
        except UbusError:
            return False
        self._reconnections += 1
        log.info("ubus_recovered")
        return True

    def _turn(self, wait_s: float) -> None:
        """Take what comes within ``wait_s``, and say what is due. Raises UbusError."""
        session = self._session
        messages = self._socket.receive(wait_s)
        time_us, now_s = self._clock_us(), time.monotonic()
        self._book(now_s)
        for message in messages:
            session.take(message, now_s)
        session.wake(now_s)
        outgoing, session.outgoing = session.outgoing, []
        for message in outgoing:
            self._socket.send(message)
        notices, session.notices = session.notices, []
        for notice in notices:
            self._keep(time_us, notice)

    def _connect(self) -> tuple[UbusSocket, Session]:
        connection = UbusSocket(self._path)
        session = Session(self._wants_probes, _tell)
        session.start(time.monotonic())
        self._booked_s = time.monotonic()
        return connection, session

    def _settle(self) -> None:
        """Talk until the first subscriptions stand. Raises UbusDenied where ubusd's access list is against it."""
        deadline_s = time.monotonic() + SETTLING_S
        while time.monotonic() < deadline_s and not self._session.is_settled():
            self._turn(0.05)
            if self._session.is_hidden:
                raise UbusDenied(
                    f"ubusd lets user {os.getuid()} see or subscribe to no hostapd object; allow 'hostapd.*' to the agent's user in "
                    "/usr/share/acl.d/ivizone.json (owned by root) and run: killall -HUP ubusd"
                )

    def _keep(self, time_us: int, notice: Notice) -> None:
        if self._queue.qsize() >= self._queue_max:
            with self._counters:
                self._lost += 1
            return
        self._queue.put((time_us, notice))

    def _book(self, now_s: float) -> None:
        """The time since the last call was listened on the channels that were heard. Several share it, so that the sum is time."""
        channels = self._session.channels()
        passed_s, self._booked_s = now_s - self._booked_s, now_s
        with self._counters:
            for channel in channels:
                self._listened_s[channel] = self._listened_s.get(channel, 0.0) + passed_s / len(channels)

    def _tick(self, time_us: int) -> Tick:
        """What gathered since the last one; parts of a millisecond stay for the next."""
        with self._counters:
            listened = {channel: int(seconds * 1000) for channel, seconds in self._listened_s.items()}
            self._listened_s = {c: seconds - listened[c] / 1000 for c, seconds in self._listened_s.items()}
            lost, self._lost_before = self._lost - self._lost_before, self._lost
        spans = tuple((channel, ms) for channel, ms in sorted(listened.items()) if ms)
        return Tick(time_us, spans, (("kernel_drops", lost),) if lost else ())

    def _wants_probes(self, interface: str) -> bool:
        """Whether this BSS may be subscribed to; says so where not."""
        chip = known_crashing(interface, self._sys) if self._probes == "auto" else None
        if self._probes == "never" or chip:
            log.warning("hostapd_probes_off", interface=interface, chip=chip, option=self._probes)
            return False
        return True


def known_crashing(interface: str, sys: Path) -> str | None:
    """Name of the chip behind an interface where it is among those seen to crash; None for any other, and where nothing is known."""
    device = sys / "class/net" / interface / "phy80211/device"
    try:
        driver = (device / "driver").resolve(strict=True).name
        number = (device / "device").read_text().strip()
    except OSError:
        return None
    return CRASHING_CHIPS.get((driver, number))


def _tell(event: str, **values: Any) -> None:
    """Log what the session reports."""
    match event:
        case "hostapd_subscribed":
            log.info("hostapd_subscribed", **values)
        case "hostapd_answered":
            log.info("hostapd_answered", **values)
        case "hostapd_missing":
            log.warning("hostapd_missing", **values)
        case "hostapd_hidden":
            log.warning("hostapd_hidden", **values)
        case "hostapd_lost":
            log.warning("hostapd_lost", **values)
        case "hostapd_silent":
            log.warning("hostapd_silent", **values)
        case "hostapd_clients_hidden":
            log.warning("hostapd_clients_hidden", **values)
        case _:
            raise AssertionError(f"cannot happen: the session told of {event}")
