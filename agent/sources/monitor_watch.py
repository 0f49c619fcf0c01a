"""Whether a monitor interface listens, and what to do where it does not (core: it is told what was seen and when).

No error tells that a radio stopped hearing. An interface that goes down or away says ENETDOWN once and is silent after;
where hostapd stops, a monitor interface beside it stays up and hears nothing until there is an access point again
(all measured on mac80211). So once a second the shell looks, and here it is decided from the looks:

- *Time counts as listened* when frames prove it: from one look at which any frame had come to the next such look, if no
  more than ``silence_s`` lie between and the interface was up, the same, and in monitor mode all the while. The access
  point's own beacons prove it too, but for ``deaf_s`` at most after a frame of somebody else. Where frames came steadily
  (beacons come ten times a second), a look with less than half as many is enough to doubt: hostapd restarts within two seconds.
  What is not proved was not listened: it is missing from the ledger.
- *Silence* for longer opens the capture anew, again and again with growing pauses; so does a new interface of the name.
- *What an agent without rights cannot do*, making the interface again, is asked of whoever can, with the same pauses.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

ARPHRD_IEEE80211_RADIOTAP = 803
"""Link type of a monitor interface. Source: Linux include/uapi/linux/if_arp.h."""
SECOND_US = 1_000_000
ASK_AFTER_US = 5 * SECOND_US
"""Somebody who makes the interface again himself, such as a restart of the Wi-Fi, is given so long."""
PAUSE_MAX_US = 300 * SECOND_US
STEADY_FRAMES = 5
STEADY_LOOKS, STEADY_LOOKS_MAX = 10, 60
STEADY_LOOK_US = 900_000
"""Air is steady where so many looks in a row, on one channel, saw so many frames each. One access point in reach makes it so; the
fewest of the last minute, which are its beacons, is what a look may be held against, if it is not shorter than theirs. Of a
minute, because a download keeps every look of some seconds full, and its end is no silence."""


class Condition(Enum):
    """What the interface is up to."""

    WAITING = "waiting"
    """Open, and no frame yet, or not again."""
    LISTENING = "listening"
    SILENT = "silent"
    """Up and in monitor mode, and no frame of any kind for too long."""
    DEAF = "deaf"
    """Only frames of this radio itself for too long."""
    DOWN = "down"
    NOT_MONITOR = "not_monitor"
    GONE = "gone"


SOUND = (Condition.WAITING, Condition.LISTENING)
MUTE = (Condition.SILENT, Condition.DEAF)


class Look(NamedTuple):
    """What was seen at one moment."""

    now_us: int
    """A clock that only goes forward."""
    ifindex: int | None
    """None where there is no interface of that name."""
    link_type: int | None
    is_up: bool
    frames: int
    """Frames of any kind since the look before."""
    received: int | None
    """Those among them that somebody else sent; None where the driver does not count."""
    was_interrupted: bool
    """The socket said since the look before that the interface went down."""
    channel: int
    """Where the radio listens; 0 is not known."""
    channel_since_us: int = 0
    """Since when; before that it was where the look before said."""


class Decision(NamedTuple):
    """What follows from a look."""

    condition: Condition
    closes: bool
    """The capture has to be given up."""
    opens: bool
    """The capture has to be opened (anew)."""
    asks: bool
    """Whoever can should make the interface again."""
    listened_us: dict[int, int]
    """Time that this look proved as listened, by channel."""
    gap_us: int | None
    """Where listening begins (again) with this look: how long it did not."""


@dataclass(slots=True)
class Pauses:
    """When to try something again: after ``first_us``, then after twice as long, and so on up to PAUSE_MAX_US."""

    first_us: int
    _next_us: int | None = None
    _pause_us: int = 0

    def is_due(self, since_us: int, now_us: int) -> bool:
        """True where it is time; the first pause counts from ``since_us``."""
        if self._next_us is None:
            self._next_us, self._pause_us = since_us + self.first_us, self.first_us
        if now_us < self._next_us:
            return False
        self._pause_us = min(2 * self._pause_us, PAUSE_MAX_US)
        self._next_us = now_us + self._pause_us
        return True

    def reset(self) -> None:
        """All is well: the next time begins with the first pause."""
        self._next_us = None


@dataclass(slots=True)
class Watch:
    """Decides from looks. The shell tells by ``opened`` and ``closed`` what it did; opening may fail."""

    silence_s: float = 10.0
    deaf_s: float = 900.0
    condition: Condition = Condition.WAITING
    since_us: int = 0
    """When the condition began."""
    ifindex: int | None = None
    """Of the interface that the capture is open on; None where it is not open."""
    _sign_us: int = 0
    """The last frame of any kind, or the moment from which one is waited for."""
    _heard_us: int = 0
    """The last frame of somebody else, likewise."""
    _look_us: int = 0
    _channel: int = 0
    _proved_us: int | None = None
    """The last look at which a frame proved that we listen; None where something since then speaks against it."""
    _unproved_us: dict[int, int] = field(default_factory=dict)
    _gap_from_us: int = 0
    _counts: deque[int] = field(default_factory=lambda: deque(maxlen=STEADY_LOOKS_MAX))
    """Frames of the last looks on this channel."""
    _reopen: Pauses = field(init=False)
    _ask: Pauses = field(default_factory=lambda: Pauses(ASK_AFTER_US))

    def __post_init__(self) -> None:
        self._reopen = Pauses(round(self.silence_s * SECOND_US))

    def opened(self, ifindex: int, now_us: int) -> None:
        """The capture is open on this interface."""
        if self._look_us == 0:
            self._gap_from_us = self._look_us = self.since_us = now_us
        self._mistrust()
        self.ifindex, self._sign_us = ifindex, now_us
        if self.condition is not Condition.DEAF:
            self._heard_us = now_us

    def closed(self) -> None:
        """The capture is closed."""
        self._mistrust()
        self.ifindex = None

    def decide(self, look: Look) -> Decision:
        """What the interface is up to, and what to do about it."""
        before, self.condition = self.condition, self._condition(look)
        if self.condition is not before:
            self.since_us = look.now_us
        listened_us, gap_us = self._account(look)
        self._look_us, self._channel = look.now_us, look.channel
        if self.condition is Condition.LISTENING:
            self._reopen.reset()
            self._ask.reset()
        is_there = self.condition not in (Condition.GONE, Condition.NOT_MONITOR)
        return Decision(
            self.condition,
            closes=not is_there and self.ifindex is not None,
            opens=is_there and (look.ifindex != self.ifindex or self._is_reopening(look.now_us)),
            asks=self.condition not in SOUND and self._ask.is_due(self.since_us, look.now_us),
            listened_us=listened_us,
            gap_us=gap_us,
        )

    def _condition(self, look: Look) -> Condition:
        if look.ifindex is None:
            return Condition.GONE
        if look.link_type != ARPHRD_IEEE80211_RADIOTAP:
            return Condition.NOT_MONITOR
        if not look.is_up:
            return Condition.DOWN
        if self.condition not in SOUND + MUTE:
            self._sign_us = self._heard_us = look.now_us  # back: it is given its time anew
        if look.ifindex != self.ifindex:
            return Condition.WAITING
        return self._of_frames(look)

    def _of_frames(self, look: Look) -> Condition:
        """The condition of an interface that is as it should be."""
        if look.received or (look.frames and look.received is None):
            self._heard_us = look.now_us
        if look.frames:
            self._sign_us = look.now_us
            return Condition.DEAF if look.now_us - self._heard_us > self.deaf_s * SECOND_US else Condition.LISTENING
        if self.condition in MUTE or look.now_us - self._sign_us > self.silence_s * SECOND_US:
            return Condition.SILENT
        return Condition.WAITING if self._proved_us is None else Condition.LISTENING

    def _account(self, look: Look) -> tuple[dict[int, int], int | None]:
        """Time proved as listened, and the gap that ends with this look."""
        broke_off = self._broke_off(look)
        if broke_off or look.was_interrupted or self.condition not in SOUND:
            self._mistrust()
        if self.condition is not Condition.LISTENING:
            return {}, None
        if self._proved_us is not None:
            hop_us = min(max(look.channel_since_us, self._look_us), look.now_us)
            self._pass(self._channel, hop_us - self._look_us)
            self._pass(look.channel, look.now_us - hop_us)
        return self._prove(look.now_us) if look.frames else ({}, None)

    def _broke_off(self, look: Look) -> bool:
        """True where steady air has suddenly less than half its frames."""
        counts = self._counts
        floor = min(counts) if len(counts) >= STEADY_LOOKS else 0
        if look.channel != self._channel:
            counts.clear()
            if look.channel_since_us:
                floor = 0  # a plan went where there may be fewer; without one, it was the access point that went
        if look.now_us - self._look_us < STEADY_LOOK_US:
            return False
        broke_off = floor >= STEADY_FRAMES and 2 * look.frames < floor
        if broke_off:
            counts.clear()
        else:
            counts.append(look.frames)
        return broke_off

    def _pass(self, channel: int, passed_us: int) -> None:
        if passed_us:
            self._unproved_us[channel] = self._unproved_us.get(channel, 0) + passed_us

    def _prove(self, now_us: int) -> tuple[dict[int, int], int | None]:
        """A frame came: what was listened since the last proof is certain now."""
        if self._proved_us is not None and now_us - self._proved_us > self.silence_s * SECOND_US:
            self._mistrust()  # nobody looked for so long that nobody knows
        gap_us = now_us - self._gap_from_us if self._proved_us is None else None
        listened_us, self._unproved_us = self._unproved_us, {}
        self._proved_us = now_us
        return listened_us, gap_us

    def _mistrust(self) -> None:
        """What is not proved by now was not listened."""
        if self._proved_us is not None:
            self._gap_from_us = self._proved_us
        self._proved_us = None
        self._unproved_us = {}

    def _is_reopening(self, now_us: int) -> bool:
        """A capture that is mute is opened anew as soon as it is known to be, then after growing pauses."""
        return self.condition in MUTE and self._reopen.is_due(self.since_us - self._reopen.first_us, now_us)
