"""Where frames come from (shells). A source is chosen by name; its module is imported only then.

Others may add sources through the entry-point group ``ivizone.sources``: name = "module:Class".
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from agent.sources.errors import SourceUnknown

SOURCES: dict[str, str] = {
    "monitor": "agent.sources.monitor:MonitorSource",
    "hostapd": "agent.sources.hostapd:HostapdSource",
    "pcap": "agent.sources.pcap:PcapSource",
}
"""Name in the configuration -> "module:Class"."""

ENTRY_POINT_GROUP = "ivizone.sources"


def load_source(name: str) -> Any:
    """The class of a source. Raises SourceUnknown, naming those there are."""
    place = SOURCES.get(name) or _from_entry_points().get(name)
    if place is None:
        known = ", ".join(sorted({*SOURCES, *_from_entry_points()}))
        raise SourceUnknown(f"source '{name}' does not exist; there are {known}")
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def _from_entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points  # costs 15 ms on a desktop; only those who look beyond the table pay it

    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
