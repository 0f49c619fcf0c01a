"""The filter, run by the kernel itself: a datagram socket takes the same programs as a packet socket, without any rights."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import probe, radiotap

from agent.sources.bpf import PROBE_REQUESTS, assemble, attach


@pytest.fixture(scope="module")
def passes():
    """Whether the kernel lets bytes through our filter."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.setblocking(False)
    attach(receiver, PROBE_REQUESTS)

    def ask(data: bytes) -> bool:
        try:
            sender.send(data)
        except PermissionError:  # how a Unix socket says that a filter refused a datagram
            return False
        try:
            return receiver.recv(1 << 16) == data
        except BlockingIOError:
            return False

    yield ask
    sender.close()
    receiver.close()


def long_header(length: int) -> bytes:
    return bytes((0, 0, length & 0xFF, length >> 8)) + bytes(length - 4)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(radiotap() + probe(), True, id="probe request"),
        pytest.param(radiotap(rssi=None, mhz=None, flags=None) + probe(), True, id="behind a header of 8 bytes"),
        pytest.param(long_header(255) + probe(), True, id="behind a header of 255 bytes"),
        pytest.param(long_header(256) + probe(), True, id="behind a header of 256 bytes: the length's high byte"),
        pytest.param(long_header(4097) + probe(), True, id="behind a header of 4,097 bytes"),
        pytest.param(radiotap() + probe(second=0x80), True, id="with HT Control"),
        pytest.param(radiotap() + probe(first=0x80), False, id="beacon"),
        pytest.param(radiotap() + probe(first=0x50), False, id="probe response"),
        pytest.param(radiotap() + probe(first=0x48), False, id="data"),
        pytest.param(radiotap() + probe(first=0x41), False, id="of another version of 802.11"),
        pytest.param(radiotap(), False, id="header alone"),
        pytest.param(b"\0\0", False, id="less than a header"),
        pytest.param(b"\0\0\xff\xff" + probe(), False, id="header longer than the frame"),
    ],
)
def test_probe_requests_pass_and_nothing_else(passes, data: bytes, expected: bool):
    assert passes(data) is expected


@given(data=st.binary(min_size=1, max_size=300))
def test_any_bytes_pass_exactly_if_frame_control_says_so(passes, data: bytes):
    """The filter against the rule in one line of Python."""
    at = int.from_bytes(data[2:4], "little") if len(data) >= 4 else len(data)

    assert passes(data) == (data[at : at + 1] == b"\x40")


def test_the_program_has_eight_bytes_an_instruction():
    assert len(assemble(PROBE_REQUESTS)) == 8 * len(PROBE_REQUESTS)
