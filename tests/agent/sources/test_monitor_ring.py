"""Blocks of a TPACKET_V3 ring as the kernel lays them out, read by ``frames_of``."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import T0_US, heard

from agent.dot11.captured import CapturedFrame
from agent.sources.packet_ring import BLOCK_BYTES, REQUEST, frames_of, ring_request

BLOCK_HEAD_BYTES, FRAME_HEAD_BYTES, ADDRESS_BYTES = 48, 48, 20


def block(frames: list[tuple[int, bytes, int]]) -> bytes:
    """A block of (time in ns, bytes, length on the air), after Documentation/networking/packet_mmap.rst: each frame behind
    its tpacket3_hdr and a sockaddr_ll, aligned to 8; the last one's offset of the next is 0."""
    body = b""
    for number, (time_ns, data, on_air) in enumerate(frames):
        offset = FRAME_HEAD_BYTES + ADDRESS_BYTES + 12  # the kernel keeps room, so that what follows is aligned
        size = (offset + len(data) + 7) // 8 * 8
        step = size if number + 1 < len(frames) else 0
        seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
        head = struct.pack("6I2H20x", step, seconds, nanoseconds, len(data), on_air, 1, offset, offset)
        body += (head + bytes(offset - len(head)) + data).ljust(size, b"\xee")
    head = struct.pack(
        "IIIIIIQ4I", 1, BLOCK_HEAD_BYTES, 1, len(frames), BLOCK_HEAD_BYTES, BLOCK_HEAD_BYTES + len(body), 7, 0, 0, 0, 0
    )
    assert len(head) == BLOCK_HEAD_BYTES
    return head + body


def test_a_block_gives_its_frames_with_the_kernels_times():
    data = heard()
    memory = block([(T0_US * 1000 + 1999, data, len(data)), (T0_US * 1000 + 3_000_000, data[:40], len(data))])

    assert frames_of(memory, 0) == [
        CapturedFrame(data, T0_US + 1, 127, 0, False),
        CapturedFrame(data[:40], T0_US + 3000, 127, 0, True),
    ]


def test_a_block_without_frames_gives_none():
    assert frames_of(block([]), 0) == []


@given(
    frames=st.lists(
        st.tuples(st.integers(0, (1 << 32) * 10**9 - 1), st.binary(max_size=300), st.integers(0, 20)), max_size=30
    ),
    before=st.integers(0, 3).map(lambda n: n * 4096),
)
def test_what_the_kernel_wrote_is_what_we_read(frames: list[tuple[int, bytes, int]], before: int):
    """Any frames, anywhere in the ring."""
    memory = bytes(before) + block([(ns, data, len(data) + beyond) for ns, data, beyond in frames])

    read = frames_of(memory, before)

    assert [(f.data, f.time_us, f.is_cut) for f in read] == [
        (data, ns // 1000, beyond > 0) for ns, data, beyond in frames
    ]


@pytest.mark.parametrize(
    ("ring_bytes", "blocks"), [(0, 2), (BLOCK_BYTES, 2), (BLOCK_BYTES * 32, 32), (BLOCK_BYTES * 5 - 1, 4)]
)
def test_a_ring_has_whole_blocks_and_two_at_least(ring_bytes: int, blocks: int):
    """With one block the kernel would have nowhere to write while we read."""
    block_bytes, count, frame_bytes, frames, *_ = REQUEST.unpack(ring_request(ring_bytes))

    assert (block_bytes, count) == (BLOCK_BYTES, blocks)
    assert frames * frame_bytes == block_bytes * count  # the kernel refuses a request in which they differ
