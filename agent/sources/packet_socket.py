"""Packet sockets on a monitor interface: how they are opened, read one frame at a time, and counted (shell).

The order of opening matters: a socket of protocol 0 hears nothing, is given its filter and its ring, and only ``bind``
with a protocol connects it. So no frame comes in that the filter has not seen. Source: packet(7).
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from struct import Struct
from typing import Protocol

from agent.dot11.captured import CapturedFrame
from agent.dot11.decoder import RADIOTAP
from agent.sources.bpf import NOTHING, PROBE_REQUESTS, attach
from agent.sources.errors import InterfaceMissing, NotPermitted
from agent.sources.packet_ring import PACKET_STATISTICS, SOL_PACKET, PacketRing

ETH_P_ALL = 3
STATISTICS = Struct("II")
"""struct tpacket_stats: frames, of which dropped."""
SO_RCVBUFFORCE = 33
TIMESTAMPS_NS = ((64, Struct("qq")), (35, Struct("ll")))
"""SO_TIMESTAMPNS_NEW (Linux 5.1, 64 bits on every machine) and _OLD: option, which is also the message's type, and layout."""
FRAME_BYTES = 4096
READ_AT_ONCE = 256
SAMPLE_BYTES = 256
SAMPLES_MAX = 8


class Reader(Protocol):
    """How frames come out of the socket: a ring, or one ``recv`` each."""

    name: str
    lag_us: int

    def read(self) -> list[CapturedFrame]: ...
    def is_behind(self) -> bool: ...
    def drops(self) -> int: ...
    def close(self) -> None: ...


class RecvReader:
    """One system call for each frame: for kernels without TPACKET_V3. ``queue_bytes`` is what may wait unread."""

    lag_us = 0
    name = "recv"

    def __init__(self, sock: socket.socket, queue_bytes: int) -> None:
        self._sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, queue_bytes)  # as much as the system allows
        with suppress(OSError):  # beyond it only with CAP_NET_ADMIN
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, queue_bytes)
        self._stamp_type, self._stamp = _ask_for_times(sock)

    def read(self) -> list[CapturedFrame]:
        """What has come, a few hundred frames at most. Raises OSError, once where the interface went down."""
        frames: list[CapturedFrame] = []
        while len(frames) < READ_AT_ONCE:
            try:
                data, notes, flags, _ = self._sock.recvmsg(FRAME_BYTES, 64)
            except BlockingIOError:
                break
            except OSError:
                if frames:
                    break  # these frames came before the error, which the pulse is told as well
                raise
            frames.append(CapturedFrame(data, self._time_us(notes), RADIOTAP, 0, bool(flags & socket.MSG_TRUNC)))
        return frames

    def is_behind(self) -> bool:
        """Never known without reading; what came before a tick is read before it."""
        return False

    def drops(self) -> int:
        """Frames that found no room since the last call. Raises OSError."""
        return packet_statistics(self._sock)[1]

    def close(self) -> None:
        """Nothing: the socket is the caller's."""

    def _time_us(self, notes: list[tuple[int, int, bytes]]) -> int:
        for level, kind, value in notes:
            if level == socket.SOL_SOCKET and kind == self._stamp_type and self._stamp:
                seconds, nanoseconds = self._stamp.unpack_from(value)
                return int(seconds * 1_000_000 + nanoseconds // 1000)
        return time.time_ns() // 1000


def _ask_for_times(sock: socket.socket) -> tuple[int, Struct | None]:
    """Have the kernel stamp each frame: gives the stamp's type and layout, or none where it cannot."""
    for option, layout in TIMESTAMPS_NS:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
            return option, layout
    return 0, None


class Pulse:
    """Counts every frame that an interface delivers, whatever it is, at next to no cost, and shows a few of them.

    A second socket without a filter whose queue holds two or three frames and is emptied once a second. All others find
    it full, which the kernel decides before it copies anything, and counts: no wake-up, no copy, and yet every frame is
    a sign of life, the access point's own beacons among them.
    """

    def __init__(self, interface: str) -> None:
        self._sock = packet_socket()
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel makes it the least it has
        bind(self._sock, interface)

    def beat(self) -> tuple[int, list[bytes]]:
        """Since the last call: how many frames came, and the heads of the first of them. Raises OSError."""
        samples: list[bytes] = []
        with suppress(BlockingIOError):
            while len(samples) < SAMPLES_MAX:
                samples.append(self._sock.recv(SAMPLE_BYTES))
        return packet_statistics(self._sock)[0], samples

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class PacketCapture:
    """The open capture on one interface: the filtered socket with its reader, and the pulse beside it.

    Raises InterfaceMissing, NotPermitted, or OSError for what the kernel says beyond these.
    """

    def __init__(self, interface: str, ring_bytes: int, *, uses_ring: bool = True) -> None:
        self.trouble: str | None = None
        """Why there is no ring where one was wanted."""
        self.socket = packet_socket()
        try:
            attach(self.socket, PROBE_REQUESTS)
            self.reader: Reader = self._reader(ring_bytes, uses_ring)
            bind(self.socket, interface)
            self.pulse = Pulse(interface)
        except BaseException:
            self.socket.close()
            raise

    def _reader(self, ring_bytes: int, uses_ring: bool) -> Reader:
        if uses_ring:
            try:
                return PacketRing(self.socket, ring_bytes)
            except OSError as error:
                self.trouble = error.strerror
                again = packet_socket()  # half a ring may be attached to the first
                attach(again, PROBE_REQUESTS)
                self.socket.close()
                self.socket = again
        return RecvReader(self.socket, ring_bytes)

    def error(self) -> int:
        """The error that waits on the socket, and forget it; 0 where none does."""
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def shut(self) -> bool:
        """Let no frame in any more; those inside can be read. False where the system refuses."""
        try:
            attach(self.socket, NOTHING)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close both sockets and the ring."""
        self.reader.close()
        self.socket.close()
        self.pulse.close()


def packet_socket() -> socket.socket:
    """A packet socket that hears nothing yet. Raises NotPermitted, OSError."""
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError as error:
        raise NotPermitted(
            "the source 'monitor' needs the capability CAP_NET_RAW, which this process does not have; run it as root or by the service that "
            "comes with it (systemd: AmbientCapabilities=CAP_NET_RAW)"
        ) from error


def bind(sock: socket.socket, interface: str) -> None:
    """Connect the socket to an interface: from here on frames come. Raises InterfaceMissing, OSError."""
    try:
        sock.bind((interface, ETH_P_ALL))
    except OSError as error:
        try:
            socket.if_nametoindex(interface)
        except OSError:
            raise InterfaceMissing(missing(interface)) from error
        raise


def missing(interface: str) -> str:
    """What to tell the owner of an interface that is not there."""
    there = ", ".join(sorted(name for _, name in socket.if_nameindex())) or "none"
    return (
        f"source.interface is '{interface}', which does not exist; there are {there}; "
        f"make one beside the access point's interface wlan0 with: iw dev wlan0 interface add {interface} type monitor && ip link set {interface} up"
    )


def packet_statistics(sock: socket.socket) -> tuple[int, int]:
    """Frames that came, and those among them that found no room, since the last call. Raises OSError."""
    seen, dropped = STATISTICS.unpack(sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, STATISTICS.size))
    return seen, dropped
