"""Fifty schedules of faults through the whole path: the account closes after each. A thousand more: make test-faults."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SCHEDULES = 50


def play(seeds: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'tests'}"}
    command = [sys.executable, "-m", "faults.run", seeds, *words]
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="the disk that fails needs a C compiler")
def test_whatever_fails_nothing_is_lost_or_counted_twice():
    """A failure names its seed and how to play it again."""
    done = play(f"0-{SCHEDULES - 1}", "--jobs", "2")

    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(map(int, re.findall(r"(\d+) schedules, 0 do not close", done.stdout))) == SCHEDULES
    assert len(re.findall(r"killed|without power|disk full|error_after", done.stdout)) >= 4, "faults did happen"
