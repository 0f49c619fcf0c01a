"""Word to the supervisor that started us, in systemd's protocol (shell). Source: sd_notify(3).

Where no supervisor listens (procd, a terminal) nothing happens.
"""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send one state, such as "READY=1" or "WATCHDOG=1". False where nobody listens, or the word could not be sent."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # a name in the abstract space, unix(7)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(address)
            sender.sendall(state.encode())
    except OSError:
        return False
    return True
