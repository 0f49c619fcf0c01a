"""Builds frames and captures byte by byte, so that tests know what is in them. Addresses are of the documentation range or local."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

GLOBAL = bytes.fromhex("00005e005301")
"""Documentation range of RFC 7042, 2.1.2."""
LOCAL = bytes.fromhex("020000000001")
BROADCAST = b"\xff" * 6
T0_US = 1_700_000_000_000_000
SSID = b"\x00\x00"
RATES = bytes.fromhex("010402040b16")
HT = b"\x2d\x1a\x2d\x01\x17\xff" + bytes(22)
ELEMENTS = SSID + RATES + HT + b"\x7f\x04\x00\x00\x08\x04"


def local(number: int) -> bytes:
    """A locally administered address."""
    return b"\x02" + number.to_bytes(5, "big")


def probe(
    address: bytes = LOCAL, elements: bytes = ELEMENTS, sequence: int = 7, first: int = 0x40, second: int = 0
) -> bytes:
    """A probe request without FCS."""
    return bytes((first, second, 0, 0)) + BROADCAST + address + BROADCAST + struct.pack("<H", sequence << 4) + elements


def with_fcs(frame: bytes) -> bytes:
    """The frame with its right FCS."""
    return frame + struct.pack("<I", zlib.crc32(frame))


def radiotap(*, rssi: int | None = -60, mhz: int | None = 2437, flags: int | None = 0x10) -> bytes:
    """A radiotap header with flags, channel and signal, each where asked for."""
    present, fields = 0, b""
    if flags is not None:
        present |= 1 << 1
        fields += bytes((flags,))
    if mhz is not None:
        present |= 1 << 3
        fields += b"\0" * (len(fields) % 2) + struct.pack("<HH", mhz, 0x00A0)
    if rssi is not None:
        present |= 1 << 5
        fields += struct.pack("b", rssi)
    return struct.pack("<BBHI", 0, 0, 8 + len(fields), present) + fields


def heard(
    address: bytes = LOCAL, *, rssi: int | None = -60, sequence: int = 7, elements: bytes = ELEMENTS, mhz: int = 2437
) -> bytes:
    """A probe request as a radio hands it over: radiotap, frame, FCS."""
    return radiotap(rssi=rssi, mhz=mhz) + with_fcs(probe(address, elements, sequence))


def pcap(
    frames: list[tuple[int, bytes]],
    *,
    order: str = "<",
    nanoseconds: bool = False,
    link_type: int = 127,
    snap: int = 262_144,
) -> bytes:
    """A pcap file; times are in µs."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link_type)]
    for time_us, data in frames:
        seconds, fraction = divmod(time_us, 1_000_000)
        kept = data[:snap]
        fraction *= 1000 if nanoseconds else 1
        out += [struct.pack(order + "IIII", seconds, fraction, len(kept), len(data)), kept]
    return b"".join(out)


def block(order: str, kind: int, body: bytes) -> bytes:
    """One pcapng block."""
    body += b"\0" * (-len(body) % 4)
    return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))


def pcapng(
    frames: list[tuple[int, bytes]], *, order: str = "<", resolution: int = 6, link_type: int = 127, offset_s: int = 0
) -> bytes:
    """A pcapng file of one section and one interface, with an unknown block between; times are in µs."""
    options = struct.pack(order + "HHB3x", 9, 1, resolution)
    if offset_s:
        options += struct.pack(order + "HHq", 14, 8, offset_s)
    out = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(order, 1, struct.pack(order + "HHI", link_type, 0, 0) + options + struct.pack(order + "HH", 0, 0))
    out += block(order, 0x0BAD, b"what nobody knows")
    for time_us, data in frames:
        ticks = (time_us - offset_s * 1_000_000) * 10**resolution // 1_000_000
        out += block(
            order, 6, struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data)) + data
        )
    return out


def scans(
    address: bytes, start_us: int, count: int, *, every_s: float = 60.0, rssi: int = -60, frames: int = 4
) -> list[tuple[int, bytes]]:
    """Bursts of one address: ``count`` scans of ``frames`` probe requests, 20 ms apart."""
    sent, number = [], 0
    for scan in range(count):
        for frame in range(frames):
            sent.append(
                (
                    start_us + round(scan * every_s * 1e6) + frame * 20_000,
                    heard(address, rssi=rssi, sequence=number % 4096),
                )
            )
            number += 1
    return sent


def write(path: Path, data: bytes, *, zipped: bool = False) -> Path:
    """Write a capture, gzipped where asked."""
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path
