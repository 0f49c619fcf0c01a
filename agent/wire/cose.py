"""The signed envelope: one COSE_Sign1 message for each batch (core). Source: RFC 9052, sections 4.2 and 4.4; RFC 9053, 2.2 (EdDSA).

Signing and verifying themselves come in as functions, so neither a key nor a cryptography package is needed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from agent.wire.cbor import Tagged, decode, encode, read_value
from agent.wire.errors import CborError, MessageMalformed, MessageTooLarge
from agent.wire.limits import MAX_COMPRESSED_BYTES, MAX_TEXT_BYTES

COSE_SIGN1_TAG = 18
HEADER_ALGORITHM, HEADER_KEY_ID = 1, 4
EDDSA = -8
SIGNATURE_BYTES = 64
ENVELOPE = b"\xd2\x84"
"""Tag 18 around an array of four."""
SIGNATURE1 = b"\x84\x6aSignature1"
NO_EXTERNAL_DATA = b"\x40"
"""Parts of Sig_structure, RFC 9052, section 4.4."""
PROTECTED_KEPT = 1024


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A message taken apart, its signature not yet checked."""

    agent: str
    """The key id: who says that it signed."""
    payload: bytes
    signature: bytes
    to_be_signed: bytes


def sign_message(payload: bytes, agent: str, sign: Callable[[bytes], bytes]) -> bytes:
    """Wrap ``payload`` into a message signed for ``agent``; ``sign`` gives the Ed25519 signature (64 bytes) of its argument."""
    protected = encode({HEADER_ALGORITHM: EDDSA, HEADER_KEY_ID: agent.encode()})
    signature = sign(_to_be_signed(protected, payload))
    return encode(Tagged(COSE_SIGN1_TAG, [protected, {}, payload, signature]))


def open_message(message: bytes) -> SignedMessage:
    """Take a message apart. Raises MessageTooLarge or MessageMalformed; the payload stays closed."""
    if len(message) > MAX_COMPRESSED_BYTES:
        raise MessageTooLarge(f"a message of {len(message)} bytes; at most {MAX_COMPRESSED_BYTES}")
    if message[:2] != ENVELOPE:
        raise MessageMalformed("not a COSE_Sign1 message (CBOR tag 18 around four items)")
    try:
        protected, unprotected_at = read_value(message, 2)
        unprotected, payload_at = read_value(message, unprotected_at)
        payload, signature_at = read_value(message, payload_at)
        signature, end = read_value(message, signature_at)
    except CborError as error:
        raise MessageMalformed(f"not deterministic CBOR: {error}") from error
    if end != len(message):
        raise MessageMalformed(f"not deterministic CBOR: {len(message) - end} bytes follow the message")
    if not isinstance(protected, bytes) or not isinstance(payload, bytes) or not isinstance(signature, bytes):
        raise MessageMalformed("protected header, payload and signature must be byte strings")
    if unprotected != {}:
        raise MessageMalformed("the unprotected header must be empty: nothing outside the signature is believed")
    if len(signature) != SIGNATURE_BYTES:
        raise MessageMalformed(f"a signature of {SIGNATURE_BYTES} bytes is needed")
    # The encoding is deterministic, so the signed structure is made of the message's own bytes.
    signed = SIGNATURE1 + message[2:unprotected_at] + NO_EXTERNAL_DATA + message[payload_at:signature_at]
    return SignedMessage(_agent_of(protected), payload, signature, signed)


@lru_cache(maxsize=PROTECTED_KEPT)
def _agent_of(protected: bytes) -> str:
    """The access point that a protected header names. Remembered: each sends the same one with every batch. Raises MessageMalformed."""
    try:
        header = decode(protected)
    except CborError as error:
        raise MessageMalformed(f"not deterministic CBOR: {error}") from error
    if not isinstance(header, dict) or header.get(HEADER_ALGORITHM) != EDDSA or len(header) != 2:
        raise MessageMalformed("the protected header must hold algorithm -8 (EdDSA) and the key id, nothing else")
    key_id = header.get(HEADER_KEY_ID)
    if not isinstance(key_id, bytes) or not 0 < len(key_id) <= MAX_TEXT_BYTES:
        raise MessageMalformed(f"a key id of 1 to {MAX_TEXT_BYTES} bytes is needed")
    try:
        return key_id.decode()
    except UnicodeDecodeError as error:
        raise MessageMalformed("the key id is not UTF-8") from error


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return SIGNATURE1 + encode(protected) + NO_EXTERNAL_DATA + encode(payload)
