"""What allocators keep for the next time, back to the system: a process would stay as large as the largest thing that it did."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def _find_trim() -> ctypes._NamedFuncPointer | None:
    """glibc's malloc_trim(3); None on another C library, which keeps less."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


_malloc_trim = _find_trim()


def give_back() -> None:
    """Free pages of Arrow's pool (malloc, see cloud/__init__.py) and of malloc's arenas go to the system.

    Each of the engine's threads has an arena of its own, and a query that takes a larger one leaves it full of holes. glibc gives back by
    itself only what lies at an arena's end.
    """
    pa.default_memory_pool().release_unused()
    if _malloc_trim is not None:
        _malloc_trim(0)
