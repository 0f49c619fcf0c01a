"""Frames from a monitor interface, for months on end (shell; what to do is decided in ``monitor_watch``).

The kernel hands on probe requests only (``bpf``), a block at a time (``packet_ring``), each with its own time. Once a second the
source looks at the interface and at its pulse (``packet_socket``), does what the watch decides, and yields a tick with what
was listened and lost. Making the interface is the business of ``firmware_hooks``; how hostapd fares is nobody's here.

docs/adr/0010-monitor-capture.md has the reasons and the measurements.
"""

from __future__ import annotations

import errno
import select
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from agent.dot11.captured import CapturedFrame, Tick
from agent.ledger import CHANNEL_UNKNOWN
from agent.log import log
from agent.sources.errors import InterfaceMissing, NotAMonitor, SourceError
from agent.sources.monitor_senses import SYSFS, InterfaceState, Stay, channel_of_frame, read_interface, read_stay
from agent.sources.monitor_watch import ARPHRD_IEEE80211_RADIOTAP, SECOND_US, Condition, Decision, Look, Watch
from agent.sources.packet_socket import PacketCapture, missing

if TYPE_CHECKING:
    from agent.config import SourceSection

LOOK_EVERY_US = SECOND_US
RESTORE_TIMEOUT_S = 20


