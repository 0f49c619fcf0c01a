"""Tracks x time windows: what one window says of each device, or, in mode ``count``, of each zone (core).

There is one class for each legal mode, and the mode picks the class once, at the start: in mode ``count`` there is no
code that could yield a record of one device (DESIGN section 6).

A burst belongs to the window in which it was decided, so a sighting's first frame may lie up to the longest burst
(``tracking.max_burst_ms``) before the window's start. Waiting for it instead would make every figure later by as much.
"""

from __future__ import annotations

from agent.proximity import Zone
from agent.tracking.bursts import Burst
from agent.tracking.tracker import DeviceEstimate
from agent.wire.limits import LINK_BYTES
from agent.wire.model import AddressKind, Sighting, WindowEstimate, ZoneCount

UNPLACED = "unplaced"
"""Zone of devices whose every burst came without a level; in mode ``day`` their p_inside is null."""
MOST_DEVICES = 4000
"""In one window, where nothing else is asked for (``tracking.max_tracks``). The tracker keeps no more either and counts what it gave up
(``evicted_tracks``); without it addresses made up by the thousand would fill the memory until the window's end."""
PERCENT_STEP = 5
"""Neither probability is known to a percent; steps of five say so, and take half the bytes."""


def in_steps(percent: float) -> int:
    """``percent`` (0..100) to the nearest step."""
    return PERCENT_STEP * round(percent / PERCENT_STEP)


class _Device:
    """What one track said so far in the open window."""

    __slots__ = (
        "bursts",
        "channel",
        "confidence",
        "first_us",
        "frames",
        "kind",
        "last_us",
        "link",
        "p_inside",
        "placed",
        "rssi",
    )

    def __init__(self, burst: Burst) -> None:
        self.first_us = burst.first_us
        self.last_us = burst.last_us
        self.bursts = 0
        self.frames = 0
        self.rssi: list[int] = []
        self.p_inside = 0.0
        self.placed = 0
        self.channel: int | None = None
        self.kind = AddressKind.RANDOMISED
        self.confidence = 0
        self.link: bytes | None = None


class DayWindow:
    """Mode ``day``: one sighting for each pseudonym heard in the window."""

    __slots__ = ("_devices", "_most", "_source")

    def __init__(self, source: str, most: int = MOST_DEVICES) -> None:
        self._source = source
        self._most = most
        self._devices: dict[bytes, _Device] = {}

    def add(self, burst: Burst, p_inside: float | None, zone: Zone | None, link: bytes | None = None) -> None:
        """Take in a decided burst; ``burst.track.pseudonym`` is set. ``p_inside`` is a share 0..1, None without a level, ``link`` the
        beginning of the pseudonym of the burst's own address, where other access points are to know it."""
        track = burst.track
        pseudonym = track.pseudonym
        if pseudonym is None:
            raise ValueError("a track reached a window of mode 'day' without a pseudonym")
        device = self._devices.get(pseudonym)
        if device is None:
            if len(self._devices) >= self._most:
                return
            device = self._devices[pseudonym] = _Device(burst)
        if burst.first_us < device.first_us:
            device.first_us = burst.first_us
        if burst.last_us > device.last_us:
            device.last_us = burst.last_us
        device.bursts += 1
        device.frames += burst.frames
        device.rssi += burst.rssi
        if p_inside is not None:
            device.p_inside += p_inside
            device.placed += 1
        if burst.channel is not None:
            device.channel = burst.channel
        if link is not None and (device.link is None or link < device.link):
            device.link = link
        device.kind = track.kind
        device.confidence = track.confidence

    def is_empty(self) -> bool:
        """True where nothing was heard in the window."""
        return not self._devices

    def close(
        self, start_ms: int, estimate: DeviceEstimate
    ) -> tuple[list[Sighting], list[WindowEstimate], list[ZoneCount]]:
        """The window's sightings in order of their first frame, and its estimate. The window is empty afterwards."""
        sightings = [self._sighting(pseudonym, device) for pseudonym, device in self._devices.items()]
        sightings.sort(key=lambda sighting: (sighting.first_ms, sighting.pseudonym))
        self._devices = {}
        return (
            sightings,
            [WindowEstimate(start_ms, round(estimate.devices, 1), round(estimate.low, 1), round(estimate.high, 1))],
            [],
        )

    def _sighting(self, pseudonym: bytes, device: _Device) -> Sighting:
        return Sighting(
            pseudonym=pseudonym,
            first_ms=device.first_us // 1000,
            last_ms=device.last_us // 1000,
            bursts=device.bursts,
            frames=device.frames,
            rssi_max_dbm=max(device.rssi) if device.rssi else None,
            rssi_median_dbm=sorted(device.rssi)[(len(device.rssi) - 1) // 2] if device.rssi else None,
            p_inside=in_steps(100 * device.p_inside / device.placed) if device.placed else None,
            channel=device.channel,
            address_kind=device.kind,
            source=self._source,
            confidence=in_steps(device.confidence),
            link=None if device.link == pseudonym[:LINK_BYTES] else device.link,
        )


class CountWindow:
    """Mode ``count``: how many devices were inside and outside, and nothing of any one of them."""

    __slots__ = ("_most", "_zones")

    def __init__(self, source: str, most: int = MOST_DEVICES) -> None:
        del source  # not one word of a count says which device or radio it came from
        self._most = most
        self._zones: dict[int, Zone | None] = {}

    def add(self, burst: Burst, p_inside: float | None, zone: Zone | None, link: bytes | None = None) -> None:
        """Take in a decided burst. The track's number is kept until the window closes, never its address."""
        del p_inside, link
        if len(self._zones) >= self._most and burst.track.number not in self._zones:
            return
        self._zones[burst.track.number] = zone or self._zones.get(burst.track.number)

    def is_empty(self) -> bool:
        """True where nothing was heard in the window."""
        return not self._zones

    def close(
        self, start_ms: int, estimate: DeviceEstimate
    ) -> tuple[list[Sighting], list[WindowEstimate], list[ZoneCount]]:
        """The window's counts by zone. The agent's estimate is shared out as the placed tracks are; the window is empty afterwards."""
        placed = len(self._zones)
        counts = []
        for zone in (*Zone, *([None] if None in self._zones.values() else [])):
            share = sum(1 for z in self._zones.values() if z is zone) / placed if placed else 0.0
            counts.append(
                ZoneCount(
                    start_ms,
                    zone.value if zone else UNPLACED,
                    round(estimate.devices * share, 1),
                    round(estimate.low * share, 1),
                    round(estimate.high * share, 1),
                )
            )
        self._zones = {}
        return [], [], counts
