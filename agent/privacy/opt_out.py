"""Who asked not to be counted: a keyed filter that the store's page fills, and that says of an address whether it may be in it (core).

Source: agent/wire/SPEC.md, section 9. A filter is no list: millions of addresses that nobody entered are in it too.
"""

from __future__ import annotations

from hashlib import blake2s

from agent.privacy.errors import OptOutsMalformed

KEY_BYTES = 16
SECTION_BYTES = 8192
MAX_SECTIONS = 7
MAX_BYTES = KEY_BYTES + MAX_SECTIONS * SECTION_BYTES
DIGEST_BYTES = 24
"""Twelve positions of two bytes."""
PERSON = b"ivz-opt"


class OptOuts:
    """A store's filter. Raises OptOutsMalformed for what is none."""

    __slots__ = ("_keyed", "_sections")

    def __init__(self, content: bytes) -> None:
        whole, rest = divmod(len(content) - KEY_BYTES, SECTION_BYTES)
        if rest or not 1 <= whole <= MAX_SECTIONS:
            raise OptOutsMalformed(
                f"a filter has {KEY_BYTES} bytes and 1 to {MAX_SECTIONS} sections of {SECTION_BYTES}, not {len(content)} bytes"
            )
        self._keyed = blake2s(key=content[:KEY_BYTES], digest_size=DIGEST_BYTES, person=PERSON)
        at = range(KEY_BYTES, len(content), SECTION_BYTES)
        self._sections = tuple(content[first : first + SECTION_BYTES] for first in at)

    def __contains__(self, address: bytes) -> bool:
        """True for every address (6 bytes) that was entered, and for one in some thousand that was not."""
        keyed = self._keyed.copy()
        keyed.update(address)
        digest = keyed.digest()
        return any(_has(section, digest) for section in self._sections)


def _has(section: bytes, digest: bytes) -> bool:
    for at in range(0, DIGEST_BYTES, 2):  # noqa: SIM110  a generator costs as much as the rest of it
        if not section[digest[at] << 5 | digest[at + 1] >> 3] >> (digest[at + 1] & 7) & 1:
            return False
    return True
