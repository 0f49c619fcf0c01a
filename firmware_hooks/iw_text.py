"""`iw phy` and `iw dev` as values (core). The texts carry addresses and network names; none is taken over.

iw says of its own output that it is not for scripts, so the forms that differ are all here: frequencies came as
`2412 MHz` up to iw 5.19 and as `2412.0 MHz` since 6.x; restrictions stand in one pair of brackets or in several; before
3.15 `no IR` was `passive scanning` and `no IBSS`; a P2P device has no name. Form: iw's info.c and interface.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SERVING_TYPES = frozenset({"AP", "AP/VLAN", "mesh point", "P2P-GO", "IBSS"})
"""Types whose channel others depend on."""

FREQUENCY = re.compile(r"\* (?P<mhz>\d+)(?:\.\d+)? MHz \[(?P<number>-?\d+)\](?P<rest>.*)")
COMBINATION_PART = re.compile(r"#\{ (?P<types>[^}]+) \} <= (?P<most>\d+)")
NO_IR_WORDS = ("no IR", "passive scan", "no IBSS")


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the radio and the regulation of the set country allow it."""

    number: int
    frequency_mhz: int
    is_disabled: bool = False
    is_radar: bool = False
    """Radar detection (DFS): an access point may send only after it listened for a minute."""
    is_no_ir: bool = False
    """No initiating radiation: nothing may be sent before an access point was heard."""

    @property
    def is_passive(self) -> bool:
        """Nothing is sent here unasked, by us or by a phone."""
        return self.is_radar or self.is_no_ir


@dataclass(frozen=True, slots=True)
class Combination:
    """Interfaces that may exist together: how many of which types, in all, on how many channels."""

    limits: tuple[tuple[frozenset[str], int], ...]
    total: int
    channels: int

    def allows(self, *types: str) -> bool:
        """True if one interface of each of two different ``types`` fits; a type may use any limit that names it."""
        first, second = types
        places = [
            (a, b)
            for a, (names, _) in enumerate(self.limits)
            for b, (others, _) in enumerate(self.limits)
            if first in names and second in others
        ]
        return self.total >= 2 and any(a != b or self.limits[a][1] >= 2 for a, b in places)


@dataclass(frozen=True, slots=True)
class Radio:
    """What `iw phy` says of one radio."""

    name: str
    modes: frozenset[str] = frozenset()
    software_modes: frozenset[str] = frozenset()
    """Types that can be added beside anything else."""
    combinations: tuple[Combination, ...] = ()
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class Interface:
    """What `iw dev` says of one interface. ``channel`` is None where it says none: down, not joined, or a monitor
    beside an access point."""

    name: str
    radio: str
    type: str
    channel: int | None = None
    frequency_mhz: int | None = None
    is_up: bool | None = None

    @property
    def is_serving(self) -> bool:
        """Others depend on its channel: an access point, or a station that has joined one."""
        return (self.type in SERVING_TYPES and self.is_up is not False) or (
            self.type != "monitor" and self.channel is not None
        )


@dataclass
class _Draft:
    name: str
    modes: set[str] = field(default_factory=set)
    software_modes: set[str] = field(default_factory=set)
    combinations: list[str] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)

    def finish(self) -> Radio:
        combinations = tuple(map(_combination, self.combinations))
        return Radio(
            self.name, frozenset(self.modes), frozenset(self.software_modes), combinations, tuple(self.channels)
        )


def parse_radios(text: str) -> tuple[Radio, ...]:
    """`iw phy` (the same as `iw list`) -> radios, in the text's order. Lines of no use to us are passed over."""
    drafts: list[_Draft] = []
    chapter = ""
    for line in text.splitlines():
        if line.startswith("Wiphy "):
            drafts.append(_Draft(line[6:].strip()))
            chapter = ""
        elif drafts:
            chapter = _read_line(drafts[-1], line, chapter)
    return tuple(draft.finish() for draft in drafts)


def _read_line(draft: _Draft, line: str, chapter: str) -> str:
    """Take one line into the draft; gives the chapter that the next line belongs to."""
    words = line.strip()
    frequency = FREQUENCY.match(words)
    if frequency:
        draft.channels.append(_channel(frequency["number"], frequency["mhz"], frequency["rest"]))
        return chapter
    if words.endswith(":") and not words.startswith("*"):
        return words[:-1]
    if chapter == "Supported interface modes" and words.startswith("* "):
        draft.modes.add(words[2:])
    elif chapter.startswith("software interface modes") and words.startswith("* "):
        draft.software_modes.add(words[2:])
    elif chapter == "valid interface combinations" and words.startswith("* "):
        draft.combinations.append(words[2:])
    elif chapter == "valid interface combinations" and words.startswith(("total", "#{", "beacon", "radar")):
        draft.combinations[-1:] = [" ".join([*draft.combinations[-1:], words])]  # a combination runs over several lines
    else:
        return chapter if words.startswith("*") else ""
    return chapter


def _channel(number: str, mhz: str, rest: str) -> Channel:
    return Channel(
        int(number),
        int(mhz),
        is_disabled="disabled" in rest,
        is_radar="radar" in rest,
        is_no_ir=any(word in rest for word in NO_IR_WORDS),
    )


def _combination(text: str) -> Combination:
    limits = tuple(
        (frozenset(name.strip() for name in part["types"].split(",")), int(part["most"]))
        for part in COMBINATION_PART.finditer(text)
    )
    total = re.search(r"total <= (\d+)", text)
    channels = re.search(r"#channels <= (\d+)", text)
    return Combination(limits, int(total[1]) if total else 0, int(channels[1]) if channels else 1)


def parse_interfaces(text: str) -> tuple[Interface, ...]:
    """`iw dev` -> interfaces, in the text's order. Interfaces without a name (P2P devices) are passed over."""
    return tuple(_interfaces(text))


def _interfaces(text: str) -> Iterator[Interface]:
    radio = ""
    facts: dict[str, str] = {}
    for line in [*text.splitlines(), "phy#"]:
        words = line.strip()
        if words.startswith(("phy#", "Interface ", "Unnamed")):
            if facts.get("Interface"):
                yield _interface(radio, facts)
            facts = {}
        if words.startswith("phy#"):
            radio = f"phy{words[4:]}"
        else:
            key, _, value = words.partition(" ")
            facts[key] = value


def _interface(radio: str, facts: dict[str, str]) -> Interface:
    tuned = re.match(r"(\d+) \((\d+)", facts.get("channel", ""))
    return Interface(
        facts["Interface"],
        radio,
        facts.get("type", "unknown"),
        int(tuned[1]) if tuned else None,
        int(tuned[2]) if tuned else None,
    )
