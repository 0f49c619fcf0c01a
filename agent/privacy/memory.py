"""What a key leaves behind in memory when it is let go, and how it is written over (core).

Python frees a key's bytes without clearing them. The allocator gives freed blocks out again, last freed first, by size; so blocks of the
sizes that keys and their texts have are taken and filled until nothing freed of those sizes is left, and let go. The objects of
`hashlib` clear themselves. tests/agent/privacy/test_forgetting.py looks into a running agent's memory and finds no link.
"""

from __future__ import annotations

import gc

BLOCK_BYTES = 16
SMALLEST_BYTES, LARGEST_BYTES = 16, 512
"""Sizes of blocks that CPython's allocator keeps apart; a key is 32 bytes, its text 64, each with a head of 32 to 56."""
BLOCKS = 512
"""Of each size, three times what a day's end frees of them; 2 MB for a moment."""
BYTES_HEAD = 33
"""What a bytes object of CPython has beside its content: a head of 32 and a zero."""


def overwrite_freed() -> None:
    """Write over the memory of small objects that were let go since the program began. Takes milliseconds, once a day."""
    gc.collect()
    for size in range(SMALLEST_BYTES, LARGEST_BYTES + 1, BLOCK_BYTES):
        filled = [bytes(max(0, size - BYTES_HEAD)) for _ in range(BLOCKS)]
        filled.clear()


def clear(secret: bytearray) -> None:
    """Write zeros over a key."""
    secret[:] = bytes(len(secret))
