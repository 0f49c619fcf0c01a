"""Passwords: argon2id as RFC 9106, section 4, recommends where memory is short (3 passes over 64 MiB, 4 lanes).

At most ``AT_ONCE`` are worked on at a time: each takes its 64 MiB, and whoever sends many attempts must not take all memory.
"""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cloud.accounts.errors import AccountRefused

SHORTEST, LONGEST = 12, 200
AT_ONCE = 2
USUAL = PasswordHasher()


@cache
def _hash_of_nobody(hasher: PasswordHasher) -> str:
    """Made once in a process: it costs as much as a sign-in."""
    return hasher.hash("nobody's password")


class Passwords:
    """Hashes and checks. ``hasher`` is argon2's; tests take a cheaper one."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or USUAL
        self._at_once = threading.Semaphore(AT_ONCE)
        self._nobodys = _hash_of_nobody(self._hasher)

    def hash(self, password: str, login: str) -> str:
        """What the database keeps. Raises AccountRefused for a password that is too short, too long or the name itself."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise AccountRefused(f"a password has {SHORTEST} to {LONGEST} characters, this one {len(password)}")
        if password.strip().lower() == login:
            raise AccountRefused("the password is the name itself; choose another")
        with self._at_once:
            return self._hasher.hash(password)

    def fits(self, kept: str | None, password: str) -> bool:
        """True where ``password`` is the one that ``kept`` was made of. Without ``kept`` it takes as long and is False."""
        if len(password) > LONGEST:
            return False
        with self._at_once:
            try:
                self._hasher.verify(kept or self._nobodys, password)
            except (VerificationError, InvalidHashError):
                return False
        return kept is not None
