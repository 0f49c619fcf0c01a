"""Ed25519 signatures where speed does not matter: of requests and receipts. Batches have ``cloud.ingest.keys``. Source: RFC 8032, 5.1.7."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def is_signature(key: bytes, signature: bytes, signed: bytes) -> bool:
    """True for an Ed25519 signature by ``key``; False for what is none."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
