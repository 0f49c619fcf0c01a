"""Seeded schedules of faults through the whole path; each can be played again by its seed.

    make test-faults                    a thousand of them
    make test-faults SEEDS=17           the one, with everything that its processes said

One process imports everything, opens nothing and starts no thread; agents, clouds and the line between them are forked from it.
The seed decides what goes wrong and at which call; how threads of one process take turns is the machine's business, so a schedule that
failed once may need to be played a few times (REPEAT=20).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

SHIM_SOURCE = Path(__file__).with_name("shim.c")
POLL_S = 0.004
SCHEDULE_S = 120.0
RAM_DISK = Path("/dev/shm")


def build_shim(folder: Path) -> Path | None:
    """The disk of shim.c as a library; None where there is no C compiler."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    library = folder / "shim.so"
    if compiler is None:
        return None
    words = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SHIM_SOURCE), "-ldl", "-lpthread"]
    return library if subprocess.run(words, check=False).returncode == 0 else None


class Schedule:
    """One seed: the processes one after the other, and the account."""

    def __init__(self, base: Path, folder: Path, frames: Any, plan: Any) -> None:
        from faults.world import Shop

        self.plan, self.folder = plan, folder
        self.shop = Shop(base, folder, frames, plan)
        self.chance = random.Random(f"ivizone-faults/{plan.seed}/disk")
        self.log = folder / "log"
        self.happened: Counter[str] = Counter()
        self.flipped: set[tuple[str, int]] = set()
        self._living: set[int] = set()

    def run(self) -> None:
        """Until the last agent has sent everything."""
        from faults.network import Line

        plan = self.plan
        line = Line(
            self.shop.line_port, self.shop.cloud_port, plan.seed, plan.line_share, plan.line_most, plan.line_kinds
        )
        line_pid = self._fork(lambda: line.serve() or 0)
        try:
            self._live()
        finally:
            for pid in [line_pid, *self._living]:
                self._kill(pid)
        self.happened.update(line.faults())

    def _live(self) -> None:
        lives = {"agent": list(enumerate(self.plan.agents)), "cloud": list(enumerate(self.plan.clouds))}
        now: dict[str, tuple[int, Any, Any]] = {}
        deadline = time.monotonic() + SCHEDULE_S
        while True:
            if "agent" not in now:
                if not lives["agent"]:
                    break
                if len(lives["agent"]) == 1:
                    self.flipped |= self.shop.flip_spooled(self.chance)
                now["agent"] = self._begin("agent", *lives["agent"].pop(0))
            if "cloud" not in now and lives["cloud"] and not (self.plan.starts_cloud_late and lives["agent"]):
                now["cloud"] = self._begin("cloud", *lives["cloud"].pop(0))
            for who, (pid, life, before) in list(now.items()):
                if (code := self._ended(pid)) is not None:
                    del now[who]
                    self._after(who, life, code, before)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the schedule has not come to its end after {SCHEDULE_S:.0f} s")
            time.sleep(POLL_S)
        if "cloud" in now:
            pid, life, before = now["cloud"]
            os.kill(pid, signal.SIGTERM)
            while (code := self._ended(pid)) is None:
                if time.monotonic() > deadline:
                    raise TimeoutError("the cloud does not stop when asked")
                time.sleep(POLL_S)
            if life.disk_fault is None and life.memory_mib is None and life.kill_at is None and code:
                raise RuntimeError(f"the calm cloud ended with {code}")
            self._after("cloud", life, code, before)

    def _begin(self, who: str, number: int, life: Any) -> tuple[int, Any, Any]:
        before = self.shop.begin(who) if life.loses_power else None
        work = (lambda: self.shop.agent_life(number, life)) if who == "agent" else (lambda: self.shop.cloud_life(life))
        return self._fork(work, short=life.memory_mib is not None), life, before

    def _after(self, who: str, life: Any, code: int, before: Any) -> None:
        if code == -signal.SIGALRM and life.memory_mib is None:
            raise TimeoutError(f"{who} hangs")
        if code == -signal.SIGKILL:
            self.happened[f"{who} killed"] += 1
            if life.loses_power:
                self.happened[f"{who} without power"] += 1
                self.shop.cut_power(who, before, self.chance)
        elif code:
            self.happened[f"{who} ended with {code}"] += 1
            is_disturbed = life.disk_fault or life.memory_mib is not None
            if not is_disturbed:
                raise RuntimeError(f"{who} ended with {code}, undisturbed")
        if life.disk_fault:
            self.happened[f"{who} disk {life.disk_fault[0]}"] += 1
        if life.memory_mib is not None:
            self.happened[f"{who} short of memory"] += 1

    def _fork(self, work: Any, *, short: bool = False) -> int:
        from faults.world import LIFE_S, WATCHDOG_S, forked

        pid = forked(work, self.log, WATCHDOG_S if short else LIFE_S)
        self._living.add(pid)
        return pid

    def _ended(self, pid: int) -> int | None:
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            return None
        self._living.discard(pid)
        return os.waitstatus_to_exitcode(status)

    def _kill(self, pid: int) -> None:
        if pid in self._living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._living.discard(pid)

    def look(self) -> dict[str, Any]:
        """The cloud's side of the account, from a process of its own."""
        from faults.account import look_into
        from faults.world import forked

        answer = self.folder / "seen.json"
        pid = forked(lambda: bool(answer.write_text(json.dumps(look_into(self.folder / "cloud")))) - 1, self.log)
        _, status = os.waitpid(pid, 0)
        if status:
            raise RuntimeError(f"the cloud cannot be looked into: {os.waitstatus_to_exitcode(status)}")
        return json.loads(answer.read_text())  # type: ignore[no-any-return]


