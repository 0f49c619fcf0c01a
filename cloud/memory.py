"""What allocators keep for the next time, back to the system: a process would stay as large as the largest thing that it did."""

from __future__ import annotations

import ctypes
from typing import Any

import pyarrow as pa

ARENAS = 4
"""Of malloc: one for each thread that is busy in an embedded cloud - the event loop, the worker, the engine's two. glibc would make eight for
each core, a new one for nearly each thread that an engine starts, and every one keeps some megabytes."""
M_ARENA_MAX = -8
"""Source: glibc, malloc.h; mallopt(3)."""


def _glibc() -> Any:
    """The C library, where it is glibc; None for another, which keeps less."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


_malloc = _glibc()
if _malloc is not None:
    _malloc.mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Free pages of Arrow's pool (malloc, see cloud/__init__.py) and of malloc's arenas go to the system.

    A query that takes a large arena leaves it full of holes, and glibc gives back by itself only what lies at an arena's end.
    """
    pa.default_memory_pool().release_unused()
    if _malloc is not None:
        _malloc.malloc_trim(0)
