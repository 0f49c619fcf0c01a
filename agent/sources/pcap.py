"""Captures as a source of frames: pcap and pcapng, plain or gzip'd, from files or standard input (shell).

Several captures are one air: their frames come out merged by time. A capture that breaks off gives all its whole frames
and one line in ``troubles`` that says where; the caller decides what that is worth (the commands exit 4).

Sources: tcpdump.org "pcap-savefile(5)"; IETF draft-ietf-opsawg-pcapng-02 (blocks 3.2, section header 4.1, interface
description 4.2, enhanced and simple packet 4.3, 4.4, interface statistics 4.6; the obsolete packet block, appendix A).
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, Self

from agent.dot11.captured import CapturedFrame, Tick
from agent.dot11.decoder import LINK_TYPES
from agent.sources.errors import CaptureEmpty, CaptureMissing, LinkTypeUnknown, NotACapture, SourceError

if TYPE_CHECKING:
    from agent.config import SourceSection

DAY_US = 86_400_000_000
READ_BYTES = 65536
READ_BYTES_AMONG_MANY = 8192
"""With many captures open at once, small buffers keep the memory of an access point."""
FRAME_BYTES_MAX = 262_144
"""Longest record that tcpdump itself accepts (MAXIMUM_SNAPLEN); a longer one is damage."""

PCAP_MAGICS: dict[bytes, tuple[str, int]] = {
    b"\xd4\xc3\xb2\xa1": ("<", 1),
    b"\xa1\xb2\xc3\xd4": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1000),
}
"""First bytes -> (byte order, units of the record's time fraction in a microsecond)."""
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
GZIP_MAGIC = b"\x1f\x8b"
STANDARD_INPUT = "standard input"
IDENTITY_BYTES = 4096
"""Of a capture's head: hundreds of times and levels, which two captures do not share."""
FILE_HEADER = Struct("IHHiIII")
BLOCK_BYTES_MAX = 16 << 20
"""Longest pcapng block that we take for one; name-resolution blocks may be long, captured frames are not."""

SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, INTERFACE_STATISTICS, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 5, 6
OPTION_END, OPTION_RESOLUTION, OPTION_OFFSET = 0, 9, 14
DROPS_MAX = 1 << 40
"""More than that nobody loses between two looks; it is damage, or an "unknown" written as -1."""
OPTIONS_DROPPED = (5, 7)
"""isb_ifdrop and isb_osdrop: frames for which the interface, or the system, had no room since the capture began."""


class PcapSource:
    """Frames of one or more captures, merged by time; ties in the order in which the captures were given.

    ``paths`` are file names, or "-" for standard input. The head of every capture is read at once, so a file that is
    missing, empty or no capture raises SourceError before the first frame. ``troubles`` fills while frames are read.
    ``onto_day`` (days since 1970-01-01) lays every capture onto that day, each at its own time of day in UTC.
    """

    def __init__(self, paths: Sequence[str | Path], onto_day: int | None = None) -> None:
        if not paths:
            raise SourceError(
                "no capture was given; name at least one pcap or pcapng file, or - for standard input; "
                "to hear the air, set source.name to monitor or hostapd"
            )
        self.troubles: list[str] = []
        size = READ_BYTES if len(paths) == 1 else READ_BYTES_AMONG_MANY
        self._captures = [_Capture(str(path), number, size, self.troubles) for number, path in enumerate(paths)]
        self._onto_day = onto_day

    @classmethod
    def from_config(cls, section: SourceSection) -> Self:
        """The captures of ``source.paths``. Raises SourceError."""
        return cls(section.paths)

    def __iter__(self) -> Iterator[CapturedFrame | Tick]:
        """The frames, and at the end a tick with what the captures say that they lost, where they say so."""
        frames = self._frames_of(self._captures[0]) if len(self._captures) == 1 else self._merged()
        return self._with_drops(frames) if any(capture.is_pcapng for capture in self._captures) else frames

    def _with_drops(self, frames: Iterator[CapturedFrame]) -> Iterator[CapturedFrame | Tick]:
        last: CapturedFrame | None = None
        for last in frames:
            yield last
        drops = self._drops()
        if drops and last is not None:
            yield Tick(last.time_us, (), (("kernel_drops", drops),))

    def _drops(self) -> int:
        return sum(capture.drops for capture in self._captures)

    def _frames_of(self, capture: _Capture) -> Iterator[CapturedFrame]:
        return capture.frames() if self._onto_day is None else laid_onto_day(capture.frames(), self._onto_day)

    def identity(self) -> list[bytes]:
        """What tells these captures from others: the head of each, and its size where it is a file."""
        day = [] if self._onto_day is None else [str(self._onto_day).encode()]
        return [capture.identity() for capture in self._captures] + day

    def losses(self) -> dict[str, int]:
        """Captures that broke off, of which nobody can say how many frames they lost, and frames that pcapng captures count as lost."""
        found = {"capture_truncated": len(self.troubles), "kernel_drops": self._drops()}
        return {reason: count for reason, count in found.items() if count}

    def close(self) -> None:
        """Close every capture."""
        for capture in self._captures:
            capture.close()

    def _merged(self) -> Iterator[CapturedFrame]:
        """Merge by time. While one capture is alone in front it is read straight on, which is how captures mostly lie."""
        heap: list[tuple[int, int]] = []
        readers: dict[int, tuple[Iterator[CapturedFrame], CapturedFrame]] = {}
        for capture in self._captures:
            frames = self._frames_of(capture)
            first = next(frames, None)
            if first is not None:
                readers[capture.number] = (frames, first)
                heap.append((first.time_us, capture.number))
        heapify(heap)
        while heap:
            number = heap[0][1]
            frames, frame = readers[number]
            behind = min(heap[1:3], default=None)
            limit = behind or (sys.maxsize, 0)
            current: CapturedFrame | None = frame
            while current is not None and (current[1], number) < limit:
                yield current
                current = next(frames, None)
            if current is None:
                heappop(heap)
            else:
                readers[number] = (frames, current)
                heapreplace(heap, (current[1], number))


def laid_onto_day(frames: Iterator[CapturedFrame], day: int) -> Iterator[CapturedFrame]:
    """The frames moved by whole days, so that the first lies on ``day`` (days since 1970-01-01, UTC)."""
    shift_us: int | None = None
    for frame in frames:
        if shift_us is None:
            shift_us = (day - frame.time_us // DAY_US) * DAY_US
        yield frame._replace(time_us=frame.time_us + shift_us)


class _Capture:
    """One capture, read front to back through a buffer of a few KiB."""

    def __init__(self, path: str, number: int, read_bytes: int, troubles: list[str]) -> None:
        self.name = STANDARD_INPUT if path == "-" else path
        self.number = number
        self._read_bytes = read_bytes
        self._troubles = troubles
        self.drops = 0
        """Frames that whoever captured had no room for, as far as read and as far as the capture says (pcapng)."""
        self._read_so_far = 0
        self._broken = ""
        self._buffer = b""
        try:
            plain = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115 - closed in close()
            packed = plain.peek(2)[:2] == GZIP_MAGIC  # type: ignore[union-attr]  # both are BufferedReader
        except OSError as error:
            raise CaptureMissing(
                f"{self.name}: cannot be read ({error.strerror}); name a pcap or pcapng file that exists"
            ) from error
        self._stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=plain) if packed else plain
        while len(self._buffer) < FILE_HEADER.size and self._more():
            pass
        self._check_head()
        self.is_pcapng = self._buffer[:4] == PCAPNG_MAGIC

    def identity(self) -> bytes:
        """The first bytes, and the size where it is a file. To be asked before the first frame is read."""
        while len(self._buffer) < IDENTITY_BYTES and self._more():
            pass
        size = 0 if self.name == STANDARD_INPUT else Path(self.name).stat().st_size
        return self._buffer[:IDENTITY_BYTES] + size.to_bytes(8, "big")

    def frames(self) -> Iterator[CapturedFrame]:
        """The frames, in the order of the file."""
        return self._pcapng_frames() if self.is_pcapng else self._pcap_frames()

    def close(self) -> None:
        if self._stream is not sys.stdin.buffer:
            self._stream.close()

    def _check_head(self) -> None:
        head = self._buffer
        if not head and not self._broken:
            raise CaptureEmpty(
                f"{self.name}: is empty (0 bytes); a capture has at least a {FILE_HEADER.size}-byte header"
            )
        if head[:4] == PCAPNG_MAGIC:
            return
        if head[:4] not in PCAP_MAGICS:
            raise NotACapture(
                f"{self.name}: is no capture: it begins with {head[:4].hex(' ')}; we read pcap and pcapng, plain or gzip'd"
            )
        if len(head) < FILE_HEADER.size:
            raise NotACapture(
                f"{self.name}: ends inside the file header, after {len(head)} of {FILE_HEADER.size} bytes; capture it again"
            )
        order, _ = PCAP_MAGICS[head[:4]]
        # The lower 16 bits; above them stand flags about the FCS that no capturing program of the field sets.
        self._link_type = Struct(order + "I").unpack_from(head, 20)[0] & 0xFFFF
        if self._link_type not in LINK_TYPES:
            raise self._unknown(self._link_type)

    def _unknown(self, link_type: int) -> LinkTypeUnknown:
        known = ", ".join(f"{number} ({name})" for number, (name, _) in sorted(LINK_TYPES.items()))
        return LinkTypeUnknown(
            f"{self.name}: link type {link_type} holds no 802.11 frames; we read {known}; capture on a monitor interface"
        )

    # --- bytes ---------------------------------------------------------------------------------------------------

    def _more(self) -> bool:
        """Append what can be read in one go to the buffer. False at the end, or where a gzip stream breaks off."""
        if self._broken:
            return False
        try:
            read = self._stream.read1(self._read_bytes)  # type: ignore[union-attr]
        except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
            self._broken = f" ({error})"
            return False
        self._buffer += read
        self._read_so_far += len(read)
        return bool(read)

    def _breaks_off(self, left: int, wanted: str) -> None:
        """Record that the capture ends ``left`` bytes into something unfinished."""
        at = self._read_so_far - left
        self._troubles.append(
            f"{self.name}: breaks off at byte {at}: {left} bytes are left where {wanted}{self._broken}; all frames before it were used"
        )

    # --- pcap ----------------------------------------------------------------------------------------------------

    def _pcap_frames(self) -> Iterator[CapturedFrame]:
        order, units = PCAP_MAGICS[self._buffer[:4]]
        record = Struct(order + "IIII")
        unpack, head, link_type, number = record.unpack_from, record.size, self._link_type, self.number
        make, frame_class = tuple.__new__, CapturedFrame  # past the Python-level __new__: a fifth of this loop's time
        buffer, at = self._buffer, FILE_HEADER.size
        while True:
            start = at + head
            if start <= len(buffer):
                seconds, fraction, kept, on_air = unpack(buffer, at)
                end = start + kept
                if end <= len(buffer):
                    time_us = seconds * 1_000_000 + (fraction if units == 1 else fraction // units)
                    yield make(frame_class, (buffer[start:end], time_us, link_type, number, kept < on_air))
                    at = end
                    continue
                if kept > FRAME_BYTES_MAX:
                    self._breaks_off(len(buffer) - at, f"a record claims {kept} bytes, more than {FRAME_BYTES_MAX}")
                    return
                wanted = f"a record of {head + kept} bytes begins"
            else:
                wanted = f"a record head of {head} bytes begins"
            self._buffer = buffer[at:]
            at = 0
            if not self._more():
                if self._buffer or self._broken:
                    self._breaks_off(len(self._buffer), wanted)
                return
            buffer = self._buffer

    # --- pcapng --------------------------------------------------------------------------------------------------

    def _pcapng_frames(self) -> Iterator[CapturedFrame]:
        order = "<"
        interfaces: list[_Interface] = []
        last_us = 0
        while block := self._block(order):
            kind, order, body = block
            if kind == SECTION:
                interfaces = []
            elif kind == INTERFACE:
                interfaces.append(_Interface(body, order))
            elif kind == INTERFACE_STATISTICS:
                self.drops += _dropped_since(body, order, interfaces)
            elif kind in (ENHANCED_PACKET, OLD_PACKET, SIMPLE_PACKET):
                packet = _packet(kind, order, body, interfaces)
                if packet is None:
                    self._breaks_off(
                        len(self._buffer),
                        f"a packet block names no interface or more bytes than it has (block type {kind})",
                    )
                    return
                interface, stamp, data, on_air = packet
                if not any(known.link_type in LINK_TYPES for known in interfaces):
                    raise self._unknown(interface.link_type)
                last_us = interface.time_us(stamp) if stamp is not None else last_us
                yield CapturedFrame(data, last_us, interface.link_type, self.number, len(data) < on_air)

    def _block(self, order: str) -> tuple[int, str, bytes] | None:
        """The next block as (type, byte order of its section, body), None at the end; what is unfinished is recorded."""
        if not self._fill(12):
            if self._buffer or self._broken:
                self._breaks_off(len(self._buffer), "a block of at least 12 bytes begins")
            return None
        if self._buffer[:4] == PCAPNG_MAGIC:
            order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(self._buffer[8:12], "")
            if not order:
                self._breaks_off(len(self._buffer), f"a section has the byte-order mark {self._buffer[8:12].hex(' ')}")
                return None
        kind, length = Struct(order + "II").unpack_from(self._buffer)
        if length < 12 or length > BLOCK_BYTES_MAX:
            self._breaks_off(len(self._buffer), f"a block claims {length} bytes, not 12 to {BLOCK_BYTES_MAX}")
            return None
        padded = (length + 3) // 4 * 4
        if not self._fill(padded):
            self._breaks_off(len(self._buffer), f"a block of {length} bytes begins")
            return None
        (again,) = Struct(order + "I").unpack_from(self._buffer, length - 4)
        if again != length:
            self._breaks_off(len(self._buffer), f"a block gives its length as {length} and at its end as {again}")
            return None
        body = self._buffer[8 : length - 4]
        self._buffer = self._buffer[padded:]
        return kind, order, body

    def _fill(self, size: int) -> bool:
        """Read on until the buffer holds ``size`` bytes. False where the capture ends before."""
        while len(self._buffer) < size:
            if not self._more():
                return False
        return True


class _Interface:
    """One interface of a pcapng section: its link type and what its time stamps mean."""

    def __init__(self, body: bytes, order: str) -> None:
        self.link_type = -1
        self.snap_length = 0
        self.dropped = 0
        """What its last statistics said."""
        self._ticks_per_s = 1_000_000
        self._offset_s = 0
        if len(body) < 8:
            return
        self.link_type, self.snap_length = Struct(order + "H2xI").unpack_from(body)
        for option, value in _options(body, 8, order):
            if option == OPTION_RESOLUTION and len(value) == 1:
                self._ticks_per_s = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif option == OPTION_OFFSET and len(value) == 8:
                self._offset_s = Struct(order + "q").unpack(value)[0]

    def time_us(self, stamp: int) -> int:
        """A time stamp in microseconds since the epoch."""
        return stamp * 1_000_000 // self._ticks_per_s + self._offset_s * 1_000_000


def _options(body: bytes, at: int, order: str) -> Iterator[tuple[int, bytes]]:
    """(code, value) of each option of a block, from ``at`` on."""
    while at + 4 <= len(body):
        option, size = Struct(order + "HH").unpack_from(body, at)
        if option == OPTION_END:
            return
        yield option, body[at + 4 : at + 4 + size]
        at += 4 + (size + 3) // 4 * 4


def _dropped_since(body: bytes, order: str, interfaces: list[_Interface]) -> int:
    """Frames that an interface statistics block says were lost since the one before it of the same interface: its counts run on."""
    number = Struct(order + "I").unpack_from(body)[0] if len(body) >= 12 else len(interfaces)
    if number >= len(interfaces):
        return 0
    counter = Struct(order + "Q")
    counts = {option: value for option, value in _options(body, 12, order) if len(value) == counter.size}
    dropped = sum(int(counter.unpack(counts[option])[0]) for option in OPTIONS_DROPPED if option in counts)
    since, interfaces[number].dropped = dropped - interfaces[number].dropped, dropped
    return since if 0 < since <= DROPS_MAX else 0


def _packet(
    kind: int, order: str, body: bytes, interfaces: list[_Interface]
) -> tuple[_Interface, int | None, bytes, int] | None:
    """A packet block as (interface, time stamp, bytes, length on the air), None where it contradicts itself."""
    if kind == SIMPLE_PACKET:
        if len(body) < 4 or not interfaces:
            return None
        on_air = Struct(order + "I").unpack_from(body)[0]
        kept = min(on_air, interfaces[0].snap_length or on_air)
        data = body[4 : 4 + kept]
        return (interfaces[0], None, data, on_air) if len(data) == kept else None
    if len(body) < 20:
        return None
    number, high, low, kept, on_air = Struct(order + ("IIIII" if kind == ENHANCED_PACKET else "H2xIIII")).unpack_from(
        body
    )
    data = body[20 : 20 + kept]
    if number >= len(interfaces) or len(data) < kept:
        return None
    return interfaces[number], high << 32 | low, data, on_air
