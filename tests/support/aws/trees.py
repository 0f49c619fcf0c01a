"""Ends process trees, and as a script what a run of tests started, even where the run itself was killed.

Its parent writes "PID START" lines to its stdin for what it started; when stdin closes, whatever of that is still there is killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GONE_S = 10.0


def started(pid: int) -> str:
    """When a process began, in ticks since boot: with its number that names it, also once the number is given to another; "" where
    there is none or it is dead. Source: proc(5), /proc/pid/stat, fields 3 and 22."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def below(pid: int) -> list[int]:
    """Every process below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found + [deeper for child in found for deeper in below(child)]


def kill_tree(pid: int) -> None:
    """kill -9 of a process and of all below it, and wait until they are gone; the process itself is for its parent to reap.

    Not by process group: each backend of PostgreSQL has a session of its own, goes on after its postmaster was killed, and then the
    next postmaster finds the shared memory in use and gives up.
    """
    _send(pid, signal.SIGSTOP)  # it starts nothing more, and nothing loses its parent before we have seen it
    pids = [pid, *below(pid)]
    names = {one: started(one) for one in pids}
    for one in pids:
        _send(one, signal.SIGKILL)
    _wait_gone(names.items())


def _wait_gone(names: Iterable[tuple[int, str]]) -> None:
    until_s = time.monotonic() + GONE_S
    while any(start and started(pid) == start for pid, start in names) and time.monotonic() < until_s:
        time.sleep(0.01)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> None:
    """Wait for the end of stdin, then kill what is still there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin.readlines():
        pid, start = line.split()
        if started(int(pid)) == start:
            kill_tree(int(pid))


if __name__ == "__main__":
    main()
