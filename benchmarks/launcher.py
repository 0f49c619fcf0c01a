"""Runs one command and prints what it took, as a line of JSON: {"wall_s", "cpu_s", "peak_kib", "code"}.

A script of its own, started with ``python -I -S``, because Linux hands the peak memory of the process that forks on to the
process that it becomes (``ru_maxrss`` survives exec, man getrusage): only a small parent lets a small child be seen.
"""

import json
import os
import sys
import time


def main() -> None:
    """``launcher.py REPORT COMMAND ...``; the report goes to the file descriptor REPORT, the command keeps our own streams."""
    report, command = int(sys.argv[1]), sys.argv[2:]
    started = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    wall_s = time.perf_counter() - started
    took = {
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_kib": usage.ru_maxrss,
        "code": os.waitstatus_to_exitcode(status),
    }
    os.write(report, json.dumps(took).encode())


main()
