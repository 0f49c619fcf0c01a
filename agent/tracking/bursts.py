"""Bursts and tracks: what the tracker keeps of the air (core). Slots, because there are thousands of them on an access point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.dot11.mac import is_randomised
from agent.tracking.rhythm import Beat
from agent.wire.model import AddressKind

if TYPE_CHECKING:
    from agent.proximity import ZoneState
    from agent.tracking.fingerprint import Fingerprint
    from agent.tracking.scans import Scan

BODIES_A_BURST = 8
"""A scan asks for several networks, so its bodies differ; more than this say nothing new about the phone."""


class Burst:
    """Probe requests of one scan from one address. ``track`` is set when the burst is decided."""

    __slots__ = (
        "address",
        "bodies",
        "channel",
        "channels",
        "fingerprint",
        "fingerprints",
        "first_us",
        "frames",
        "is_associated",
        "last_us",
        "p_inside",
        "rssi",
        "scan",
        "sequence_first",
        "sequence_last",
        "track",
    )

    def __init__(self, address: bytes, time_us: int, sequence: int | None) -> None:
        self.address = address
        self.first_us = time_us
        self.last_us = time_us
        self.frames = 0
        self.rssi: list[int] = []
        """Plausible levels in dBm, one for each frame that had one."""
        self.channel: int | None = None
        self.channels: list[int | None] = []
        """On which channel each of the levels was heard."""
        self.bodies: list[bytes | None] = []
        self.fingerprint = 0
        """Kind of its first body that has one, 0 where none has. Set, like the next, when the burst is decided."""
        self.fingerprints: tuple[Fingerprint, ...] = ()
        """Of all bodies that have one."""
        self.sequence_first = sequence
        self.sequence_last = sequence
        self.track: Track
        self.p_inside: float | None = None
        self.is_associated = False
        """True where the source knows the device as joined to the network."""
        self.scan: Scan | None = None
        """Where a resolver keeps it."""

    def strongest(self) -> dict[int, int]:
        """Channel -> strongest level in dBm."""
        strongest: dict[int, int] = {}
        for channel, level in zip(self.channels, self.rssi, strict=True):
            if level > strongest.get(channel or 0, -256):
                strongest[channel or 0] = level
        return strongest

    def device(self) -> int:
        """Number of the device behind it: as resolved where a resolver has it, else its track's, below zero."""
        resolved = self.scan.device() if self.scan is not None else None
        return -1 - self.track.number if resolved is None else resolved

    def loudest(self) -> int | None:
        """The strongest level in dBm: it stays within 1 to 2 dB over a still phone's scans, where the median is of as many leaked
        frames as chance had it."""
        return max(self.rssi, default=None)

    def level(self) -> int | None:
        """Median of the levels in dBm, the lower of the middle two."""
        levels = sorted(self.rssi)
        return levels[(len(levels) - 1) // 2] if levels else None


class Track:
    """Bursts that are held to be one device."""

    __slots__ = (
        "beat",
        "bursts",
        "certainty",
        "confidence",
        "first_us",
        "head",
        "inside",
        "kind",
        "last_us",
        "level",
        "number",
        "pseudonym",
        "sequence_last",
    )

    def __init__(self, number: int, burst: Burst, certainty: float) -> None:
        self.number = number
        self.head = burst.address
        """Address of the first burst; the pseudonym is made from it."""
        self.kind = AddressKind.RANDOMISED if is_randomised(burst.address) else AddressKind.GLOBAL
        self.first_us = burst.first_us
        self.last_us = burst.last_us
        self.bursts = 1
        self.beat = Beat()
        self.level: float | None = burst.loudest()
        self.sequence_last = burst.sequence_last
        self.certainty = certainty
        """Mean probability that each burst belongs here and nowhere else, 0..1."""
        self.confidence = round(100 * certainty)
        self.pseudonym: bytes | None = None
        self.inside: ZoneState | None = None
