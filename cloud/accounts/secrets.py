"""Secrets that are handed out once and recognised later: sessions, links, tokens. Only their SHA-256 is kept.

They are 32 bytes of chance, so a plain hash cannot be guessed back; passwords are another matter (``passwords``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

SECRET_BYTES = 32
NAME_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def new_secret(prefix: str = "") -> str:
    """A new one, to be shown or sent once."""
    return prefix + secrets.token_urlsafe(SECRET_BYTES)


def new_name(letters: int = 8) -> str:
    """A public name of chance, without letters that look alike."""
    return "".join(secrets.choice(NAME_ALPHABET) for _ in range(letters))


def hash_of(secret: str) -> str:
    """What the database keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def form_key_of(secret: str) -> str:
    """What a form carries to show that it was made for this session or browser (against forged requests). It tells nothing of the secret."""
    return hmac.digest(secret.encode(), b"ivizone-form", "sha256").hex()


def is_form_key(secret: str, key: str) -> bool:
    """True where ``key`` was made for ``secret``."""
    return hmac.compare_digest(form_key_of(secret).encode(), key.encode())
