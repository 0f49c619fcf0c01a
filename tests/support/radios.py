"""A kernel with radios, as `iw` and `ip` show it: a stand-in for `firmware_hooks.system.run_command`.

It answers with the texts and exit codes recorded from the real one (tests/golden/iw/errors.txt); test_stand_in_kernel
replays that recording against it. ``phys`` is radio name -> its `iw phy` text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_hooks.iw_text import parse_radios
from firmware_hooks.system import Answer

GOLDEN_IW = Path(__file__).resolve().parents[1] / "golden" / "iw"
SERVING = ("AP", "mesh point")
WORDS = {
    1: "Operation not permitted",
    2: "No such file or directory",
    16: "Device or resource busy",
    19: "No such device",
    22: "Invalid argument",
    23: "Too many open files in system",
    95: "Operation not supported",
}


def golden_iw(name: str) -> str:
    return (GOLDEN_IW / name).read_text()


@dataclass
class Vif:
    radio: str
    type: str
    is_up: bool = False
    frequency_mhz: int | None = None


class Refused(Exception):
    def __init__(self, errno: int, first: str = "") -> None:
        self.errno = errno
        self.first = first


class StandInKernel:
    """``is_root``, ``fails_at`` (a word in a command that is answered with an errno) and ``lies`` are for faults."""

    def __init__(self, phys: dict[str, str], vifs: dict[str, Vif]) -> None:
        self.phys = phys
        self.vifs = vifs
        self.is_root = True
        self.fails_at: dict[str, int] = {}
        self.lies = False
        self.can_add = True
        self.commands: list[str] = []

    def __call__(self, command: Sequence[str]) -> Answer:
        line = " ".join(command)
        self.commands.append(line)
        try:
            for word, errno in self.fails_at.items():
                if word in line:
                    raise Refused(errno)
            return Answer(0, self._answer(list(command)), "")
        except Refused as refused:
            if command[0] == "ip":
                name = command[-2]
                said = (
                    "RTNETLINK answers: Operation not permitted"
                    if refused.errno == 1
                    else f'Cannot find device "{name}"'
                )
                return Answer(2 if refused.errno == 1 else 1, "", said + "\n")
            first = f"kernel reports: {refused.first}\n" if refused.first else ""
            text = f"{first}command failed: {WORDS[refused.errno]} (-{refused.errno})\n"
            return Answer(256 - refused.errno, "", text)

    def changes(self) -> list[str]:
        """The commands that were to change something."""
        return [line for line in self.commands if line not in ("iw phy", "iw dev")]

    def _answer(self, words: list[str]) -> str:
        match words:
            case ["iw", "phy"]:
                return "".join(self.phys.values())
            case ["iw", "dev"]:
                return "".join(self._list(radio) for radio in reversed(self.phys))
            case ["ip", "link", "set", *_, name, ("up" | "down") as state]:
                self._link(name, state == "up")
            case ["iw", "phy", radio, "interface", "add", name, "type", type_, *_]:
                self._add(radio, name, type_)
            case ["iw", "dev", name, "del"]:
                self._own(name)
                del self.vifs[name]
            case ["iw", "dev", name, "set", "type", type_]:
                self._set_type(name, type_)
            case ["iw", "dev", name, "set", ("freq" | "channel") as kind, value]:
                self._set_channel(name, kind, int(value))
            case ["iw", "dev", name, "info"]:
                if name not in self.vifs:
                    raise Refused(19)
            case _:
                raise AssertionError(f"the stand-in knows no {words}")
        return ""

    def _own(self, name: str) -> Vif:
        if name not in self.vifs:
            raise Refused(19)
        if not self.is_root:
            raise Refused(1)
        return self.vifs[name]

    def _link(self, name: str, is_up: bool) -> None:
        if self.lies and self._own(name).type == "monitor":
            return
        self._own(name).is_up = is_up

    def _add(self, radio: str, name: str, type_: str) -> None:
        if radio not in self.phys:
            raise Refused(2)
        if not self.is_root:
            raise Refused(1)
        if len(name) > 15:
            raise Refused(22, "Attribute failed policy validation")
        if name in self.vifs:
            raise Refused(23)
        if not self.can_add:
            raise Refused(95)
        self.vifs[name] = Vif(radio, type_)

    def _set_type(self, name: str, type_: str) -> None:
        if self._own(name).is_up:
            raise Refused(16)
        self.vifs[name].type = type_

    def _set_channel(self, name: str, kind: str, value: int) -> None:
        vif = self._own(name)
        others = [v for n, v in self.vifs.items() if v.radio == vif.radio and v.is_up and n != name]
        if not vif.is_up or any(other.type != "monitor" for other in others):
            raise Refused(16)
        channels = parse_radios(self.phys[vif.radio])[0].channels
        found = [c for c in channels if value == (c.frequency_mhz if kind == "freq" else c.number)]
        if not found or found[0].is_disabled:
            raise Refused(22, "Channel is disabled")
        vif.frequency_mhz = found[0].frequency_mhz

    def _list(self, radio: str) -> str:
        number = radio.removeprefix("phy")
        lines = [f"phy#{number}"]
        for name, vif in self.vifs.items():
            if vif.radio == radio:
                lines += [f"\tInterface {name}", "\t\tifindex 7", "\t\taddr 02:00:00:00:00:07", f"\t\ttype {vif.type}"]
                if vif.frequency_mhz and vif.is_up:
                    channel = next(
                        c for c in parse_radios(self.phys[radio])[0].channels if c.frequency_mhz == vif.frequency_mhz
                    )
                    lines.append(
                        f"\t\tchannel {channel.number} ({vif.frequency_mhz} MHz), width: 20 MHz, center1: 0 MHz"
                    )
        return "\n".join(lines) + "\n"

    def sys_root(self, folder: Path) -> Path:
        """Write what /sys shows of the interfaces now."""
        for name, vif in self.vifs.items():
            place = folder / "class/net" / name
            (place / "phy80211").mkdir(parents=True, exist_ok=True)
            (place / "flags").write_text(f"{0x1002 | vif.is_up:#x}\n")
            (place / "phy80211/name").write_text(vif.radio + "\n")
        return folder
