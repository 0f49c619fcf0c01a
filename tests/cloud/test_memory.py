"""A process gives back what it took for something large."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloud import memory

BLOCK_BYTES, BLOCKS = 4000, 16_000
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 2**20


@pytest.mark.skipif(memory._malloc is None, reason="glibc only")
def test_holes_between_small_things_that_stay_go_back_to_the_system():
    """Every hundredth block stays, so that nothing lies free at the end of the heap."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    blocks = [libc.malloc(BLOCK_BYTES) for _ in range(BLOCKS)]
    try:
        for block in blocks:
            ctypes.memset(block, 1, BLOCK_BYTES)
        for number, block in enumerate(blocks):
            if number % 100:
                libc.free(block)
        full = resident_mib()

        memory.give_back()

        assert full - resident_mib() > 0.8 * BLOCKS * BLOCK_BYTES / 2**20
    finally:
        for block in blocks[::100]:
            libc.free(block)
        memory.give_back()


def test_arrow_takes_its_memory_from_malloc():
    """Whatever of the cloud is imported first; unless the operator says otherwise."""
    for environment, pool in (({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}, "mimalloc")):
        kept = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
        asks = "import cloud.stores.lake, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
        done = subprocess.run(
            [sys.executable, "-c", asks], env=kept | environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == pool


@pytest.mark.skipif(memory._malloc is None, reason="glibc only")
def test_threads_share_few_arenas():
    """Twenty threads that allocate at the same time; mallinfo's text names each heap."""
    asks = """
import ctypes, threading
from cloud import memory
libc, barrier = ctypes.CDLL(None), threading.Barrier(20)
def work():
    for _ in range(50): libc.free(ctypes.c_void_p(libc.malloc(2000)))
    barrier.wait()
libc.malloc.restype = ctypes.c_void_p
threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w")))
libc.fflush(None)
"""
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    assert 1 <= done.stdout.count("<heap nr=") <= memory.ARENAS
