"""Commands as processes of their own, and what they took: everything that the agent does is measured as its owner runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.py")
CHECKOUT = Path(__file__).parents[1]
PYTHON = sys.executable
AGENT = (PYTHON, "-m", "agent")
LONGEST_S = 900


class BenchError(Exception):
    """A measured command failed; the message says which and what it said."""


@dataclass(frozen=True, slots=True)
class Took:
    """What one process took. ``peak_mb`` in units of 1,000,000 bytes."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: bytes


def run(command: Sequence[str]) -> Took:
    """Run a command to its end and measure it. Raises BenchError where it fails."""
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [PYTHON, "-I", "-S", str(LAUNCHER), str(writing), *command],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(writing,),
            timeout=LONGEST_S,
            check=False,
        )
    finally:
        os.close(writing)
    with open(reading, "rb") as report:
        took = json.loads(report.read() or b'{"code": "unknown"}')
    if took["code"] != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise BenchError(f"{' '.join(command[:4])} ended with {took['code']}: {said}")
    return Took(took["wall_s"], took["cpu_s"], took["peak_kib"] * 1024 / 1e6, done.stdout)
