"""From an address to the name that stands for it until the day is over (core; DESIGN section 6)."""

from __future__ import annotations

from hashlib import blake2s

PSEUDONYM_BYTES = 8


class Pseudonymiser:
    """Pseudonyms under one day's key (32 bytes)."""

    __slots__ = ("_keyed",)

    def __init__(self, day_key: bytes) -> None:
        self._keyed = blake2s(key=day_key)

    def pseudonym(self, address: bytes) -> bytes:
        """First 8 bytes of keyed BLAKE2s over the address (6 bytes) that a track began with."""
        digest = self._keyed.copy()
        digest.update(address)
        return digest.digest()[:PSEUDONYM_BYTES]
