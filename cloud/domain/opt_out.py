"""A store's opt-outs as bits of a filter, from which no list of addresses can be made (core). Source: agent/wire/SPEC.md, section 9.

A filter of few entries would be a list for whoever holds its key: there are only 2^39 allocated addresses, and all can be tried in an
hour. So each section begins with 45 % of its bits set by chance. Some 40 million allocated addresses, and five thousand million random
ones, are in it before anybody opted out; who holds all of it learns of an address that it *may* have been entered, and cannot list any.
The price is that one device in 14,000 is left out of the counts though nobody asked for it, one in 1,300 once a section is full.
"""

from __future__ import annotations

import re
from hashlib import blake2s

KEY_BYTES = 16
SECTION_BYTES = 8192
MAX_SECTIONS = 7
"""An access point reads answers of 64 KiB at most."""
POSITIONS = 12
PERSON = b"ivz-opt"
CHANCE_SHARE = 0.45
FULL_SHARE = 0.55
"""Of a section's bits: set by chance at first, and set when the next section begins, some 1,100 entries later."""
SEPARATORS = re.compile(r"[\s:.-]")
ADDRESS = re.compile(r"[0-9a-fA-F]{12}")


class FilterFull(Exception):
    """No more can be entered; the store's contact must take objections otherwise."""


def read_address(text: str) -> bytes | None:
    """The 6 bytes of an address as people write it, with colons, dashes, points or nothing between. None for what is none, and for one of
    a group: no device sends under such. Source: IEEE 802-2014, 8.2.2."""
    digits = SEPARATORS.sub("", text[:64])
    if not ADDRESS.fullmatch(digits):
        return None
    address = bytes.fromhex(digits)
    return None if address[0] & 1 or not any(address) else address


def is_private(address: bytes) -> bool:
    """True for an address that the device made up itself (locally administered): most phones use another one soon."""
    return bool(address[0] & 2)


def positions(key: bytes, address: bytes) -> list[int]:
    """The bits (0..65535) of a section that stand for an address."""
    digest = blake2s(address, key=key, digest_size=2 * POSITIONS, person=PERSON).digest()
    return [int.from_bytes(digest[at : at + 2], "big") for at in range(0, len(digest), 2)]


def new_section(chance: bytes) -> bytes:
    """A section with ``CHANCE_SHARE`` of its bits set by ``chance``: one byte of it for each bit."""
    limit = round(256 * CHANCE_SHARE)
    bits = "".join("1" if byte < limit else "0" for byte in chance[: 8 * SECTION_BYTES])
    return int(bits, 2).to_bytes(SECTION_BYTES, "big")


def is_full(section: bytes) -> bool:
    """True where the next entry belongs into another section."""
    return int.from_bytes(section, "big").bit_count() >= 8 * SECTION_BYTES * FULL_SHARE


def entered(sections: bytes, key: bytes, address: bytes, chance: bytes) -> bytes:
    """The sections with an address in the last one. ``chance`` (one byte a bit) is for another one where that is full. Raises FilterFull."""
    last = sections[-SECTION_BYTES:]
    if not last or is_full(last):
        if len(sections) >= MAX_SECTIONS * SECTION_BYTES:
            raise FilterFull(f"{MAX_SECTIONS} sections are full")
        return sections + _with(new_section(chance), key, address)
    return sections[:-SECTION_BYTES] + _with(last, key, address)


def _with(section: bytes, key: bytes, address: bytes) -> bytes:
    bits = bytearray(section)
    for position in positions(key, address):
        bits[position >> 3] |= 1 << (position & 7)
    return bytes(bits)
