"""What can be known of a monitor interface beside its probe requests (shell: it reads files of the system).

The system says whether it is there, up and in monitor mode; a channel plan, where there is one, reports where it has the radio; any
frame's radiotap header names the channel that it was sent on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from agent.dot11.channels import CHANNEL_OF_MHZ
from agent.dot11.probe_request import Skipped
from agent.dot11.radiotap import read_layout
from agent.sources.monitor_watch import SECOND_US

SYSFS = Path("/sys/class/net")
IFF_UP = 1


class InterfaceState(NamedTuple):
    """What the system says of an interface; ``received`` counts frames since it was made."""

    ifindex: int
    link_type: int
    is_up: bool
    received: int


def read_interface(name: str, sysfs: Path = SYSFS) -> InterfaceState | None:
    """What the system says of the interface, None where there is none of that name (or it went while we read)."""
    place = sysfs / name
    try:
        return InterfaceState(
            ifindex=int((place / "ifindex").read_bytes()),
            link_type=int((place / "type").read_bytes()),
            is_up=bool(int((place / "flags").read_bytes(), 16) & IFF_UP),
            received=int((place / "statistics" / "rx_packets").read_bytes()),
        )
    except (OSError, ValueError):
        return None


class Stay(NamedTuple):
    """On which channel the radio is, and since when by the monotonic clock."""

    channel: int
    since_us: int


def read_stay(path: Path, interface: str) -> Stay | None:
    """What a channel plan reports (``firmware_hooks``): where the radio is; None where it does not say, or of another interface."""
    try:
        report = json.loads(path.read_bytes())
        if report["interface"] != interface:
            return None
        return Stay(int(report["channel"]), round(report["since_s"] * SECOND_US))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def channel_of_frame(data: bytes) -> int | None:
    """The channel that a radiotap header names, None where it names none (as in the frames that this radio sent)."""
    layout = read_layout(data) if len(data) >= 8 else None
    if layout is None or isinstance(layout, Skipped) or not layout.frequency_at:
        return None
    at = layout.frequency_at
    return CHANNEL_OF_MHZ.get(data[at] | data[at + 1] << 8)