class MonitorSource:
    """A ``LiveSource`` on a monitor interface. Opens at once: raises InterfaceMissing, NotAMonitor, NotPermitted, SourceError.

    ``planned`` tells where a channel plan has the radio; without it, or where it does not know, the channel is taken from
    the radiotap headers of what is heard. ``restore`` is called with the condition when the interface has been lost for
    some seconds, with growing pauses. Once open, no trouble with the interface raises: the source waits and says so.
    """

    def __init__(
        self,
        interface: str,
        *,
        ring_bytes: int = 512 << 10,
        silence_s: float = 10.0,
        uses_ring: bool = True,
        planned: Callable[[], Stay | None] | None = None,
        restore: Callable[[str], None] | None = None,
        sysfs: Path | None = None,
    ) -> None:
        self.interface = interface
        self._ring_bytes = ring_bytes
        self._uses_ring = uses_ring
        self._planned = planned
        self._restore = restore
        self._sysfs = sysfs or SYSFS
        self._watch = Watch(silence_s)
        self._capture: PacketCapture | None = None
        self._poll = select.poll()
        self._is_closed = False
        self._was_interrupted = False
        self._handed: Iterator[CapturedFrame] = iter(())
        """What of the last block was not yielded yet."""
        self._heard: bytes | None = None
        self._last_frame_us = 0
        self._received = 0
        self._channel = CHANNEL_UNKNOWN
        self._left_us: dict[int, int] = {}
        self._counts: Counter[str] = Counter()
        self._told_drops = 0
        self._open_first()
        self._next_look_us = _now_us() + LOOK_EVERY_US

    @classmethod
    def from_config(cls, section: SourceSection) -> Self:
        """The monitor interface that the section ``source`` names. Raises SourceError."""
        return cls(
            section.interface,
            ring_bytes=section.ring_kib << 10,
            silence_s=section.silence_s,
            planned=partial(read_stay, Path(section.channel_file), section.interface) if section.channel_file else None,
            restore=command_restorer(section.restore_command) if section.restore_command else None,
        )

    def __iter__(self) -> Iterator[CapturedFrame | Tick]:
        """Frames as they come, and a tick each second, until ``close``."""
        while not self._is_closed:
            if self._wait(self._next_look_us - _now_us()):
                self._handed = iter(self._read())
                yield from self._handed
            if _now_us() >= self._next_look_us and not self._is_closed:
                yield self._look()
                self._next_look_us = _now_us() + LOOK_EVERY_US  # not sooner after a late one: looks are compared

    def rest(self) -> Iterator[CapturedFrame | Tick]:
        """What was read and not yielded, what the kernel has not handed over yet, and a last tick. Nothing is heard from here on."""
        yield from self._handed
        if self._capture is not None and self._capture.shut():
            end_us = _now_us() + self._capture.reader.lag_us
            while (left_us := end_us - _now_us()) > 0:
                if self._wait(left_us):
                    yield from self._read()
            while frames := self._read():
                yield from frames
        yield self._look()

    def losses(self) -> dict[str, int]:
        """Frames for which the ring or the queue had no room, since the start."""
        return {"kernel_drops": self._counts["kernel_drops"]} if self._counts["kernel_drops"] else {}

    def state(self) -> dict[str, int | float | str | None]:
        """How it goes: plain values, for the status file and ``doctor``."""
        counts = self._counts
        return {
            "interface": self.interface,
            "condition": self._watch.condition.value,
            "condition_s": (_now_us() - self._watch.since_us) // SECOND_US,
            "reader": self._capture.reader.name if self._capture else None,
            "channel": self._channel or None,
            "probe_frames": counts["frames"],
            "frames_on_air": counts["pulse"],
            "kernel_drops": counts["kernel_drops"],
            "listened_s": counts["listened_us"] // SECOND_US,
            "gaps": counts["gaps"],
            "gap_s": counts["gap_us"] // SECOND_US,
            "reopened": counts["reopened"],
            "restores_asked": counts["restores"],
        }

    def close(self) -> None:
        """Close the capture and end the iteration."""
        self._is_closed = True
        self._close_capture()

    # --- frames -------------------------------------------------------------------------------------------------

    def _wait(self, duration_us: int) -> bool:
        """Until frames (or an error) wait on the socket, or the time is over. True for the former."""
        duration_ms = max(0, duration_us // 1000 + 1)
        if self._capture is None:
            time.sleep(duration_ms / 1000)
            return False
        return bool(self._poll.poll(duration_ms))

    def _read(self) -> list[CapturedFrame]:
        """What waits. An error of the socket is noted, and forgotten by the kernel, so that the next wait waits."""
        capture = self._capture
        if capture is None:
            return []
        try:
            frames = capture.reader.read()
            if not frames and (error := capture.error()):
                raise OSError(error, errno.errorcode.get(error, "unknown"))
        except OSError as error:
            self._was_interrupted = True
            log.debug("monitor_socket_failed", errno=error.errno)
            return []
        if frames:
            last = frames[-1]
            self._heard, self._last_frame_us = last.data, last.time_us
            self._counts["frames"] += len(frames)
        return frames

    # --- once a second ------------------------------------------------------------------------------------------

    def _look(self) -> Tick:
        """See how the interface fares, do what follows, and tell it to the ledger."""
        # The pulse first: what it counted until now is not younger than what the system says of the interface after it.
        frames, samples = self._beat()
        state = read_interface(self.interface, self._sysfs)
        stay = self._stay(samples)
        look = Look(
            now_us=_now_us(),
            ifindex=state.ifindex if state else None,
            link_type=state.link_type if state else None,
            is_up=state is not None and state.is_up,
            frames=frames,
            received=self._received_since(state),
            was_interrupted=self._was_interrupted,
            channel=stay.channel,
            channel_since_us=stay.since_us,
        )
        self._was_interrupted = False
        before = self._watch.condition
        decision = self._watch.decide(look)
        self._tell(before, decision)
        self._act(decision, look)
        return self._tick(decision)

    def _beat(self) -> tuple[int, list[bytes]]:
        """Frames of any kind since the last look, and a few of them; the drops are counted on the way."""
        if self._capture is None:
            return 0, []
        try:
            self._counts["kernel_drops"] += self._capture.reader.drops()
            frames, samples = self._capture.pulse.beat()
        except OSError:  # ENETDOWN comes once on this socket as well
            self._was_interrupted = True
            return 0, []
        self._counts["pulse"] += frames
        if self._heard is not None:
            samples.append(self._heard)
            self._heard = None
        return frames, samples

    def _received_since(self, state: InterfaceState | None) -> int | None:
        """Frames of others since the last look; None where the driver does not count them."""
        if state is None or not state.received:
            return None
        since, self._received = state.received - self._received, state.received
        return max(0, since)

    def _stay(self, samples: list[bytes]) -> Stay:
        """Where the radio is: as the plan says, else on the channel of most frames heard, else where it was.

        Of most, because a radio hears its neighbour channels too, and their frames name the channel they were sent on.
        """
        stay = self._planned() if self._planned else None
        if stay is None:
            heard = Counter(filter(None, map(channel_of_frame, samples)))
            stay = Stay(heard.most_common(1)[0][0] if heard else self._channel, 0)
        self._channel = stay.channel
        return stay

    def _tick(self, decision: Decision) -> Tick:
        """The tick of this look."""
        for channel, duration_us in decision.listened_us.items():
            self._left_us[channel] = self._left_us.get(channel, 0) + duration_us
            self._counts["listened_us"] += duration_us
        listened_ms = tuple((channel, us // 1000) for channel, us in self._left_us.items() if us >= 1000)
        self._left_us = {channel: us % 1000 for channel, us in self._left_us.items()}
        drops = self._counts["kernel_drops"] - self._told_drops
        self._told_drops += drops
        return Tick(self._time_reached_us(), listened_ms, (("kernel_drops", drops),) if drops else ())

    def _time_reached_us(self) -> int:
        """Up to when all frames were yielded: a frame may wait unseen in a block that is not full yet."""
        now_us = time.time_ns() // 1000
        if self._capture is None:
            return now_us
        last_us = min(self._last_frame_us, now_us)  # less where the clock was set back
        if self._capture.reader.is_behind() and last_us:
            return last_us
        return max(last_us, now_us - self._capture.reader.lag_us)

    # --- the capture --------------------------------------------------------------------------------------------

    def _act(self, decision: Decision, look: Look) -> None:
        """Do what was decided, and say so."""
        if decision.closes:
            self._close_capture()
        if decision.opens and look.ifindex is not None:
            self._reopen(look.ifindex)
        if decision.asks and self._restore:
            self._counts["restores"] += 1
            log.warning("monitor_restore_asked", condition=decision.condition.value, times=self._counts["restores"])
            self._restore(decision.condition.value)

    def _open_first(self) -> None:
        """Open, or say to the owner why not."""
        state = read_interface(self.interface, self._sysfs)
        if state is None:
            raise InterfaceMissing(missing(self.interface))
        if state.link_type != ARPHRD_IEEE80211_RADIOTAP:
            raise NotAMonitor(
                f"source.interface is '{self.interface}', which is not in monitor mode (link type {state.link_type}, not "
                f"{ARPHRD_IEEE80211_RADIOTAP}); name a monitor interface, or make one beside it with: "
                f"iw dev {self.interface} interface add mon0 type monitor && ip link set mon0 up"
            )
        try:
            self._open(state.ifindex)
        except OSError as error:
            raise SourceError(
                f"source.interface '{self.interface}' cannot be listened on ({error.strerror}); try: tcpdump -i {self.interface}"
            ) from error
        self._received = state.received

    def _open(self, ifindex: int) -> None:
        """Raises SourceError, OSError."""
        self._capture = capture = PacketCapture(self.interface, self._ring_bytes, uses_ring=self._uses_ring)
        self._poll.register(capture.socket, select.POLLIN)
        self._watch.opened(ifindex, _now_us())
        if capture.trouble:
            self._uses_ring = False
            log.warning("monitor_ring_refused", reason=capture.trouble)
        log.info("monitor_opened", reader=capture.reader.name, ring_kib=self._ring_bytes >> 10)

    def _reopen(self, ifindex: int) -> None:
        """Open anew. Where that fails, the next look tries again."""
        self._close_capture()
        self._counts["reopened"] += 1
        try:
            self._open(ifindex)
        except (OSError, SourceError) as error:
            self._close_capture()
            log.warning("monitor_reopen_failed", errno=getattr(error, "errno", None))

    def _close_capture(self) -> None:
        """Close what is open; what it dropped is counted before."""
        capture, self._capture = self._capture, None
        if capture is None:
            return
        with suppress(OSError):
            self._counts["kernel_drops"] += capture.reader.drops()
        self._poll.unregister(capture.socket)
        capture.close()
        self._watch.closed()

    def _tell(self, before: Condition, decision: Decision) -> None:
        """Log what changed, once for each change."""
        after = decision.condition
        if decision.gap_us is not None:
            self._counts["gaps"] += 1
            self._counts["gap_us"] += decision.gap_us
            log.info("monitor_listened_again", gap_ms=decision.gap_us // 1000, channel=self._channel or None)
        elif after is not before and after not in (Condition.LISTENING, Condition.WAITING):
            log.warning("monitor_lost", condition=after.value, before=before.value)


def command_restorer(command: str) -> Callable[[str], None]:
    """A restorer that runs the owner's command with the condition as its last word, for some seconds at most."""
    import shlex
    import subprocess  # a megabyte that only an owner with such a command pays

    words = shlex.split(command)

    def restore(condition: str) -> None:
        try:
            done = subprocess.run([*words, condition], capture_output=True, timeout=RESTORE_TIMEOUT_S, check=False)
            code: int | None = done.returncode
        except (OSError, subprocess.TimeoutExpired):
            code = None
        log.info("monitor_restore_ended", code=code)

    return restore


def _now_us() -> int:
    return time.monotonic_ns() // 1000
