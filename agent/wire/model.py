"""What a batch says, as frozen dataclasses (core; imports nothing of ours). SPEC.md is normative, this is its reading.

Times are epoch milliseconds, levels dBm, shares 0..100. None is "the source cannot know", never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum, IntEnum
from typing import Any


class AddressKind(IntEnum):
    """Which kind of address a device showed. Source: IEEE 802.11-2020 9.2.4.3 and IEEE 802-2014 8.2 (U/L bit)."""

    GLOBAL = 0
    RANDOMISED = 1
    ASSOCIATED = 2


class ClockState(IntEnum):
    """What the agent's wall clock was worth while the window ran."""

    SYNCED = 0
    UNSYNCED = 1
    REPLAY = 2
    """Times come from a capture; the cloud exempts them from its clock limits where the site allows replays."""


class LegalMode(IntEnum):
    """The legal mode the agent ran in (DESIGN section 6; docs/glossary.md)."""

    COUNT = 0
    DAY = 1
    CONSENT = 2


@dataclass(frozen=True, slots=True)
class Sighting:
    """One track in one window."""

    pseudonym: bytes
    """8 bytes."""
    first_ms: int
    last_ms: int
    bursts: int
    frames: int
    rssi_max_dbm: int | None
    rssi_median_dbm: int | None
    p_inside: int | None
    """Probability of being inside, 0..100."""
    channel: int | None
    address_kind: AddressKind
    source: str
    """Name of the source that heard it: 'monitor', 'hostapd', 'pcap'."""
    confidence: int
    """How sure the agent is that the track is one device and all of it, 0..100."""
    link: bytes | None = None
    """4 bytes by which another access point of the site knows the device again: the smallest beginning of a pseudonym that one of the
    addresses heard in the window has or would have. None where that is the pseudonym's own, or the site has one access point."""


@dataclass(frozen=True, slots=True)
class WindowEstimate:
    """How many devices a window held, with an honest 90 % interval."""

    start_ms: int
    devices: float
    """To one decimal, like low and high: the wire carries tenths."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ZoneCount:
    """Mode ``count``: devices of one window in one zone, with a 90 % interval. There is no per-device record."""

    start_ms: int
    zone: str
    """'inside' or 'outside'."""
    devices: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """Every frame accounted for since the batch before: frames == probe_requests + sum(skipped.values())."""

    frames: int
    probe_requests: int
    skipped: dict[str, int] = field(default_factory=dict)
    kernel_drops: int = 0
    rssi_rejected: int = 0
    fcs_unflagged: int = 0
    listening_ms: dict[int, int] = field(default_factory=dict)
    """Milliseconds heard, by channel; key 0 is 'channel unknown'."""
    evicted_batches: int = 0
    evicted_tracks: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """Who made the batch, when, in which mode and with which configuration."""

    spec_version: int
    agent: str
    site: str
    boot: bytes
    """8 bytes, new at every start of the agent."""
    batch: int
    """Counts from 0 within a boot."""
    window_start_ms: int
    window_end_ms: int
    clock: ClockState
    mode: LegalMode
    key_epoch: int
    """Day number of the pseudonym key (days since 1970-01-01 in UTC); never a key."""
    config_hash: bytes
    """First 8 bytes of BLAKE2s over the canonical configuration."""
    software: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one COSE_Sign1 message carries."""

    header: Header
    ledger: LedgerCounts
    windows: tuple[WindowEstimate, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    counts: tuple[ZoneCount, ...] = ()
    extra: dict[int, Any] = field(default_factory=dict)
    """Fields of the payload that this version does not know, kept as they came."""


def plain(value: Any) -> Any:
    """A batch, or a part of one, as JSON and YAML can show it: bytes in hex, words for the enumerations."""
    if is_dataclass(value):
        # A field that came later (its default is None) and says nothing is left out, as on the wire: released vectors do not know it.
        named = [(f, getattr(value, f.name)) for f in fields(value)]
        return {f.name: plain(item) for f, item in named if item is not None or f.default is not None}
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
