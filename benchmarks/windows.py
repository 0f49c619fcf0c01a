"""How far the live estimate of devices is off, window by window and over a crowd's whole time, beside the interval that it states.

    python -m benchmarks.windows --phones FOLDER --crowds 12

The error that the tracker adds for what its own decisions do not know of (MODEL_ERROR) must make both intervals hold the truth nine times
of ten: a window's, and that of the whole, which a day's figures rest on. Crowds are those of the accuracy card, heard by one radio.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import fmean

from agent.tracking.estimate import DeviceEstimate
from agent.tracking.tracker import Tracker, TrackingSettings
from benchmarks.accuracy.crowds import KINDS, Crowd, load_sessions

WINDOW_US = 30_000_000
STEP_US = 1_000_000
Judged = tuple[float, DeviceEstimate]
"""How many devices there were, and what was said."""


def windows(crowd: Crowd) -> tuple[list[Judged], Judged]:
    """Every window that held anything, and the whole."""
    tracker = Tracker(TrackingSettings())
    found: list[Judged] = []
    heard: set[int] = set()
    ends_us, next_us = WINDOW_US, 0
    for time_us, request, device in crowd.frames:
        while time_us >= ends_us:
            tracker.advance(ends_us)
            said = tracker.window_estimate()
            if heard and said.devices:
                found.append((len(heard), said))
            heard, ends_us = set(), ends_us + WINDOW_US
        if time_us >= next_us:
            tracker.advance(time_us)
            next_us = time_us + STEP_US
        tracker.observe(request, time_us)
        heard.add(device)
    tracker.flush()
    return found, (crowd.devices, tracker.estimate())


def lines(kinds: dict[str, list[Judged]]) -> Iterator[str]:
    """A table in Markdown."""
    yield "| crowds | judged | devices | mean error | mean absolute error | interval held | half width |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for kind, judged in kinds.items():
        errors = [said.devices / true - 1 for true, said in judged]
        held = fmean(said.low <= true <= said.high for true, said in judged)
        width = fmean((said.high - said.low) / 2 / said.devices for _, said in judged)
        true = fmean(true for true, _ in judged)
        yield (
            f"| {kind} | {len(judged)} | {true:.1f} | {100 * fmean(errors):+.1f} % | {100 * fmean(map(abs, errors)):.1f} % | "
            f"{100 * held:.0f} % | {100 * width:.0f} % |"
        )


def measured(folder: Path, crowds: int) -> dict[str, list[Judged]]:
    """Kind, by window and whole -> what was judged."""
    sessions = load_sessions(folder)
    found: dict[str, list[Judged]] = {}
    for kind, made in KINDS.items():
        for seed in range(crowds):
            by_window, whole = windows(made(sessions, Random(f"{kind}/{seed}"), 1))
            found.setdefault(f"{kind}, windows of 30 s", []).extend(by_window)
            found.setdefault(f"{kind}, whole", []).append(whole)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 ok, 2 usage."""
    parser = argparse.ArgumentParser(description="The live estimate of devices beside the truth.")
    parser.add_argument("--phones", type=Path, required=True, metavar="FOLDER", help="labelled captures")
    parser.add_argument("--crowds", type=int, default=12)
    options = parser.parse_args(arguments)
    print("\n".join(lines(measured(options.phones, options.crowds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
