"""Odd pcapng captures, built block by block here, read by the source and by tshark: both must find the same frames at the same times."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from support.frames import LOCAL, T0_US, block, heard

from agent.dot11.captured import CapturedFrame, Tick
from agent.sources.pcap import PcapSource

FRAMES = [
    heard(LOCAL, sequence=number, elements=b"\0\0" + bytes((200 + number, number)) + bytes(number))
    for number in range(6)
]
"""Of six lengths, so that every padding occurs."""


def section(order: str, length: int = -1) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, length))


def options(order: str, *given: tuple[int, bytes], ends: bool = True) -> bytes:
    out = b"".join(
        struct.pack(order + "HH", kind, len(value)) + value + bytes(-len(value) % 4) for kind, value in given
    )
    return out + (bytes(4) if ends else b"")


def interface(order: str, *given: tuple[int, bytes], snap: int = 0, link_type: int = 127, ends: bool = True) -> bytes:
    return block(order, 1, struct.pack(order + "HHI", link_type, 0, snap) + options(order, *given, ends=ends))


def enhanced(order: str, number: int, ticks: int, data: bytes, *given: tuple[int, bytes], on_air: int = 0) -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), on_air or len(data))
    return block(order, 6, head + data + bytes(-len(data) % 4) + (options(order, *given) if given else b""))


def simple(order: str, data: bytes, on_air: int = 0) -> bytes:
    return block(order, 3, struct.pack(order + "I", on_air or len(data)) + data)


def resolution(value: int) -> tuple[int, bytes]:
    """Option if_tsresol."""
    return 9, bytes((value,))


def offset(order: str, seconds: int) -> tuple[int, bytes]:
    """Option if_tsoffset."""
    return 14, struct.pack(order + "q", seconds)


def capture(order: str, *interfaces: bytes, frames: bytes) -> bytes:
    return section(order) + b"".join(interfaces) + frames


def at(ticks_per_s: int, number: int) -> int:
    """The time of frame ``number`` in ticks; frames lie a second and a bit apart."""
    return (T0_US // 1_000_000 + number) * ticks_per_s + 123_456 * ticks_per_s // 1_000_000


def numbered(order: str, ticks_per_s: int, interface_of=lambda number: 0) -> bytes:
    return b"".join(
        enhanced(order, interface_of(number), at(ticks_per_s, number), data) for number, data in enumerate(FRAMES)
    )


CAPTURES = {
    f"{name}, {'little' if order == '<' else 'big'}-endian": data
    for order in "<>"
    for name, data in {
        "no options at all": capture(order, interface(order, ends=False), frames=numbered(order, 10**6)),
        "nanoseconds": capture(order, interface(order, resolution(9)), frames=numbered(order, 10**9)),
        "milliseconds": capture(order, interface(order, resolution(3)), frames=numbered(order, 10**3)),
        "seconds halved twenty times": capture(order, interface(order, resolution(0x80 | 20)), frames=numbered(order, 2**20)),
        "an offset in the past": capture(
            order, interface(order, offset(order, -3600)), frames=numbered(order, 10**6)
        ),
        "a name, a filter and an odd option before the resolution": capture(
            order,
            interface(order, (2, b"mon0"), (11, b"\0type mgt"), (0x8001, b"x"), resolution(9), (13, b"\4")),
            frames=numbered(order, 10**9),
        ),
        "two interfaces of two resolutions": capture(
            order, interface(order, resolution(9)), interface(order), frames=b"".join(
                enhanced(order, number % 2, at(10**6 if number % 2 else 10**9, number), data) for number, data in enumerate(FRAMES)
            )
        ),
        "an interface described between frames": section(order)
        + interface(order)
        + enhanced(order, 0, at(10**6, 0), FRAMES[0])
        + interface(order, resolution(9))
        + enhanced(order, 1, at(10**9, 1), FRAMES[1]),
        "comments and flags behind the frames": capture(
            order, interface(order), frames=b"".join(
                enhanced(order, 0, at(10**6, number), data, (1, b"seen"), (2, struct.pack(order + "I", 1)))
                for number, data in enumerate(FRAMES)
            )
        ),
        "blocks of other kinds between": capture(order, interface(order), frames=b"".join(
            block(order, kind, bytes(8)) + enhanced(order, 0, at(10**6, number), FRAMES[number])
            for number, kind in enumerate((0x40000BAD, 0x0BAD, 0x7FFFFFFF))
        )),
        "name resolution and statistics between": capture(order, interface(order), frames=(
            block(order, 4, bytes(4))
            + enhanced(order, 0, at(10**6, 0), FRAMES[0])
            + block(order, 5, struct.pack(order + "III", 0, 0, 0))
            + enhanced(order, 0, at(10**6, 1), FRAMES[1])
        )),
        "frames cut by the snap length": capture(
            order, interface(order, snap=50), frames=enhanced(order, 0, at(10**6, 0), FRAMES[5][:50], on_air=len(FRAMES[5]))
        ),
        "two sections": section(order) + interface(order, resolution(9)) + numbered(order, 10**9)
        + section(order) + interface(order) + numbered(order, 10**6),
    }.items()
}  # fmt: skip


def by_tshark(path: Path, *fields: str) -> list[list[str]]:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed (apt-get install tshark)")
    words = [word for name in fields for word in ("-e", name)]
    done = subprocess.run(
        [tshark, "-n", "-r", str(path), "-T", "fields", *words], capture_output=True, text=True, timeout=60, check=False
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", CAPTURES)
def test_frames_and_times_are_those_that_tshark_finds(name: str, tmp_path: Path):
    path = tmp_path / "odd.pcapng"
    path.write_bytes(CAPTURES[name])
    source = PcapSource([path])

    read = [(frame.time_us, len(frame.data), frame.is_cut) for frame in source]

    seen = [
        (
            int(float(seconds) // 1) * 1_000_000 + int(seconds.partition(".")[2][:6].ljust(6, "0")),
            int(kept),
            kept != length,
        )
        for seconds, kept, length in by_tshark(path, "frame.time_epoch", "frame.cap_len", "frame.len")
        if seconds  # tshark lists blocks that are no frames too, without a time
    ]
    assert source.troubles == []
    assert read == seen
    assert len(read) > 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_simple_packet_blocks_are_cut_to_the_snap_length(order: str, tmp_path: Path):
    """They say only how long a frame was on the air; source: pcapng draft, 4.4."""
    path = tmp_path / "simple.pcapng"
    whole, long = FRAMES[0], FRAMES[5]
    snap = len(long) - 3
    path.write_bytes(
        section(order) + interface(order, snap=snap) + simple(order, whole) + simple(order, long[:snap], len(long))
    )

    read = [(frame.data, frame.is_cut) for frame in PcapSource([path])]

    assert read == [(whole, False), (long[:snap], True)]
    assert [int(kept) for (kept,) in by_tshark(path, "frame.cap_len")] == [len(data) for data, _ in read]


def statistics(order: str, number: int, *counts: tuple[int, int]) -> bytes:
    """An interface statistics block with counters of 64 bits; source: pcapng draft, 4.6."""
    counted = tuple((option, struct.pack(order + "Q", count)) for option, count in counts)
    return block(order, 5, struct.pack(order + "III", number, 0, 0) + options(order, *counted))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("said", "drops"),
    [
        pytest.param([(0, (5, 3))], 3, id="by the interface"),
        pytest.param(
            [(0, (4, 900), (5, 3), (7, 4))], 7, id="by the interface and the system, beside what was received"
        ),
        pytest.param([(0, (5, 3)), (0, (5, 3)), (0, (5, 10))], 10, id="counters run on"),
        pytest.param([(0, (5, 3)), (1, (5, 4))], 7, id="of two interfaces"),
        pytest.param([(0, (4, 900))], 0, id="nobody counted"),
        pytest.param([(0, (5, 0), (7, 0))], 0, id="none"),
        pytest.param([(7, (5, 3))], 0, id="of an interface that is not there"),
        pytest.param([(0, (5, 2**64 - 1))], 0, id="not known, written as -1"),
    ],
)
def test_what_the_capture_says_that_it_lost_reaches_the_ledger(order: str, said: list, drops: int, tmp_path: Path):
    path = tmp_path / "statistics.pcapng"
    path.write_bytes(
        section(order) + interface(order) + interface(order) + enhanced(order, 0, at(10**6, 0), FRAMES[0])
        + b"".join(statistics(order, *block) for block in said)
        + enhanced(order, 1, at(10**6, 1), FRAMES[1])
    )  # fmt: skip
    source = PcapSource([path])

    *frames, last = source

    assert [frame.data for frame in (*frames, last) if isinstance(frame, CapturedFrame)] == FRAMES[:2]
    assert source.losses() == ({"kernel_drops": drops} if drops else {})
    if drops:
        assert last == Tick(at(10**6, 1), (), (("kernel_drops", drops),))


def test_a_block_whose_two_lengths_differ_is_where_the_capture_breaks_off(tmp_path: Path):
    """Both ends of a block hold its length so that damage shows; tshark too stops there."""
    damaged = bytearray(enhanced("<", 0, at(10**6, 1), FRAMES[1]))
    damaged[-4] ^= 8
    path = tmp_path / "damaged.pcapng"
    path.write_bytes(
        capture(
            "<",
            interface("<"),
            frames=enhanced("<", 0, at(10**6, 0), FRAMES[0]) + bytes(damaged) + numbered("<", 10**6),
        )
    )
    source = PcapSource([path])

    assert [frame.data for frame in source] == [FRAMES[0]]
    assert len(source.troubles) == 1 and "breaks off at byte" in source.troubles[0]
    assert len(by_tshark(path, "frame.number")) == 1
