"""A request that says who asks, signed (core). Source: agent/wire/SPEC.md, section 7."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable


def authorization(agent: str, sign: Callable[[bytes], bytes], method: str, path: str, epoch_s: int) -> str:
    """The value of the header Authorization; ``sign`` gives the Ed25519 signature (64 bytes) of its argument."""
    signature = sign(f"ivizone-request\n{method}\n{path}\n{epoch_s}".encode())
    return f'Ivizone agent="{agent}", time="{epoch_s}", signature="{b64encode(signature).decode()}"'
