"""Batch <-> payload: columns in deterministic CBOR, deflated (core). SPEC.md sections 3 to 5 are the text.

Columns, dictionaries and deltas because what repeats then lies side by side, where deflate finds it, and because each column
can have a code of its own: a deflate block ends with each column.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agent.wire import cbor
from agent.wire.errors import BatchMalformed, CborError, MessageTooLarge, VersionUnknown
from agent.wire.limits import ACCEPTED_VERSIONS, LINK_BYTES, MAX_INFLATED_BYTES, MAX_SIGHTINGS, MAX_TEXT_BYTES
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

HEADER, LEDGER, WINDOWS, SIGHTINGS, COUNTS = 1, 2, 3, 4, 5
"""Keys of the payload's map."""
DEFLATE_LEVEL = 9
BLOCKS_FROM = 100
"""Sightings from which a code for each column saves more than it costs: 15 % at 10,000, nothing at 100, minus 20 % at 5."""
PSEUDONYM_BYTES = 8
MAX_INTEGER = (1 << 63) - 1
MAX_TIME_MS = 1 << 47
"""Year 6429; a time beyond it is damage."""
MAX_TENTHS = 100_000_000
LAST_CLOCK_STATE, LAST_LEGAL_MODE = max(ClockState), max(LegalMode)


def encode_batch(batch: Batch) -> bytes:
    """The payload of a batch: deflated CBOR. The same batch gives the same bytes."""
    value: dict[int, Any] = {HEADER: _header_map(batch.header), LEDGER: _ledger_map(batch.ledger), **batch.extra}
    if batch.windows:
        value[WINDOWS] = [_deltas(w.start_ms for w in batch.windows), *_estimate_columns(batch.windows)]
    if batch.sightings:
        value[SIGHTINGS] = _sighting_columns(batch.sightings, batch.header.window_start_ms)
    if batch.counts:
        zones = sorted({count.zone for count in batch.counts})
        value[COUNTS] = [
            zones,
            [zones.index(c.zone) for c in batch.counts],
            _deltas(c.start_ms for c in batch.counts),
            *_estimate_columns(batch.counts),
        ]
    parts = _parts(value)
    return deflate(parts if len(batch.sightings) >= BLOCKS_FROM else [b"".join(parts)])


def _parts(value: dict[int, Any]) -> list[bytes]:
    """The encoding of a payload's map, cut where one kind of number ends and another begins."""
    parts = []
    for key, part in zip([None, *sorted(value)], cbor.map_parts(value), strict=True):
        if key == SIGHTINGS:
            parts += [cbor.encode(SIGHTINGS), *cbor.map_parts(value[SIGHTINGS])]
        else:
            parts.append(part)
    return parts


def deflate(parts: Iterable[bytes]) -> bytes:
    """One zlib stream, its blocks ending where parts do, so that each part has a Huffman code of its own."""
    packer = zlib.compressobj(DEFLATE_LEVEL, strategy=zlib.Z_FILTERED)
    packed = bytearray()
    for part in parts:
        packed += packer.compress(part) + packer.flush(zlib.Z_BLOCK)
    return bytes(packed + packer.flush())


def decode_batch(payload: bytes) -> Batch:
    """The batch in a payload, by the access point's own CBOR. Raises WireError."""
    try:
        return batch_of(cbor.decode(inflate(payload)))
    except CborError as error:
        raise BatchMalformed(f"the payload is not deterministic CBOR: {error}") from error


