"""Reads what the kernel shows and runs commands (shell). Nothing here decides."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from firmware_hooks.capability import RadioReport, judge
from firmware_hooks.errors import CommandFailed, NotPermitted, ToolMissing
from firmware_hooks.iw_text import Interface, parse_interfaces, parse_radios

COMMAND_TIMEOUT_S = 15
"""A radio whose firmware hangs must not hang us with it."""
SYSTEM_PATH = "/usr/sbin:/sbin"
"""Where Debian keeps iw and ip; the PATH of a person without root lacks it."""
IFF_UP = 0x1
PERMISSION_WORDS = ("(-1)", "Operation not permitted", "Permission denied")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command gave. ``errno`` is the kernel's, where iw names it: 16 for `(-16)`."""

    code: int
    output: str
    error: str

    @property
    def errno(self) -> int | None:
        """The kernel's reason as a positive number, or None."""
        found = re.search(r"\(-(\d+)\)", self.error)
        return int(found[1]) if found else None


Run = Callable[[Sequence[str]], Answer]


def run_command(command: Sequence[str]) -> Answer:
    """Run one program without a shell. Raises ToolMissing; a command that hangs is answered as a failure (code 124)."""
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False, env=environment
        )
    except (FileNotFoundError, PermissionError) as error:  # the latter where a folder of PATH is closed to this user
        raise ToolMissing(
            f"the program '{command[0]}' is not installed; on Debian: apt install iw iproute2, on OpenWrt: opkg install iw"
        ) from error
    except subprocess.TimeoutExpired:
        return Answer(124, "", f"no answer within {COMMAND_TIMEOUT_S} s; the radio's firmware may hang")
    return Answer(done.returncode, done.stdout, done.stderr)


class System:
    """This machine's radios; ``sys_root`` and ``run`` are others' in tests."""

    def __init__(self, run: Run = run_command, sys_root: Path = Path("/sys")) -> None:
        self.run = run
        self.sys_root = sys_root

    def reports(self) -> tuple[RadioReport, ...]:
        """Every radio as it is now. Raises ToolMissing, CommandFailed."""
        radios = parse_radios(self._ask("iw", "phy"))
        return judge(radios, self.interfaces(), {radio.name: self.driver(radio.name) for radio in radios})

    def interfaces(self) -> tuple[Interface, ...]:
        """Every interface as it is now. Raises ToolMissing, CommandFailed."""
        found = parse_interfaces(self._ask("iw", "dev"))
        return tuple(replace(i, radio=self._radio_of(i.name) or i.radio, is_up=self._is_up(i.name)) for i in found)

    def driver(self, radio: str) -> str | None:
        """Name of the kernel driver, e.g. "ath9k", or None where /sys does not say."""
        link = self.sys_root / "class/ieee80211" / radio / "device/driver"
        try:
            return os.path.basename(os.readlink(link))
        except OSError:
            return None

    def _radio_of(self, interface: str) -> str | None:
        # `iw dev` numbers radios (phy#1) and does not name them; a renamed radio has another name than phy1.
        try:
            return (self.sys_root / "class/net" / interface / "phy80211/name").read_text().strip()
        except OSError:
            return None

    def _is_up(self, interface: str) -> bool | None:
        try:
            return bool(int((self.sys_root / "class/net" / interface / "flags").read_text(), 16) & IFF_UP)
        except (OSError, ValueError):
            return None

    def _ask(self, *command: str) -> str:
        answer = self.run(command)
        if answer.code:
            raise failure(command, answer)
        return answer.output


def failure(command: Sequence[str], answer: Answer) -> CommandFailed | NotPermitted:
    """A command's failure as an error of ours, with the next step."""
    said = answer.error.strip().replace("\n", "; ") or f"exit code {answer.code}"
    text = f"`{' '.join(command)}` failed: {said}"
    if any(word in answer.error for word in PERMISSION_WORDS):
        return NotPermitted(f"{text}; run it as root, or with CAP_NET_ADMIN")
    return CommandFailed(text + EXPLANATIONS.get(answer.errno or 0, ""))


EXPLANATIONS = {
    16: "; the radio is busy: an interface of it serves, or is up on another channel",
    19: "; the interface went away meanwhile: a `wifi` restart or an unplugged adapter does that",
    22: "; the kernel does not take the value: a disabled channel, or a name too long",
    23: "; the name exists already",
    95: "; the driver cannot do it: try --convert, which changes the type of the radio's own interface",
}
"""errno -> what it meant where we met it (tests/golden/iw/errors.txt)."""
