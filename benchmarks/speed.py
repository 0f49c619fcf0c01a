"""Cases 1 and 7: frames per second of the whole agent beside other dissectors, and of the simulator."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.dissectors import tshark_command
from benchmarks.inputs import Input
from benchmarks.processes import AGENT, PYTHON, BenchError, run
from benchmarks.report import Row, Section, at_least, at_most, show
from benchmarks.rounds import alternate, ratio

SCAPY_TIMES, TSHARK_TIMES = 100, 5
"""Promised of the pipeline on the captures of real phones. `count` is no part of it: it looks at all bursts a second time, afterwards."""
SIMULATOR_LONGEST_S = 60
METHOD = """\
The whole agent is `ivizone-agent replay`: reading the file, decoding, tracking, placing, pseudonyms, sightings, encoding and Ed25519
signatures. The others only take fields (time, address, sequence number, signal, channel, element numbers) out of the same file. Each is a
process of its own; its figure is frames / (processor seconds for the whole capture - processor seconds for the capture's first frame), so
nobody's start-up counts. {rounds} rounds of all in turn, scapy once and the
faster ones {repeats} times in each, of which the median counts; ratios are the median of the rounds' own ratios."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One dissector. A fast one, which a hiccup would sway, runs several times a round, and the median counts."""

    name: str
    command: Callable[[Path], Sequence[str]]
    is_fast: bool


def tools(config: Path) -> list[Tool]:
    """Those that are here: tshark may not be."""
    found = [
        Tool("agent", lambda capture: (*AGENT, "replay", str(capture), "--json", "--config", str(config)), True),
        Tool("count", lambda capture: (*AGENT, "count", str(capture), "--json", "--config", str(config)), True),
        Tool("scapy", lambda capture: (PYTHON, "-m", "benchmarks.dissectors", "scapy", str(capture)), False),
        Tool("dpkt", lambda capture: (PYTHON, "-m", "benchmarks.dissectors", "dpkt", str(capture)), True),
    ]
    return [*found, Tool("tshark", tshark_command, True)] if shutil.which("tshark") else found


def frames_per_second(tool: Tool, capture: Input, repeats: int) -> float:
    """Frames of the capture per processor second, start-up taken off."""

    def processor_s() -> float:
        return run(tool.command(capture.path)).cpu_s - run(tool.command(capture.first_frame)).cpu_s

    return capture.frames / max(1e-3, median(processor_s() for _ in range(repeats if tool.is_fast else 1)))


def section(capture: Input, config: Path, rounds: int, repeats: int, *, is_promised: bool) -> Section:
    """One capture through all tools. Targets stand only where they were promised."""
    present = tools(config)
    measures = {tool.name: (lambda tool=tool: frames_per_second(tool, capture, repeats)) for tool in present}
    found = alternate(measures, rounds)
    rows = [Row(_title(name), show(median(speeds), "frames/s")) for name, speeds in found.items()]
    for name, times in (("scapy", SCAPY_TIMES), ("dpkt", None), ("tshark", TSHARK_TIMES)):
        what = f"agent / {name}"
        if name not in found:
            rows.append(Row(what, f"not measured: {name} is not installed"))
        elif times and is_promised:
            rows.append(at_least(what, ratio(found["agent"], found[name]), times, "times"))
        else:
            rows.append(Row(what, show(ratio(found["agent"], found[name]), "times")))
    rows.append(Row("count / scapy", show(ratio(found["count"], found["scapy"]), "times")))
    return Section(
        f"Frames per second: {capture.name}, {capture.frames:,} frames",
        METHOD.format(rounds=rounds, repeats=repeats),
        rows,
    )


def _title(name: str) -> str:
    ours = {
        "agent": "whole agent, capture in, signed batches out",
        "count": "`ivizone-agent count`, devices resolved with all bursts at hand",
    }
    return ours.get(name, f"{name}, the fields alone")


def simulator_section(folder: Path, shoppers: int) -> Section:
    """A day from the seed to the capture and its truth on disk."""
    took = run((PYTHON, "-m", "simulator", str(folder / "simulated"), "--shoppers", str(shoppers)))
    try:
        frames = int(took.output.split()[0].replace(b",", b""))
    except (IndexError, ValueError) as error:
        raise BenchError(f"the simulator did not say how many frames it wrote: {took.output[:200]!r}") from error
    return Section(
        f"The simulator: a day of {shoppers:,} shoppers",
        "`ivizone-simulate` in a process of its own, from its start to capture and truth on disk; seconds on the clock.",
        [
            at_most("a whole day", took.wall_s, SIMULATOR_LONGEST_S, "s"),
            Row("frames written", show(frames / took.wall_s, "frames/s")),
        ],
    )