def play(
    base: Path, folder: Path, frames: Any, plan: Any, truth: Any
) -> tuple[list[str], Counter[str], dict[str, Any]]:
    """One schedule. Gives what is wrong, what happened, and what the cloud saw."""
    from faults.account import unexplained

    folder.mkdir()
    schedule = Schedule(base, folder, frames, plan)
    try:
        schedule.run()
        seen = schedule.look()
        return unexplained(schedule.shop, schedule.flipped, seen, truth), schedule.happened, seen
    except (TimeoutError, RuntimeError) as error:
        return [str(error)], schedule.happened, {}


def play_all(seeds: list[int], *, show: bool, keep: Path | None = None) -> int:
    """Every seed; prints a line for each failure and a summary. Gives the number of failures."""
    from faults.plan import Plan, draw
    from faults.world import make_base

    failures, stories, happened = 0, Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory(dir=RAM_DISK if RAM_DISK.is_dir() else None, prefix="ivizone-faults-") as work:
        base = Path(work) / "base"
        frames = make_base_forked(make_base, base)
        wrong, _, truth = play(base, Path(work) / "calm", frames, Plan(-1, "calm"), None)
        if wrong:
            print((Path(work) / "calm" / "log").read_text()[-4000:], file=sys.stderr)
            print(f"even without a fault: {wrong}", file=sys.stderr)
            return 1
        begun = time.monotonic()
        for place, seed in enumerate(seeds):
            plan, folder = draw(seed), Path(work) / f"{place}-{seed}"
            wrong, what, _ = play(base, folder, frames, plan, truth)
            stories[plan.story] += 1
            happened.update(what)
            if show:
                print(plan, dict(what), sep="\n")
                print((folder / "log").read_text()[-20_000:] if (folder / "log").exists() else "")
            if wrong:
                failures += 1
                print(f"schedule {seed} ({plan.story}) does not close: {'; '.join(wrong[:4])}", flush=True)
                print(f"  it happened: {dict(what)}\n  again: make test-faults SEEDS={seed}", flush=True)
                if keep:
                    shutil.copytree(folder, keep / str(seed), dirs_exist_ok=True)
            shutil.rmtree(folder)
        seconds = time.monotonic() - begun
    print(f"{len(seeds)} schedules, {failures} do not close, {seconds:.0f} s")
    print("  stories: " + ", ".join(f"{name} {count}" for name, count in sorted(stories.items())))
    print("  faults: " + ", ".join(f"{name} {count}" for name, count in sorted(happened.items())))
    return failures


def frames_of(capture: bytes) -> list[tuple[int, bytes]]:
    """The frames of a pcap file that we wrote: (time in µs, bytes)."""
    frames, at = [], 24
    while at < len(capture):
        seconds, microseconds, size, _ = struct.unpack_from("<IIII", capture, at)
        frames.append((seconds * 1_000_000 + microseconds, capture[at + 16 : at + 16 + size]))
        at += 16 + size
    return frames


def make_base_forked(make_base: Any, base: Path) -> Any:
    """The base is made by a process of its own: a database that was open here would be open in every child."""
    from faults.world import forked

    base.mkdir()
    pid = forked(lambda: make_base(base) or 0, base / "log")
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(f"the base cannot be made: {(base / 'log').read_text()[-2000:]}")
    return frames_of((base / "day.pcap").read_bytes())


def main() -> int:
    """The command."""
    words = argparse.ArgumentParser(prog="faults.run", description="seeded schedules of faults")
    words.add_argument("seeds", help="one seed, or FIRST-LAST")
    words.add_argument("--repeat", type=int, default=1)
    words.add_argument("--jobs", type=int, default=1, help="so many at the same time")
    words.add_argument("--keep", type=Path, help="folder for what failed")
    asked = words.parse_args()
    first, _, last = asked.seeds.partition("-")
    seeds = list(range(int(first), int(last or first) + 1)) * asked.repeat
    if "IVIZONE_SHIM" not in os.environ:
        return with_shim(asked)
    seeds = seeds[int(os.environ.get("IVIZONE_JOB", "0")) :: asked.jobs]
    return 1 if play_all(seeds, show=len(seeds) == 1, keep=asked.keep) else 0


def with_shim(asked: Any) -> int:
    """The same command again, with the disk under it."""
    with tempfile.TemporaryDirectory(prefix="ivizone-shim-") as folder:
        library = build_shim(Path(folder))
        if library is None:
            print("a C compiler is needed for the disk that fails: apt-get install gcc", file=sys.stderr)
            return 3
        os.environ.update(IVIZONE_SHIM=str(library), LD_PRELOAD=str(library), PYTHONDONTWRITEBYTECODE="1")
        command = [sys.executable, "-m", "faults.run", *sys.argv[1:]]
        jobs = [subprocess.Popen(command, env={**os.environ, "IVIZONE_JOB": str(job)}) for job in range(asked.jobs)]
        return max([job.wait() for job in jobs])


if __name__ == "__main__":
    sys.exit(main())
