"""A pair of network interfaces for tests, of which one passes for a monitor interface: what is sent into one end comes out of the other.

The kernel's packet sockets, filters and rings are the real ones; only the link type is ours, in a copy of what /sys says.
"""

from __future__ import annotations

import os
import socket
import subprocess
from itertools import count
from pathlib import Path

import pytest

ETHERNET, RADIOTAP = 1, 803
_NUMBER = count()


def ip(*words: str) -> None:
    """Run ip(8). Raises CalledProcessError."""
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


class FakeMonitor:
    """Makes ``name``, up, with a sender at its other end; skips the test where this process may not."""

    def __init__(self, sysfs: Path) -> None:
        number = f"{os.getpid() % 100_000}x{next(_NUMBER)}"
        self.name, self._peer = f"ivm{number}", f"ivp{number}"
        self.sysfs = sysfs
        self.set_type(RADIOTAP)
        for file in ("ifindex", "flags", "statistics"):
            (sysfs / self.name / file).symlink_to(Path("/sys/class/net") / self.name / file)
        self.add()

    def set_type(self, link_type: int) -> None:
        """What the system says of the interface's link type."""
        (self.sysfs / self.name).mkdir(parents=True, exist_ok=True)
        (self.sysfs / self.name / "type").write_text(f"{link_type}\n")

    def add(self) -> None:
        """Make the pair."""
        try:
            ip("link", "add", self.name, "type", "veth", "peer", "name", self._peer)
            for name in (self.name, self._peer):
                # Without addresses of IPv6 the kernel has nothing to say by itself, so the air is silent but for us.
                Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
                ip("link", "set", name, "up")
            self._out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._out.bind((self._peer, 0))
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"no virtual interfaces can be made here (root and CAP_NET_ADMIN are needed): {error}")

    def remove(self) -> None:
        """Delete the pair."""
        self._out.close()
        ip("link", "del", self.name)

    def set_up(self, is_up: bool) -> None:
        """Up or down."""
        ip("link", "set", self.name, "up" if is_up else "down")

    def send(self, *frames: bytes) -> None:
        """Put frames on the air."""
        for frame in frames:
            self._out.send(frame)

    def close(self) -> None:
        """Take the pair away if it is there."""
        self._out.close()
        subprocess.run(["ip", "link", "del", self.name], check=False, capture_output=True, timeout=20)
