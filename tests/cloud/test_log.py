"""What the cloud does with a log that cannot be written: it goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PROGRAM = """
import structlog
from cloud.log import configure

configure("info", as_json=True)
for number in range(3):
    structlog.get_logger().warning("worker_failed", error=str(number))
print("went on")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the kernel's full disk is not there")
def test_a_line_that_cannot_be_written_stops_nothing():
    """/dev/full answers every write with ENOSPC."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=full, text=True, check=False
        )
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_lines_are_written_where_they_can_be():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert [line.partition('"error": ')[2][:3] for line in done.stderr.splitlines()] == ['"0"', '"1"', '"2"']
