"""What of a probe request's elements stays the same over a phone's scans, as one number (core).

Masked is what was seen to change within one phone: the network asked for, the channel asked on, FILS parameters, WPS identities,
Microsoft's vendor type 8 and the MBO/OCE element. Kept are the order of the elements and the contents of the others, with the
bits of the capability fields that a phone changes by itself cleared.

One model has one to three such fingerprints; two phones of one model have the same. It is evidence, never an identity, and it never leaves the tracker.
"""

from __future__ import annotations

from hashlib import blake2s
from typing import NamedTuple

from agent.dot11.elements import split_elements
from agent.dot11.errors import TruncatedElement

SSID, DS_PARAMETER, HT_CAPABILITIES, EXTENDED_CAPABILITIES, VENDOR, EXTENSION = 0, 3, 45, 127, 221, 255
RATES, EXTENDED_RATES, VHT_CAPABILITIES, HE_CAPABILITIES = 1, 50, 191, 0x23
HARDWARE = frozenset({RATES, EXTENDED_RATES, HT_CAPABILITIES, VHT_CAPABILITIES})
"""What the radio itself can do; all kinds of scan of one phone say the same, where they say it at all."""
VOLATILE = frozenset({SSID, DS_PARAMETER})
VOLATILE_EXTENSIONS = frozenset({0x02})
"""FILS Request Parameters: 2 to 60 values for one phone. Source: IEEE 802.11-2020 9.4.2.177."""
VOLATILE_VENDOR_TYPES = frozenset({b"\x00\x50\xf2\x08", b"\x00\x50\xf2\x04", b"\x50\x6f\x9a\x16"})
"""Microsoft type 8 (7 to 27 values a phone) and 4 (WPS: may name the device), Wi-Fi Alliance MBO/OCE (2 to 3)."""

HT_40MHZ_BITS = 0x4002
"""Supported Channel Width Set and Forty MHz Intolerant: a phone changes them with the band it scans. Source: IEEE 802.11-2020 9.4.2.55.2."""


def stable_fingerprint(elements: bytes) -> int:
    """64 bits over what is stable in a frame body. Raises TruncatedElement."""
    digest = blake2s(digest_size=8)
    for number, content in split_elements(elements):
        digest.update(bytes((number,)))
        digest.update(_stable_part(number, content))
    return int.from_bytes(digest.digest(), "big") or 1


def _stable_part(number: int, content: bytes) -> bytes:
    if number in VOLATILE:
        return b""
    if number == EXTENSION:
        return content[:1] if content[:1] and content[0] in VOLATILE_EXTENSIONS else content
    if number == VENDOR:
        return content[:4] if content[:4] in VOLATILE_VENDOR_TYPES else content
    if number == HT_CAPABILITIES and len(content) >= 2:
        info = (content[0] | content[1] << 8) & ~HT_40MHZ_BITS
        return bytes((info & 0xFF, info >> 8)) + content[2:]
    if number == EXTENDED_CAPABILITIES:
        return content[:3] + bytes((content[3] & ~0x04,)) + content[4:] if len(content) > 3 else content
    return content


def capabilities(elements: bytes) -> int:
    """64 bits over what the radio can do: the phone's kinds of scan have it in common. Raises TruncatedElement."""
    digest = blake2s(digest_size=8)
    for number, content in split_elements(elements):
        if number in HARDWARE or (number == EXTENSION and content[:1] == bytes((HE_CAPABILITIES,))):
            digest.update(bytes((number,)))
            digest.update(_stable_part(number, content))
    return int.from_bytes(digest.digest(), "big") or 1


def is_bare(elements: bytes) -> bool:
    """True where a body names rates only: a scan that many models send alike. Raises TruncatedElement."""
    return not any(number in (HT_CAPABILITIES, VHT_CAPABILITIES) for number, _ in split_elements(elements))


class Fingerprint(NamedTuple):
    """What stays the same of a body: its kind of scan (all stable elements) and its phone's capabilities."""

    kind: int
    capabilities: int
    is_bare: bool


class Fingerprints:
    """Fingerprints of bodies, with a bounded memory of bodies seen."""

    __slots__ = ("_kept", "_known")

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._known: dict[bytes, Fingerprint | None] = {}

    def of(self, elements: bytes | None) -> Fingerprint | None:
        """The fingerprint of a frame body, None where there is none."""
        if not elements:
            return None
        if elements in self._known:
            return self._known[elements]
        try:
            known = Fingerprint(stable_fingerprint(elements), capabilities(elements), is_bare(elements))
        except TruncatedElement:
            known = None
        if len(self._known) >= self._kept:
            self._known.clear()
        self._known[elements] = known
        return known
