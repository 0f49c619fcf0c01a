"""Writes frames as a pcap file of link type 127 (radiotap). Source: tcpdump.org, pcap-savefile(5)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from struct import Struct, pack

FILE_HEADER = pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 127)
RECORD = Struct("<IIII")


def write_capture(path: Path, frames: Iterable[tuple[int, bytes]]) -> None:
    """``frames`` are (time in µs, captured bytes), in order of time. Raises OSError."""
    with path.open("wb") as file:
        file.write(FILE_HEADER)
        for time_us, data in frames:
            seconds, fraction = divmod(time_us, 1_000_000)
            file.write(RECORD.pack(seconds, fraction, len(data), len(data)))
            file.write(data)
