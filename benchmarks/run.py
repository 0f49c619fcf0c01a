"""`make bench`: every case in one run, as ratios; prints the report, and writes it with ``--write FILE``.

``--quick`` runs every case on tiny inputs: it shows that the benchmarks work, its figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from agent import __version__
from benchmarks import batches, footprint, freshness, ingest, inputs, speed
from benchmarks.processes import CHECKOUT, BenchError
from benchmarks.report import Section, markdown, missed

INTRODUCTION = """\
Made by `{command}` on {day}: Ivizone {version}, Python {python}, {cores} cores ({machine}), {system}; data on {disk}.{quick}

Absolute figures are this machine's and this hour's. What counts are the ratios: in every comparison the two sides took turns in this one run, so
that both met the same machine. A figure under load of other programs moves; a ratio of medians moves less. Targets are those that the
project set itself; where one is missed, it says so."""
QUICK = "\n\n**A quick run on tiny inputs: it shows that the benchmarks work. Its figures mean nothing.**"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    rounds: int
    repeats: int
    uses_phones: bool
    """Where their captures are here."""
    day_shoppers: int
    live_addresses: int
    resolved_addresses: int
    days: int
    """The longer capture of the memory case, in days."""
    start_ups: int
    full_shoppers: int
    """A busy day."""
    full_days: int
    large_batch: int
    requests: int
    ingest_rounds: int
    agents: int
    batches_before: int
    uploads: int


FULL = Sizes(
    rounds=3,
    repeats=3,
    uses_phones=True,
    day_shoppers=500,
    live_addresses=1_000_000,
    resolved_addresses=12_000,
    days=10,
    start_ups=11,
    full_shoppers=2000,
    full_days=3,
    large_batch=batches.LARGE,
    requests=10_000,
    ingest_rounds=7,
    agents=16,
    batches_before=1000,
    uploads=60,
)
QUICK_SIZES = Sizes(
    rounds=1,
    repeats=1,
    uses_phones=False,
    day_shoppers=4,
    live_addresses=2000,
    resolved_addresses=500,
    days=2,
    start_ups=1,
    full_shoppers=40,
    full_days=1,
    large_batch=300,
    requests=60,
    ingest_rounds=1,
    agents=2,
    batches_before=20,
    uploads=3,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 measured (also where a target is missed), 5 a measured part failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--write", metavar="FILE", type=Path, help="also write the report there")
    parser.add_argument("--quick", action="store_true", help="tiny inputs, meaningless figures")
    parser.add_argument(
        "--only", metavar="CASE", choices=CASES, action="append", help=f"one or more of {', '.join(CASES)}"
    )
    options = parser.parse_args(arguments)
    sizes = QUICK_SIZES if options.quick else FULL
    # Beside the checkout's own files, not where a memory file system would make every fsync free.
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=_scratch()))
    try:
        sections = list(measured(folder, sizes, options.only or list(CASES)))
    except BenchError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 5
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report = markdown(introduction(options.quick), sections)
    print(report)
    for line in missed(sections):
        print(f"missed: {line}", file=sys.stderr)
    if options.write:
        options.write.write_text(report)
    return 0


def measured(folder: Path, sizes: Sizes, cases: Sequence[str]) -> Iterator[Section]:
    """The sections of the chosen cases, as they are done."""
    for number, name in enumerate(cases, 1):
        print(f"[{number}/{len(cases)}] {name}", file=sys.stderr, flush=True)
        yield from CASES[name](folder, sizes)


# --- cases --------------------------------------------------------------------------------------------------------------


def _speed(folder: Path, sizes: Sizes) -> Iterator[Section]:
    config = _config(folder)
    phones = inputs.phones_folder() if sizes.uses_phones else None
    if phones:
        capture = inputs.merged_phones(phones, folder)
        yield speed.section(capture, config, sizes.rounds, sizes.repeats, is_promised=True)
    yield speed.section(
        inputs.simulated_day(folder, sizes.day_shoppers), config, sizes.rounds, sizes.repeats, is_promised=False
    )


def _memory(folder: Path, sizes: Sizes) -> Iterator[Section]:
    day = inputs.simulated_day(folder, sizes.day_shoppers).path
    days = inputs.simulated_days(folder, sizes.day_shoppers, sizes.days)
    phones = inputs.phones_folder() if sizes.uses_phones else None
    captures = sorted(phones.glob("*/*.pcap")) if phones else []
    yield footprint.memory_section(day, days, sizes.days, captures, _config(folder), sizes.rounds)


def _tracking(_folder: Path, sizes: Sizes) -> Iterator[Section]:
    yield footprint.tracking_section(sizes.live_addresses, sizes.resolved_addresses)


def _start_up(folder: Path, sizes: Sizes) -> Iterator[Section]:
    one_frame = inputs.simulated_day(folder, sizes.day_shoppers).first_frame
    yield footprint.start_up_section(one_frame, _config(folder), sizes.start_ups)


def _bytes(_folder: Path, sizes: Sizes) -> Iterator[Section]:
    yield batches.size_section(sizes.full_shoppers, sizes.full_days, sizes.large_batch)


def _ingest(folder: Path, sizes: Sizes) -> Iterator[Section]:
    yield ingest.section(folder, sizes.requests, sizes.ingest_rounds, sizes.full_shoppers, sizes.agents)


def _freshness(folder: Path, sizes: Sizes) -> Iterator[Section]:
    yield freshness.section(folder / "fresh", sizes.full_shoppers, sizes.batches_before, sizes.uploads)


def _simulator(folder: Path, sizes: Sizes) -> Iterator[Section]:
    yield speed.simulator_section(folder, sizes.full_shoppers)


CASES: dict[str, Callable[[Path, Sizes], Iterator[Section]]] = {
    "speed": _speed,
    "memory": _memory,
    "tracking": _tracking,
    "bytes": _bytes,
    "start-up": _start_up,
    "ingest": _ingest,
    "freshness": _freshness,
    "simulator": _simulator,
}


# --- around them --------------------------------------------------------------------------------------------------------


def introduction(is_quick: bool) -> str:
    """What, when, where."""
    return INTRODUCTION.format(
        command="make bench",
        day=date.today().isoformat(),
        version=__version__,
        python=platform.python_version(),
        cores=os.cpu_count(),
        machine=platform.machine(),
        system=f"Linux {platform.release().split('-')[0]}" if sys.platform == "linux" else platform.system(),
        disk=_file_system(_scratch()),
        quick=QUICK if is_quick else "",
    )


def _config(folder: Path) -> Path:
    """A configuration of this run, so that whatever is installed on the machine plays no part."""
    path = folder / "agent.yaml"
    path.write_text(f"privacy:\n  site_key_file: {folder / 'no-site.key'}\n")
    return path


def _scratch() -> Path:
    folder = CHECKOUT / "build"
    folder.mkdir(exist_ok=True)
    return folder


def _file_system(folder: Path) -> str:
    """The kind of file system, because an fsync costs nothing on some."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "an unknown file system"
    holding = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]))[1]


if __name__ == "__main__":
    sys.exit(main())
