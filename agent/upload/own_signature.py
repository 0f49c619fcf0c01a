"""Whether a message bears this agent's signature, as it is now (shell: it reads the key)."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidSignature

from agent.config import ConfigError
from agent.own_key import load_key
from agent.wire.cose import open_message
from agent.wire.errors import WireError


def is_signed_by(agent: str, key_file: Path, message: bytes) -> bool:
    """False for a message whose bits have flipped, and for one of an earlier enrolment. True where the key cannot be read: who cannot
    tell throws nothing away."""
    try:
        opened = open_message(message)
        load_key(key_file).public_key().verify(opened.signature, opened.to_be_signed)
    except (WireError, InvalidSignature):
        return False
    except ConfigError:
        return True
    return opened.agent == agent