def inflate(payload: bytes) -> bytes:
    """Inflate, never beyond MAX_INFLATED_BYTES. Raises MessageTooLarge or BatchMalformed."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(payload, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise BatchMalformed(f"the payload does not inflate: {error}") from error
    if inflater.unconsumed_tail:
        raise MessageTooLarge(f"the payload inflates to more than {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise BatchMalformed("the payload's deflate stream is cut short or followed by more")
    return data


def peek_header(payload: bytes, decode_first: Callable[[bytes], Any] | None = None) -> Header:
    """The header alone: ingest decides by it and leaves the rest to the consumer. Raises WireError.

    The payload's map is deterministic, so the header's key comes first and nothing behind it need be decoded. ``decode_first`` gives the
    CBOR value that its argument begins with, for clouds that have a faster decoder than ours.
    """
    data = inflate(payload)
    try:
        pairs, position = cbor.read_map_head(data)
        key, position = cbor.read_value(data, position)
        value = decode_first(data[position:]) if decode_first else cbor.read_value(data, position)[0]
    except CborError as error:
        raise BatchMalformed(f"the payload is not deterministic CBOR: {error}") from error
    if not pairs or key != HEADER:
        raise BatchMalformed("the payload's map does not begin with the header")
    return _header_of(_map(value, "header"))


def batch_of(value: Any) -> Batch:
    """The batch in a decoded CBOR map. Raises BatchMalformed or VersionUnknown. Keys that we do not know are kept in ``extra``."""
    fields = _map(value, "payload")
    header = _header_of(_map(fields.get(HEADER), "header"))
    ledger = _ledger_of(_map(fields.get(LEDGER), "ledger"))
    sightings = (
        _sightings_of(_map(fields[SIGHTINGS], "sightings"), header.window_start_ms) if SIGHTINGS in fields else ()
    )
    counts = _counts_of(fields[COUNTS]) if COUNTS in fields else ()
    if sightings and header.mode is LegalMode.COUNT:
        raise BatchMalformed("a batch of mode 'count' may hold no sightings")
    if counts and header.mode is not LegalMode.COUNT:
        raise BatchMalformed("only a batch of mode 'count' may hold counts by zone")
    windows = _windows_of(fields[WINDOWS]) if WINDOWS in fields else ()
    known = {HEADER, LEDGER, WINDOWS, SIGHTINGS, COUNTS}
    return Batch(
        header, ledger, windows, sightings, counts, {key: item for key, item in fields.items() if key not in known}
    )


# --- writing ----------------------------------------------------------------------------------------------------------


def _header_map(header: Header) -> dict[int, Any]:
    return {
        1: header.spec_version,
        2: header.agent,
        3: header.site,
        4: header.boot,
        5: header.batch,
        6: header.window_start_ms,
        7: header.window_end_ms - header.window_start_ms,
        8: int(header.clock),
        9: int(header.mode),
        10: header.key_epoch,
        11: header.config_hash,
        12: header.software,
    }


def _ledger_map(ledger: LedgerCounts) -> dict[int, Any]:
    every = {
        1: ledger.frames,
        2: ledger.probe_requests,
        3: dict(ledger.skipped),
        4: ledger.kernel_drops,
        5: ledger.rssi_rejected,
        6: ledger.fcs_unflagged,
        7: dict(ledger.listening_ms),
        8: ledger.evicted_batches,
        9: ledger.evicted_tracks,
    }
    return {key: value for key, value in every.items() if value}


def _deltas(times: Iterable[int]) -> list[int]:
    """The first as it is, each other as its difference to the one before."""
    result, last = [], 0
    for time in times:
        result.append(time - last)
        last = time
    return result


def _estimate_columns(estimates: Sequence[WindowEstimate | ZoneCount]) -> list[list[int]]:
    """Devices, low and high in tenths; low and high as distances from devices."""
    devices = [_tenths(e.devices) for e in estimates]
    low = [middle - _tenths(e.low) for middle, e in zip(devices, estimates, strict=True)]
    high = [_tenths(e.high) - middle for middle, e in zip(devices, estimates, strict=True)]
    return [devices, low, high]


def _tenths(value: float) -> int:
    return round(value * 10)


def _sighting_columns(sightings: Sequence[Sighting], start_ms: int) -> dict[int, Any]:
    references: dict[bytes, int] = {}
    sources: dict[str, int] = {}
    names = []
    for sighting in sightings:
        names.append(references.get(sighting.pseudonym, 0))
        references.setdefault(sighting.pseudonym, len(references) + 1)
        sources.setdefault(sighting.source, len(sources))
    firsts = _deltas([start_ms, *(s.first_ms for s in sightings)])[1:]
    return {
        0: len(sightings),
        1: b"".join(references),
        2: planes(names),
        3: planes([zigzag(first) for first in firsts]),
        4: planes([s.last_ms - s.first_ms for s in sightings]),
        5: planes([s.bursts for s in sightings]),
        6: planes([s.frames - s.bursts for s in sightings]),
        7: planes([-(s.rssi_median_dbm or 0) for s in sightings]),
        8: planes([_over(s.rssi_max_dbm, s.rssi_median_dbm) for s in sightings]),
        9: planes([0 if s.p_inside is None else s.p_inside + 1 for s in sightings]),
        10: planes([s.channel or 0 for s in sightings]),
        11: planes([int(s.address_kind) for s in sightings]),
        12: planes([sources[s.source] for s in sightings]),
        13: planes([s.confidence for s in sightings]),
        14: list(sources),
        **_link_columns(sightings),
    }


def _link_columns(sightings: Sequence[Sighting]) -> dict[int, Any]:
    """Which sightings have a link, and the links; nothing where none has."""
    links = [s.link for s in sightings if s.link is not None]
    return {15: planes([int(s.link is not None) for s in sightings]), 16: b"".join(links)} if links else {}


def _over(maximum: int | None, median: int | None) -> int:
    """What the strongest level lies above the median. Raises BatchMalformed for levels that no burst has."""
    if maximum is None and median is None:
        return 0
    if maximum is None or median is None or not median <= maximum < 0:
        raise BatchMalformed(f"levels of {maximum} and {median} dBm; a maximum is at least the median and below 0 dBm")
    return maximum - median


def planes(values: Sequence[int]) -> bytes:
    """A column of whole numbers from 0 as planes of bytes: the highest byte of each, then the next, as many as the largest needs.

    Each plane has its own statistics, which is what an entropy coder wants. Raises OverflowError for a number below 0.
    """
    width = max(1, (max(values, default=0).bit_length() + 7) // 8)
    rows = b"".join(value.to_bytes(width, "big") for value in values)
    return b"".join(rows[plane::width] for plane in range(width))


def zigzag(value: int) -> int:
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ...: small distances in both directions are small numbers."""
    return value * 2 if value >= 0 else -value * 2 - 1


