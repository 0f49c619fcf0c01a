"""What an access point signs to change its key: with the old one, because it may; with the new one, because it has it (core).

Source: agent/wire/SPEC.md, section 7.
"""

from __future__ import annotations

from base64 import b64encode

KEY_CHANGE_PATH = "/v1/agents/self/key"
SETTLE_S = 5.0
"""How long a cloud of many processes may take until each of them knows the new key; an agent signs with it no earlier."""


def key_change_text(agent: str, old: bytes, new: bytes, epoch_s: int) -> bytes:
    """The bytes that both keys sign. ``old`` and ``new`` are public keys (32 bytes)."""
    return f"ivizone-key\n{agent}\n{b64encode(old).decode()}\n{b64encode(new).decode()}\n{epoch_s}".encode()
