"""Scans: what a resolver keeps of decided bursts (core).

A phone scans channel after channel and may change its address on the way, so several bursts of one kind that follow each
other closely are one scan. Of its levels the strongest on each radio is kept: frames sent on a neighbouring channel leak
in 20 to 60 dB weaker, and how many of them are heard is chance, while the strongest of a still phone stays within 1 to 2 dB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.dot11.mac import is_randomised
from agent.tracking.bursts import Burst

SCAN_GAP_US = 600_000
"""Bursts of one scan follow each other within this."""
LONGEST_SCAN_US = 3_000_000
TOUCH_US = 20_000
"""Two bursts that overlap by more are not of one radio: it sends one frame at a time."""


class Scan:
    """Bursts of one scan. ``unit`` is what it was grouped into; ``into`` the scan that it turned out to be part of."""

    __slots__ = (
        "addresses",
        "first_us",
        "frames",
        "hardware",
        "into",
        "is_global",
        "kind",
        "last_us",
        "levels",
        "sequence_first",
        "sequence_last",
        "track",
        "unit",
    )

    def __init__(self, burst: Burst) -> None:
        self.first_us = burst.first_us
        self.last_us = burst.last_us
        self.frames = burst.frames
        self.addresses: tuple[bytes, ...] = (burst.address,)
        self.kind = min(fingerprint.kind for fingerprint in burst.fingerprints)
        self.hardware = next((f.capabilities for f in burst.fingerprints if not f.is_bare), None)
        """Capabilities that it named; None where it named rates only."""
        self.levels = burst.strongest()
        """Channel -> strongest level in dBm."""
        self.sequence_first = burst.sequence_first
        self.sequence_last = burst.sequence_last
        self.track = burst.track.number
        """As the tracker had it."""
        self.is_global = not is_randomised(burst.address)
        self.into: Scan | None = None
        self.unit: Unit | None = None

    def absorb(self, later: Scan) -> None:
        """``later`` is the same scan going on."""
        self.last_us = max(self.last_us, later.last_us)
        self.frames += later.frames
        self.addresses += later.addresses
        self.sequence_last = later.sequence_last
        self.hardware = self.hardware or later.hardware
        for channel, level in later.levels.items():
            if level > self.levels.get(channel, -256):
                self.levels[channel] = level
        later.into = self

    def goes_on_with(self, later: Scan) -> bool:
        """True where ``later``, the next of the family in time, is the same scan under another address."""
        return (
            -TOUCH_US <= later.first_us - self.last_us <= SCAN_GAP_US
            and later.last_us - self.first_us <= LONGEST_SCAN_US
            and later.kind == self.kind
            and later.addresses[0] not in self.addresses
            and not (self.is_global or later.is_global)
        )

    def device(self) -> int | None:
        """Number of the device that this scan was last resolved to."""
        scan = self
        while scan.into is not None:
            scan = scan.into
        return scan.unit.root().number if scan.unit is not None else None


class Unit:
    """Scans that are held to be one device, in order of time. ``number`` is set by the resolver."""

    __slots__ = ("evidence", "merged_into", "number", "scans")

    def __init__(self, scans: list[Scan]) -> None:
        self.scans = scans
        self.number: int | None = None
        self.merged_into: Unit | None = None
        self.evidence = 0.0
        for scan in scans:
            scan.unit = self

    def root(self) -> Unit:
        """The unit that this one became part of."""
        unit = self
        while unit.merged_into is not None:
            unit = unit.merged_into
        return unit


def gather(scans: Iterable[Scan]) -> Iterator[Scan]:
    """Bursts as scans of one family, joined where one scan went on under a new address. In order of time."""
    open_scan: Scan | None = None
    for scan in sorted(scans, key=lambda scan: (scan.first_us, scan.addresses)):
        if open_scan is not None and open_scan.goes_on_with(scan):
            open_scan.absorb(scan)
            continue
        if open_scan is not None:
            yield open_scan
        open_scan = scan
    if open_scan is not None:
        yield open_scan
