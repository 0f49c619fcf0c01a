"""The cloud's chain of receipts: lines in the database, signed by a key of the cloud's own (shell)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, Engine, insert, select

from agent.wire.receipts import Head, make_receipt
from cloud.databases.base import ALONE
from cloud.databases.privacy_tables import receipts

KEY_NAME = "receipts.key"
BY = "cloud"
MIN_SECRET = 32
"""Characters. Secrets Manager makes passwords, not keys; so many of its characters hold more chance than a key has."""
KEY_INFO = b"ivizone deletion receipts 1"


class Receipts:
    """``key`` signs, ``now_ms`` is the clock."""

    def __init__(self, database: Engine, key: Ed25519PrivateKey, now_ms: Callable[[], int]) -> None:
        self._alone = database.execution_options(**{ALONE: True})
        self._database = database
        self._key = key
        self._now_ms = now_ms
        self.public_key = key.public_key().public_bytes_raw()

    def add(self, what: str, about: dict[str, Any]) -> str:
        """Write the next receipt; gives its line. Raises SQLAlchemyError."""
        with self._alone.begin() as connection:
            head = _head(connection)
            line = make_receipt(
                head, at_ms=self._now_ms(), by=BY, key=self.public_key, what=what, about=about, sign=self._key.sign
            )
            connection.execute(insert(receipts), {"receipt": head.number + 1, "line": line})
        return line

    def lines(self) -> list[str]:
        """The whole chain, in order."""
        with self._database.connect() as connection:
            return list(connection.execute(select(receipts.c.line).order_by(receipts.c.receipt)).scalars())


def _head(connection: Connection) -> Head:
    last = select(receipts.c.line).order_by(receipts.c.receipt.desc()).limit(1)
    line = connection.execute(last).scalar_one_or_none()
    return Head.of(line) if line else Head()


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file of 32 bytes that only its owner can read; a new one where there is none. Raises OSError, ValueError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    with open(descriptor, "wb") as file:
        key = Ed25519PrivateKey.generate()
        file.write(key.private_bytes_raw())
        file.flush()
        os.fsync(file.fileno())
    return key


def key_of(secret: str) -> Ed25519PrivateKey:
    """The key that many processes share, made of the ``secret`` that they share (HKDF, RFC 5869). Raises ValueError for a short one."""
    if len(secret) < MIN_SECRET:
        raise ValueError(f"it has {len(secret)} characters; use {MIN_SECRET} of chance or more")
    return Ed25519PrivateKey.from_private_bytes(HKDF(SHA256(), 32, None, KEY_INFO).derive(secret.encode()))
