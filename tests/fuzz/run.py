"""Fuzz one target, or all of them one after the other, for a time: coverage-guided by atheris (the extra 'fuzz').

    make fuzz                          ten minutes for each target
    make fuzz TARGET=frame SECONDS=60

Each target is a process of its own with limits on the length of an input, its time and the memory. A finding ends it, is written to
build/fuzz/ and makes the command fail; the input belongs into tests/fuzz/corpus/<target>/ together with the mend.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import time
from pathlib import Path

from fuzz import corpus
from fuzz.targets import TARGETS


def fuzz(name: str, words: list[str]) -> None:
    """In this process, until atheris ends it."""
    import atheris

    target = TARGETS[name]
    with atheris.instrument_imports(include=list(target.modules), enable_loader_override=False):
        for module in [m for m in sys.modules if m.startswith(target.modules)]:
            del sys.modules[module]  # so that they are read again, with their branches counted
        sys.modules.pop("fuzz.targets")
        targets = importlib.import_module("fuzz.targets")
    run = targets.TARGETS[name].run
    targets.TARGETS[name].prepare()
    atheris.Setup([name, *words], lambda data: run(bytes(data)))
    atheris.Fuzz()


def run_all(names: list[str], seconds: int, folder: Path) -> int:
    """Every target by itself; prints a line for each. Gives the number of findings."""
    corpus.main(folder / "seeds")
    findings = total = 0
    for name in names:
        target, kept = TARGETS[name], folder / "corpus" / name
        for needed in (kept, corpus.FOUND / name):
            needed.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_len={target.longest}", f"-timeout={target.seconds}", f"-rss_limit_mb={target.memory_mib}"]
        command = [
            sys.executable,
            "-m",
            "fuzz.run",
            name,
            "--here",
            *limits,
            f"-max_total_time={seconds}",
            "-print_final_stats=1",
        ]
        begun = time.monotonic()
        done = subprocess.run(
            [*command, f"-artifact_prefix={folder}/{name}-", str(kept), str(folder / "seeds" / name), str(corpus.FOUND / name)],
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        (folder / f"{name}.log").write_text(said[-200_000:])
        inputs = _inputs(said)
        memory = re.findall(r"peak_rss_mb:\s+(\d+)", said)
        total += inputs
        findings += done.returncode != 0
        what = "" if done.returncode == 0 else f"  FINDING, see {folder / name}.log"
        print(
            f"{name:8} {inputs:>10,} inputs {time.monotonic() - begun:6.0f} s  {memory[-1] if memory else '?':>5} MiB{what}",
            flush=True,
        )
    print(f"{total:,} inputs, {findings} findings")
    return findings


def _inputs(said: str) -> int:
    final = re.findall(r"number_of_executed_units:\s+(\d+)", said)
    return int(final[-1]) if final else max(map(int, re.findall(r"^#(\d+)\s", said, re.MULTILINE)), default=0)


def main() -> int:
    """The command."""
    words = argparse.ArgumentParser(prog="fuzz.run", description="fuzz one target, or all")
    words.add_argument("target", choices=[*TARGETS, "all"])
    words.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    words.add_argument("--seconds", type=int, default=600)
    words.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    asked, rest = words.parse_known_args()
    if asked.here:
        fuzz(asked.target, rest)
        return 0
    names = list(TARGETS) if asked.target == "all" else [asked.target]
    return 1 if run_all(names, asked.seconds, asked.folder.absolute()) else 0


if __name__ == "__main__":
    sys.exit(main())
