"""What a shopper carries: tokens, and the seeds that their codes grow from (core; chance comes in as an argument).

A token is 120 bits as 24 letters, made by the access point (``firmware_hooks.visitor``) or here. The database keeps its SHA-256. A
shopper's seeds make their codes; they are kept sealed under each token. So whoever holds the token can see their codes again on any
phone, after any wiping of cookies, and whoever holds the database alone cannot tell whose a code is. docs/adr/0016-portal.md.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from collections.abc import Callable, Sequence

TOKEN = re.compile(r"[a-z2-7]{24}")
TOKEN_BYTES = 15
SEED_BYTES = 16
CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without 0, 1, I, L and O: codes are read out and typed."""
CODE_LETTERS = 10
"""49 bits: with a million open codes, one guess in 800 million finds one, and a till's guesses are limited."""
CODE = re.compile(f"[{CODE_ALPHABET}]{{{CODE_LETTERS}}}")
Chance = Callable[[int], bytes]


def new_token(chance: Chance) -> str:
    """A token of chance, in the form of the access point's."""
    return b32encode(chance(TOKEN_BYTES)).decode().lower()


def token_of(text: str | None) -> str | None:
    """The token in a parameter; None for anything else, so that nothing but a token gets any further."""
    return text if text and TOKEN.fullmatch(text) else None


def hash_of(text: str) -> str:
    """What the database keeps of a token or a code."""
    return hashlib.sha256(text.encode()).hexdigest()


def seal(seeds: Sequence[bytes], token: str) -> str:
    """The seeds, as only ``token`` opens them. Each is combined with a key of its own place, so that no key is used twice."""
    return " ".join(_crossed(seed, token, place).hex() for place, seed in enumerate(seeds))


def open_seal(sealed: str, token: str) -> tuple[bytes, ...]:
    """``seal`` back."""
    return tuple(_crossed(bytes.fromhex(text), token, place) for place, text in enumerate(sealed.split()))


def _crossed(seed: bytes, token: str, place: int) -> bytes:
    key = hashlib.blake2s(bytes([place]), key=token.encode(), digest_size=SEED_BYTES, person=b"ivz-seed").digest()
    return bytes(a ^ b for a, b in zip(seed, key, strict=True))


def code_of(seed: bytes, offer: str, number: int) -> str:
    """The ``number``-th code (from 0) that this seed has for an offer."""
    digest = hashlib.blake2s(f"{offer} {number}".encode(), key=seed, person=b"ivz-code").digest()
    value, letters = int.from_bytes(digest, "big"), []
    for _ in range(CODE_LETTERS):
        value, letter = divmod(value, len(CODE_ALPHABET))
        letters.append(CODE_ALPHABET[letter])
    return "".join(letters)


def spaced(code: str) -> str:
    """A code as people read it: K7QXM-2PZ9D."""
    return f"{code[: CODE_LETTERS // 2]}-{code[CODE_LETTERS // 2 :]}"


def typed_code(text: str) -> str | None:
    """A code as people type it: small letters, spaces and dashes do not matter. None where it cannot be one."""
    code = re.sub(r"[\s\-–—.]", "", text).upper()
    return code if CODE.fullmatch(code) else None
