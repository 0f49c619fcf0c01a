"""Two bits of an address that say what it is. Source: IEEE 802-2014 8.2 (individual/group and universal/local bits)."""

from __future__ import annotations


def is_group(address: bytes) -> bool:
    """True for multicast and broadcast addresses, which no station may send from."""
    return bool(address[0] & 0x01)


def is_randomised(address: bytes) -> bool:
    """True where the address is locally administered: made up by the device, not bought from the registry."""
    return bool(address[0] & 0x02)