# --- reading: every value is checked, because a signature says who wrote it, not that it is right ------------------------


def _map(value: Any, what: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise BatchMalformed(f"{what} is a {type(value).__name__}; it must be a map")
    return value


def _integer(value: Any, what: str, low: int = 0, high: int = MAX_INTEGER) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BatchMalformed(f"{what} must be a whole number from {low} to {high}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value.encode()) <= MAX_TEXT_BYTES:
        raise BatchMalformed(f"{what} must be text of 1 to {MAX_TEXT_BYTES} bytes")
    return value


def _bytes(value: Any, what: str, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise BatchMalformed(f"{what} must be {length} bytes")
    return value


def _column(value: Any, what: str, rows: int, low: int, high: int) -> list[int]:
    """A column of whole numbers, none of them null."""
    if not isinstance(value, Sequence) or isinstance(value, bytes | str) or len(value) != rows:
        raise BatchMalformed(f"column {what} must hold {rows} values")
    for item in value:
        if type(item) is not int or not low <= item <= high:
            raise BatchMalformed(f"column {what} must hold whole numbers from {low} to {high}")
    return list(value)


def _planes(value: Any, what: str, rows: int, high: int = MAX_INTEGER) -> list[int]:
    """The numbers of a column of planes, each 0 to ``high``."""
    if not isinstance(value, bytes) or not rows or len(value) % rows or not 0 < len(value) // rows <= 8:
        raise BatchMalformed(f"column {what} must be 1 to 8 planes of {rows} bytes")
    if len(value) > rows and not any(value[:rows]):
        raise BatchMalformed(f"column {what} has a plane more than its numbers need")
    numbers = list(value[:rows])
    for start in range(rows, len(value), rows):
        numbers = [number << 8 | octet for number, octet in zip(numbers, value[start : start + rows], strict=True)]
    if max(numbers) > high:
        raise BatchMalformed(f"column {what} must hold whole numbers from 0 to {high}")
    return numbers


def _rows(value: Any, what: str) -> int:
    if not isinstance(value, Sequence) or isinstance(value, bytes | str) or len(value) > MAX_SIGHTINGS:
        raise BatchMalformed(f"{what} must be columns of at most {MAX_SIGHTINGS} rows")
    return len(value)


def _header_of(fields: Mapping[Any, Any]) -> Header:
    version = fields.get(1)
    if version not in ACCEPTED_VERSIONS:
        raise VersionUnknown(f"batch version {version!r:.20}; we read {', '.join(map(str, ACCEPTED_VERSIONS))}")
    start_ms = _integer(fields.get(6), "window start", 0, MAX_TIME_MS)
    return Header(
        spec_version=version,
        agent=_text(fields.get(2), "agent"),
        site=_text(fields.get(3), "site"),
        boot=_bytes(fields.get(4), "boot id", 8),
        batch=_integer(fields.get(5), "batch number"),
        window_start_ms=start_ms,
        window_end_ms=start_ms + _integer(fields.get(7), "window length", 0, MAX_TIME_MS),
        clock=ClockState(_integer(fields.get(8), "clock state", 0, LAST_CLOCK_STATE)),
        mode=LegalMode(_integer(fields.get(9), "legal mode", 0, LAST_LEGAL_MODE)),
        key_epoch=_integer(fields.get(10), "key epoch", -1, 10_000_000),
        config_hash=_bytes(fields.get(11), "configuration hash", 8),
        software=_text(fields.get(12), "software"),
    )


def _ledger_of(fields: Mapping[Any, Any]) -> LedgerCounts:
    skipped = {
        _text(reason, "reason"): _integer(count, "count of a reason")
        for reason, count in _map(fields.get(3, {}), "skipped").items()
    }
    listening = {
        _integer(channel, "channel", 0, 255): _integer(ms, "listening time")
        for channel, ms in _map(fields.get(7, {}), "listening").items()
    }
    ledger = LedgerCounts(
        frames=_integer(fields.get(1, 0), "frames"),
        probe_requests=_integer(fields.get(2, 0), "probe requests"),
        skipped=skipped,
        kernel_drops=_integer(fields.get(4, 0), "kernel drops"),
        rssi_rejected=_integer(fields.get(5, 0), "rejected levels"),
        fcs_unflagged=_integer(fields.get(6, 0), "unflagged check sums"),
        listening_ms=listening,
        evicted_batches=_integer(fields.get(8, 0), "evicted batches"),
        evicted_tracks=_integer(fields.get(9, 0), "evicted tracks"),
    )
    if ledger.frames != ledger.probe_requests + sum(skipped.values()):
        raise BatchMalformed(
            f"the ledger does not close: {ledger.frames} frames are not {ledger.probe_requests} probe requests and {sum(skipped.values())} skipped"
        )
    return ledger


def _times(deltas: list[int], what: str) -> list[int]:
    result, time = [], 0
    for delta in deltas:
        time += delta
        if not 0 <= time <= MAX_TIME_MS:
            raise BatchMalformed(f"{what} leaves the range of times")
        result.append(time)
    return result


def _estimates(columns: Any, what: str) -> list[tuple[int, float, float, float]]:
    if not isinstance(columns, Sequence) or len(columns) != 4:
        raise BatchMalformed(f"{what} must be four columns")
    rows = _rows(columns[0], what)
    starts = _times(_column(columns[0], f"{what} start", rows, -MAX_TIME_MS, MAX_TIME_MS), what)
    devices, below, above = (_column(column, what, rows, 0, MAX_TENTHS) for column in columns[1:])
    return [
        (start, d / 10, (d - b) / 10, (d + a) / 10)
        for start, d, b, a in zip(starts, devices, below, above, strict=True)
    ]


def _windows_of(columns: Any) -> tuple[WindowEstimate, ...]:
    return tuple(WindowEstimate(*row) for row in _estimates(columns, "windows"))


def _counts_of(columns: Any) -> tuple[ZoneCount, ...]:
    if (
        not isinstance(columns, Sequence)
        or len(columns) != 6
        or not isinstance(columns[0], Sequence)
        or not 0 < len(columns[0]) <= 16
    ):
        raise BatchMalformed("counts must be six columns, the first naming the zones")
    zones = [_text(zone, "zone") for zone in columns[0]]
    estimates = _estimates(columns[2:], "counts")
    places = _column(columns[1], "zone", len(estimates), 0, len(zones) - 1)
    return tuple(ZoneCount(start, zones[place], *rest) for place, (start, *rest) in zip(places, estimates, strict=True))


def _sightings_of(columns: Mapping[Any, Any], start_ms: int) -> tuple[Sighting, ...]:
    rows = _integer(columns.get(0), "number of sightings", 1, MAX_SIGHTINGS)
    pseudonyms = _pseudonyms(columns.get(1), _planes(columns.get(2), "pseudonym", rows, MAX_SIGHTINGS))
    if not isinstance(columns.get(14), Sequence) or not 0 < len(columns[14]) <= 16:
        raise BatchMalformed("sightings must name 1 to 16 sources")
    sources = [_text(source, "source") for source in columns[14]]
    zigzags = _planes(columns.get(3), "first", rows, 2 * MAX_TIME_MS)
    firsts = _times([start_ms, *(z // 2 if z % 2 == 0 else -(z // 2) - 1 for z in zigzags)], "first")[1:]
    durations = _planes(columns.get(4), "duration", rows, MAX_TIME_MS)
    bursts = _planes(columns.get(5), "bursts", rows)
    frames = _planes(columns.get(6), "frames", rows)
    medians = _planes(columns.get(7), "median level", rows, 128)
    overs = _planes(columns.get(8), "maximum level", rows, 127)
    shares = _planes(columns.get(9), "p_inside", rows, 101)
    channels = _planes(columns.get(10), "channel", rows, 255)
    kinds = _planes(columns.get(11), "address kind", rows, max(AddressKind))
    places = _planes(columns.get(12), "source", rows, len(sources) - 1)
    confidences = _planes(columns.get(13), "confidence", rows, 100)
    links = _links(columns, rows)
    return tuple(
        Sighting(
            pseudonym=pseudonyms[row],
            first_ms=firsts[row],
            last_ms=firsts[row] + durations[row],
            bursts=bursts[row],
            frames=frames[row] + bursts[row],
            rssi_max_dbm=_maximum(medians[row], overs[row]),
            rssi_median_dbm=-medians[row] or None,
            p_inside=shares[row] - 1 if shares[row] else None,
            channel=channels[row] or None,
            address_kind=AddressKind(kinds[row]),
            source=sources[places[row]],
            confidence=confidences[row],
            link=links[row],
        )
        for row in range(rows)
    )


def _links(columns: Mapping[Any, Any], rows: int) -> list[bytes | None]:
    """The link of each sighting, None where it has none."""
    if 15 not in columns and 16 not in columns:
        return [None] * rows
    has_link = _planes(columns.get(15), "link", rows, 1)
    links = _bytes(columns.get(16), "the links", LINK_BYTES * sum(has_link))
    if not links:
        raise BatchMalformed("links are announced, and there is none")
    pieces = (links[at : at + LINK_BYTES] for at in range(0, len(links), LINK_BYTES))
    return [next(pieces) if has else None for has in has_link]


def _maximum(median: int, over: int) -> int | None:
    """The strongest level from the median's distance below 0 dBm and what it lies above it."""
    if over >= median and (over or median):
        raise BatchMalformed("a maximum level must be below 0 dBm, and none may stand without a median")
    return over - median or None


def _pseudonyms(dictionary: Any, references: list[int]) -> list[bytes]:
    """0 is the dictionary's next entry, n its n-th, which must have come before."""
    if not isinstance(dictionary, bytes) or len(dictionary) % PSEUDONYM_BYTES:
        raise BatchMalformed(f"the pseudonyms must be a byte string of {PSEUDONYM_BYTES} bytes each")
    known = [dictionary[at : at + PSEUDONYM_BYTES] for at in range(0, len(dictionary), PSEUDONYM_BYTES)]
    used = 0
    result = []
    for reference in references:
        if reference == 0:
            used += 1
            reference = used
        if reference > used or used > len(known):
            raise BatchMalformed("a pseudonym is referred to before it was named")
        result.append(known[reference - 1])
    if used != len(known):
        raise BatchMalformed(f"{len(known)} pseudonyms are named, {used} used")
    return result
