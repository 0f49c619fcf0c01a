"""From the state that is wanted to the commands that make it, each with its undo (core).

What the kernel answers, so that a plan avoids it or `apply` can explain it (iw 5.19 on Linux 6.1, tests/golden/iw/errors.txt):

    name in use, same radio or another     -23 ENFILE
    name longer than 15 characters         -22 EINVAL
    channel set while the monitor is down  -16 EBUSY
    channel set beside an access point,
    or beside any interface that is up     -16 EBUSY
    type changed while the interface is up -16 EBUSY
    channel disabled by the regulation     -22 EINVAL, "Channel is disabled"
    not root                               -1 EPERM
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from firmware_hooks.capability import RadioReport, advice, choose
from firmware_hooks.errors import NameTaken, RadioUnfit, RadioUnknown
from firmware_hooks.iw_text import Interface

DEFAULT_INTERFACE = "mon0"
NAME_ALLOWED = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
"""15 characters are the kernel's limit (IFNAMSIZ); a slash or a blank would end up in a path or a command."""

MONITOR_FLAGS = ("otherbss",)
"""Frames of other networks, no control frames, no broken ones. Without `otherbss` mac80211 does not ask the hardware of a
radio without an access point for probe requests at all (net/mac80211: fif_probe_req is raised by AP and IBSS only);
control frames would only cost the processor interrupts."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command; ``undo`` is None where nothing has to be undone."""

    command: tuple[str, ...]
    undo: tuple[str, ...] | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. No steps: the wanted state is there already. ``home_channel``: None where the radio is free."""

    interface: str
    radio: str
    steps: tuple[Step, ...]
    may_hop: bool = False
    home_channel: int | None = None
    converted: str | None = None
    """The interface that becomes the monitor, where the driver cannot add one."""


def plan_monitor(
    reports: Iterable[RadioReport],
    *,
    radio: str | None = None,
    interface: str = DEFAULT_INTERFACE,
    takes_radio: bool = False,
    converts: bool = False,
) -> Plan:
    """Commands that give a monitor interface that is up.

    ``radio``: None chooses one. ``takes_radio``: other interfaces of the radio that serve nobody are taken down, so that
    it can hop. ``converts``: change the type of the radio's own interface instead of adding one, for drivers that cannot
    add. Raises RadioUnknown, RadioUnfit, NameTaken.
    """
    known = tuple(reports)
    check_name(interface)
    chosen = find_radio(known, radio)
    if not chosen.may_monitor_now:
        raise RadioUnfit(advice(chosen))
    existing = _existing(known, chosen, interface)
    if converts:
        return _plan_conversion(chosen, interface)
    steps = [] if existing else [_add(chosen.radio.name, interface)]
    if takes_radio and not chosen.serving:
        steps += [_take_down(other) for other in chosen.interfaces if _is_idle(other) and other.name != interface]
    if existing is None or existing.is_up is not True:
        steps.append(_bring_up(interface))
    return Plan(interface, chosen.radio.name, tuple(steps), chosen.may_hop, chosen.home_channel)


def plan_removal(interfaces: Iterable[Interface], name: str = DEFAULT_INTERFACE) -> Plan:
    """Commands that remove the monitor interface; none where it is gone. Raises NameTaken if it is something else."""
    found = next((interface for interface in interfaces if interface.name == name), None)
    if found is None:
        return Plan(name, "", ())
    if found.type != "monitor":
        raise NameTaken(f"interface {name} is of type {found.type}, not monitor; it is not removed")
    steps = (
        Step(("ip", "link", "set", "dev", name, "down"), ("ip", "link", "set", "dev", name, "up"), f"stop {name}"),
        Step(("iw", "dev", name, "del"), None, f"remove {name}"),
    )
    return Plan(name, found.radio, steps)


def find_radio(reports: tuple[RadioReport, ...], name: str | None) -> RadioReport:
    """The radio of that name, or the best. Raises RadioUnknown, RadioUnfit."""
    if not reports:
        raise RadioUnknown("this machine has no Wi-Fi radio that the kernel knows; `iw phy` prints nothing")
    if name is None:
        chosen = choose(reports)
        if chosen is None:
            raise RadioUnfit("no radio can listen now. " + ". ".join(map(advice, reports)))
        return chosen
    for report in reports:
        if report.radio.name == name:
            return report
    names = ", ".join(report.radio.name for report in reports)
    raise RadioUnknown(f"radio {name!r} does not exist; there are {names}")


def check_name(interface: str) -> None:
    """Raises NameTaken where the kernel or a shell would stumble over the name."""
    if not NAME_ALLOWED.fullmatch(interface):
        raise NameTaken(
            f"interface name {interface!r} is not allowed; use 1 to 15 letters, digits, '_', '.' or '-', a letter first"
        )


def free_name(taken: Iterable[str], wanted: str = DEFAULT_INTERFACE) -> str:
    """``wanted``, or the next name of its kind that nobody has."""
    names = set(taken)
    stem = wanted.rstrip("0123456789") or "mon"
    candidates = (wanted, *(f"{stem[:12]}{number}" for number in range(len(names) + 1)))
    return next(name for name in candidates if name not in names)


def _existing(reports: tuple[RadioReport, ...], chosen: RadioReport, name: str) -> Interface | None:
    """The monitor interface that is there already. Raises NameTaken if the name is somebody else's."""
    everything = [interface for report in reports for interface in report.interfaces]
    found = next((interface for interface in everything if interface.name == name), None)
    if found is None or (found.type == "monitor" and found.radio == chosen.radio.name):
        return found
    free = free_name([interface.name for interface in everything], name)
    raise NameTaken(
        f"interface {name} exists on {found.radio} as {found.type}; choose another name, {free} is free, or remove it: iw dev {name} del"
    )


def _is_idle(interface: Interface) -> bool:
    return interface.type != "monitor" and not interface.is_serving and interface.is_up is not False


def _add(radio: str, name: str) -> Step:
    command = ("iw", "phy", radio, "interface", "add", name, "type", "monitor", "flags", *MONITOR_FLAGS)
    return Step(command, ("iw", "dev", name, "del"), f"add the monitor interface {name} on {radio}")


def _bring_up(name: str) -> Step:
    return Step(("ip", "link", "set", "dev", name, "up"), ("ip", "link", "set", "dev", name, "down"), f"start {name}")


def _take_down(other: Interface) -> Step:
    command = ("ip", "link", "set", "dev", other.name, "down")
    return Step(command, (*command[:-1], "up"), f"take {other.name} down, which nobody uses, so that the radio may hop")


def _plan_conversion(chosen: RadioReport, wanted: str) -> Plan:
    """The radio's one interface becomes the monitor. It keeps its name, because renaming would confuse its manager."""
    if chosen.serving:
        raise RadioUnfit(
            f"{chosen.serving[0].name} serves; its type is not changed. Use source 'hostapd' or a second radio"
        )
    own = next((i for i in chosen.interfaces if i.type != "monitor"), None)
    if own is None:
        raise RadioUnfit(f"{chosen.radio.name} has no interface whose type could be changed to make {wanted}")
    name = own.name
    steps = (
        Step(("ip", "link", "set", "dev", name, "down"), ("ip", "link", "set", "dev", name, "up"), f"stop {name}"),
        Step(
            ("iw", "dev", name, "set", "type", "monitor"),
            ("iw", "dev", name, "set", "type", own.type),
            f"make {name} a monitor interface",
        ),
        _bring_up(name),
    )
    return Plan(name, chosen.radio.name, steps, may_hop=True, converted=name)
