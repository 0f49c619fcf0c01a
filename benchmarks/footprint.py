"""Cases 2 and 4: what a replay needs of memory, and how fast a command answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.processes import AGENT, PYTHON, run
from benchmarks.report import Row, Section, at_most, show
from benchmarks.rounds import alternate, ratio

PEAK_MB = 40
TRACKING_MB = 4
GROWTH = 1.05
"""Peaks of two runs of one command differ by a few percent; a leak over nine more days would be far beyond it."""


def memory_section(day: Path, days: Path, many: int, phones: Sequence[Path], config: Path, rounds: int) -> Section:
    """Peak resident memory of a replay, and of one ``many`` times as long."""

    def peak_mb(*captures: Path) -> float:
        return run((*AGENT, "replay", *map(str, captures), "--json", "--config", str(config))).peak_mb

    measures = {"day": lambda: peak_mb(day), "days": lambda: peak_mb(days)}
    if phones:
        measures["phones"] = lambda: peak_mb(*phones)
    found = alternate(measures, rounds)
    rows = [
        at_most("a simulated day", median(found["day"]), PEAK_MB, "MB"),
        at_most(f"{many} such days in one capture", median(found["days"]), PEAK_MB, "MB"),
        at_most("the longer one / the shorter one", ratio(found["days"], found["day"]), GROWTH, "times"),
    ]
    if phones:
        rows.append(
            at_most(
                f"{len(phones)} captures of real phones, merged by the replay itself",
                median(found["phones"]),
                PEAK_MB,
                "MB",
            )
        )
    method = (
        f"Peak resident set (`ru_maxrss`, units of 1,000,000 bytes) of `ivizone-agent replay` in its own process, shared libraries "
        f"included, {rounds} rounds, median. An interpreter that does nothing has {show(run((PYTHON, '-c', 'pass')).peak_mb, 'MB')}."
    )
    return Section("Peak memory of a replay", method, rows)


def tracking_section(live: int, resolved: int) -> Section:
    """What tracking holds while a multitude of addresses goes by."""

    def held_mb(what: str, addresses: int) -> float:
        return int(json.loads(run((PYTHON, "-m", "benchmarks.multitude", what, str(addresses))).output)["bytes"]) / 1e6

    return Section(
        "Memory of tracking",
        "Most bytes that Python's own allocator gave the trackers at any time (`tracemalloc`, units of 1,000,000 bytes), with the default caps and "
        "the highest number of models that they remember; every address is heard once, 50 a second.",
        [
            at_most(f"live, {live:,} addresses", held_mb("live", live), TRACKING_MB, "MB"),
            at_most(
                f"live and the resolver of `count`, {resolved:,} addresses",
                held_mb("resolver", resolved),
                TRACKING_MB,
                "MB",
            ),
        ],
    )


def start_up_section(one_frame: Path, config: Path, rounds: int) -> Section:
    """How long until a command has answered."""
    commands = {
        "python": (PYTHON, "-c", "pass"),
        "version": (*AGENT, "version"),
        "replay": (*AGENT, "replay", str(one_frame), "--json", "--config", str(config)),
    }
    found = alternate(
        {name: (lambda command=command: run(command).wall_s * 1000) for name, command in commands.items()}, rounds
    )
    return Section(
        "Start-up",
        f"Milliseconds on the clock from the start of the process to its end, {rounds} rounds, median. The replay is of a capture of one "
        "frame, so it holds the way to the first frame, that frame's batch with its signature, and the end of the process.",
        [
            Row("`python -c pass`", show(median(found["python"]), "ms")),
            Row("`ivizone-agent version`", show(median(found["version"]), "ms")),
            Row("`ivizone-agent version` / `python -c pass`", show(ratio(found["version"], found["python"]), "times")),
            Row("`ivizone-agent replay` of one frame", show(median(found["replay"]), "ms")),
            Row("the same / `python -c pass`", show(ratio(found["replay"], found["python"]), "times")),
        ],
    )
