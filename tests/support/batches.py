"""Batches for tests: small ones by hand, arbitrary ones by hypothesis, signed ones."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st

from agent.wire.codec import encode_batch
from agent.wire.cose import sign_message
from agent.wire.model import (
    AddressKind,
    Batch,
    ClockState,
    Header,
    LedgerCounts,
    LegalMode,
    Sighting,
    WindowEstimate,
    ZoneCount,
)

START_MS = 1_700_000_010_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""A key for tests alone; RFC 8032's seeds are no better and longer to write."""


def header(**changes: object) -> Header:
    """A header like one of a replay."""
    usual = Header(
        1,
        "ap-test",
        "shop",
        b"bootboot",
        0,
        START_MS,
        START_MS + 30_000,
        ClockState.REPLAY,
        LegalMode.DAY,
        19_675,
        b"confhash",
        "0.1.0",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def sighting(number: int = 1, first_ms: int = START_MS, **changes: object) -> Sighting:
    """A sighting of device ``number``."""
    usual = Sighting(
        number.to_bytes(8, "big"), first_ms, first_ms + 500, 1, 4, -58, -60, 75, 6, AddressKind.RANDOMISED, "pcap", 90
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def batch(*sightings: Sighting, frames: int = 10, **changes: object) -> Batch:
    """A batch of these sightings, with one window."""
    many = float(len(sightings))
    windows = (WindowEstimate(START_MS, many, many, many + 1),) if sightings else ()
    return Batch(header(**changes), LedgerCounts(frames, frames, listening_ms={0: 30_000}), windows, sightings)


def signed(content: Batch, key: Ed25519PrivateKey = KEY) -> bytes:
    """The message of a batch."""
    return sign_message(encode_batch(content), content.header.agent, key.sign)


levels = st.none() | st.tuples(st.integers(-110, -1), st.integers(-110, -1)).map(sorted)
sightings = st.builds(
    Sighting,
    pseudonym=st.integers(0, 30).map(lambda n: n.to_bytes(8, "big")),
    first_ms=st.integers(START_MS - 10_000, START_MS + 3_600_000),
    last_ms=st.just(0),
    bursts=st.integers(1, 50),
    frames=st.integers(50, 5000),
    rssi_max_dbm=levels,
    rssi_median_dbm=st.none(),
    p_inside=st.none() | st.integers(0, 100),
    channel=st.none() | st.integers(1, 233),
    address_kind=st.sampled_from(AddressKind),
    source=st.sampled_from(["pcap", "monitor", "hostapd"]),
    confidence=st.integers(0, 100),
    link=st.none() | st.integers(0, 30).map(lambda n: n.to_bytes(4, "big")),
).map(
    lambda s: replace(
        s,
        last_ms=s.first_ms + s.frames,
        rssi_median_dbm=s.rssi_max_dbm and s.rssi_max_dbm[0],
        rssi_max_dbm=s.rssi_max_dbm and s.rssi_max_dbm[1],
    )
)
tenths = st.integers(0, 5000).map(lambda n: n / 10)
estimates = st.tuples(tenths, tenths, tenths).map(sorted)
windows = st.builds(lambda start, e: WindowEstimate(start, e[1], e[0], e[2]), st.integers(0, 1 << 40), estimates)
counts = st.builds(
    lambda start, zone, e: ZoneCount(start, zone, e[1], e[0], e[2]),
    st.integers(0, 1 << 40),
    st.sampled_from(["inside", "outside"]),
    estimates,
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Any batch that SPEC.md allows."""
    mode = draw(st.sampled_from([LegalMode.COUNT, LegalMode.DAY]))
    skipped = draw(
        st.dictionaries(st.sampled_from(["bad_fcs", "not_probe_request"]), st.integers(1, 1 << 40), max_size=2)
    )
    probes = draw(st.integers(0, 1 << 40))
    ledger = LedgerCounts(
        probes + sum(skipped.values()),
        probes,
        skipped,
        *(draw(st.integers(0, 1000)) for _ in range(3)),
        draw(st.dictionaries(st.integers(0, 233), st.integers(1, 3_600_000), max_size=4)),
        *(draw(st.integers(0, 1000)) for _ in range(2)),
    )
    is_count = mode is LegalMode.COUNT
    return Batch(
        header(
            mode=mode,
            batch=draw(st.integers(0, 1 << 40)),
            clock=draw(st.sampled_from(ClockState)),
            key_epoch=draw(st.integers(-1, 40_000)),
        ),
        ledger,
        tuple(draw(st.lists(windows, max_size=4))),
        ()
        if is_count
        else tuple(sorted(draw(st.lists(sightings, max_size=8)), key=lambda s: (s.first_ms, s.pseudonym))),
        tuple(draw(st.lists(counts, max_size=4))) if is_count else (),
        draw(st.dictionaries(st.integers(6, 20), st.integers(0, 9), max_size=2)),
    )
