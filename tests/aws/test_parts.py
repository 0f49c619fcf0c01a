"""The parts themselves: a kill reaches all of a part, and a run of tests that is killed leaves none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from support.aws import parts, trees

if reason := parts.missing("psycopg", "postgres"):
    pytest.skip(reason, allow_module_level=True)

import psycopg


def test_a_server_that_was_killed_starts_again_whatever_its_backends_do():
    """A backend that goes on holds the shared memory, and the next postmaster gives up."""
    server = parts.Postgres()
    connection = psycopg.connect(host="127.0.0.1", port=server.port, user="postgres")
    os.kill(connection.info.backend_pid, signal.SIGSTOP)
    server.kill()
    server.start()

    psycopg.connect(host="127.0.0.1", port=server.port, user="postgres").close()
    server.kill()


RUN = """
import os, signal
from support.aws import parts, trees
server = parts.Postgres()
print(*[f"{pid} {trees.started(pid)}" for pid in (server.process.pid, *trees.below(server.process.pid))], sep="\\n", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_is_killed_leaves_no_process():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(("tests", "."))}
    said = subprocess.run(
        [sys.executable, "-c", RUN], cwd=parts.CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    started = [line.split() for line in said.stdout.splitlines()]
    assert said.returncode == -signal.SIGKILL and len(started) > 3, said.stderr
    until = time.monotonic() + 30
    while any(trees.started(int(pid)) == start for pid, start in started):
        assert time.monotonic() < until, "the guard ends them"
        time.sleep(0.05)
