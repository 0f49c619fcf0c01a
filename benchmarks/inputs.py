"""The captures that are measured: real phones where the shared data is here, and simulated days for everybody."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from agent.sources.pcap import PcapSource
from benchmarks.processes import CHECKOUT
from simulator.capture import write_capture
from simulator.day import DaySettings, simulate

FIRST_DAY = date(2026, 11, 2)


@dataclass(frozen=True, slots=True)
class Input:
    """One capture, and the same cut after its first frame: what a tool needs to start is measured on that."""

    name: str
    path: Path
    first_frame: Path
    frames: int


def phones_folder() -> Path | None:
    """The captures of real phones (notes of the project's shared folder), None where they are not here."""
    root = Path(os.environ.get("IVIZONE_SHARED", CHECKOUT.parent / "shared")) / "data" / "phones"
    return root if root.is_dir() else None


def merged_phones(phones: Path, folder: Path) -> Input:
    """All captures of real phones merged by time into one."""
    captures = sorted(phones.glob("*/*.pcap"))
    frames = [(frame.time_us, frame.data) for frame in PcapSource(captures)]
    return _written("all captures of real phones, merged by time", folder / "phones.pcap", frames)


def simulated_day(folder: Path, shoppers: int) -> Input:
    """A day in a store."""
    frames, _ = simulate(DaySettings(seed=1, date=FIRST_DAY.isoformat(), shoppers=shoppers))
    return _written("simulated day", folder / f"day-{shoppers}.pcap", frames)


def simulated_days(folder: Path, shoppers: int, days: int) -> Path:
    """One day after the other in one capture, each with its own phones."""
    path = folder / f"days-{days}.pcap"
    write_capture(path, _days(shoppers, days))
    return path


def _days(shoppers: int, days: int) -> Iterable[tuple[int, bytes]]:
    for number in range(days):
        day = FIRST_DAY + timedelta(days=number)
        yield from simulate(DaySettings(seed=number + 1, date=day.isoformat(), shoppers=shoppers))[0]


def _written(name: str, path: Path, frames: list[tuple[int, bytes]]) -> Input:
    first = path.with_suffix(".first.pcap")
    write_capture(path, frames)
    write_capture(first, frames[:1])
    return Input(name, path, first, len(frames))
