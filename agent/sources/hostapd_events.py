"""What hostapd's notices say: probe requests, and who has joined the network. Pure.

hostapd tells one event for each BSS that a probe request concerns, so one wildcard request gives as many events as the radio has
BSSs. They are one frame: the same address, level and frequency within 50 ms from a BSS that has not told of it yet. A BSS that
tells twice tells of two frames, however soon.

What an event does not say stays None: there is no sequence number and no element. Its frequency is the access point's own. A level of
0 is left out by hostapd, and junk is treated like that of captures (``agent.dot11.decoder``).

Who has joined is taken from ``get_clients`` alone, asked again and again: nothing is kept about anybody between two answers, and
an event that ubusd dropped cannot leave a ghost behind. The frames by which a device joins and leaves mark the ends.

Source: openwrt hostapd ``src/ap/ubus.c`` (``hostapd_ubus_handle_event``, ``hostapd_ubus_notify``, ``hostapd_bss_get_clients``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.dot11.captured import Event, Presence
from agent.dot11.channels import CHANNEL_OF_MHZ
from agent.dot11.decoder import NO_ADDRESS, RSSI_JUNK_BELOW_DBM, RSSI_JUNK_FROM_DBM
from agent.dot11.mac import is_group
from agent.dot11.probe_request import ProbeRequest, Skipped
from agent.dot11.reasons import BAD_ADDRESS, DUPLICATE_EVENT, MALFORMED_EVENT, NOT_PROBE_REQUEST
from agent.sources.blobmsg import decode_table
from agent.sources.errors import UbusMalformed
from agent.sources.hostapd_session import Notice

SAME_FRAME_US = 50_000
"""hostapd tells all of its BSSs' subscribers in one go. The rest is for a busy access point: at 20 ms, one pair in 250 was missed on a
loaded machine. A longer time cannot merge two frames that a BSS told of both."""
RECENT_MAX = 1024
"""Frames remembered for their duplicates: 20,000 a second would have to be heard to forget one too early."""
JOINING_AND_LEAVING = frozenset({"assoc", "sta-authorized", "disassoc", "deauth"})
"""Events that stand for a frame of the joined device itself. hostapd's own time-outs tell nothing of where it is."""


class EventReader:
    """Reads notices, in the order in which they came. Remembers frames for 50 ms, and of devices nothing."""

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        self._recent: dict[tuple[bytes, int | None, int | None], tuple[int, set[int]]] = {}

    def read(self, notice: Notice, time_us: int) -> Iterator[Event | Presence]:
        """What a notice that came at ``time_us`` says. Each event but ``get_clients`` gives exactly one Event."""
        if notice.event == "get_clients":
            yield from _clients(notice.table, time_us)
            return
        try:
            table = decode_table(notice.table)
        except UbusMalformed:
            yield Event(MALFORMED_EVENT, time_us)
            return
        request, is_rejected = _request_of(table.get("address"), table)
        if notice.event != "probe":
            yield Event(NOT_PROBE_REQUEST, time_us)
            if notice.event in JOINING_AND_LEAVING and isinstance(request, ProbeRequest):
                yield Presence(request, time_us)
        elif isinstance(request, Skipped):
            yield Event(request, time_us)
        elif self._was_told(request, table.get("freq"), notice.bss, time_us):
            yield Event(DUPLICATE_EVENT, time_us)
        else:
            yield Event(request, time_us, is_rejected)

    def _was_told(self, request: ProbeRequest, frequency: Any, bss: int, time_us: int) -> bool:
        """True where another BSS told of this frame already."""
        recent = self._recent
        for _ in range(2):  # two may leave for each that comes, so the memory empties
            oldest = next(iter(recent), None)
            if oldest is not None and not 0 <= time_us - recent[oldest][0] <= SAME_FRAME_US:
                del recent[oldest]
        key = (request.address, request.rssi_dbm, frequency if isinstance(frequency, int) else None)
        known = recent.get(key)
        if known is not None and 0 <= time_us - known[0] <= SAME_FRAME_US and bss not in known[1]:
            known[1].add(bss)
            return True
        recent.pop(key, None)
        if len(recent) >= RECENT_MAX:
            recent.clear()
        recent[key] = (time_us, {bss})
        return False


def _clients(table: bytes, time_us: int) -> Iterator[Presence]:
    """Who is joined now. A device that has not proven to know the password is none of ours."""
    try:
        answer = decode_table(table, depth=3)
    except UbusMalformed:
        return
    clients = answer.get("clients")
    if not isinstance(clients, Mapping):
        return
    for text, client in clients.items():
        if not isinstance(client, Mapping) or not client.get("assoc") or client.get("authorized") == 0:
            continue
        request, _ = _request_of(text, {"signal": client.get("signal"), "freq": answer.get("freq")})
        if isinstance(request, ProbeRequest):
            yield Presence(request, time_us)


def _request_of(text: Any, fields: Mapping[str, Any]) -> tuple[ProbeRequest | Skipped, bool]:
    """The values of an event as a probe request, and whether its level was junk."""
    address = read_address(text)
    if address is None:
        return MALFORMED_EVENT, False
    if is_group(address) or address == NO_ADDRESS:
        return BAD_ADDRESS, False
    level, frequency = fields.get("signal"), fields.get("freq")
    rssi = level if isinstance(level, int) and RSSI_JUNK_BELOW_DBM <= level < RSSI_JUNK_FROM_DBM else None
    is_rejected = rssi is None and level is not None
    channel = CHANNEL_OF_MHZ.get(frequency) if isinstance(frequency, int) else None
    return ProbeRequest(address, None, rssi, channel, None), is_rejected


def read_address(text: Any) -> bytes | None:
    """An address written as six octets with colons, None for anything else."""
    if not isinstance(text, str) or len(text) != 17 or text[2::3] != ":::::":
        return None
    try:
        address = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        return None
    return address if len(address) == 6 else None
