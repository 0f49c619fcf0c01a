"""The access point's own Ed25519 key, in a file that only its owner reads: made here, never sent anywhere (shell)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import ConfigError
from agent.log import log
from agent.secret_file import what_to_do, write_secret

PEM_LINES = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----")
ED25519_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
"""What stands before the 32 bytes of an Ed25519 key in PKCS #8. Source: RFC 8410, section 7."""


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """The agent's private key; a new one where there is none. Raises ConfigError."""
    if path.exists():
        return load_key(path)
    key = Ed25519PrivateKey.generate()
    body = b64encode(ED25519_PKCS8 + key.private_bytes_raw()).decode()
    write_secret(path, "\n".join((PEM_LINES[0], body, PEM_LINES[1], "")).encode())
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read the private key. Raises ConfigError.

    PKCS #8 for this one algorithm is a fixed prefix and 32 bytes; cryptography's reader of every format costs an access point 2 MB.
    """
    try:
        lines = path.read_bytes().decode("ascii", "replace").split("\n")
    except OSError as error:
        next_step = what_to_do(path, error, "enrol first: ivizone-agent enrol URL --token T")
        raise ConfigError(f"agent.key_file {path}: cannot be read ({error.strerror}); {next_step}") from error
    try:
        first, *body, last = [line.strip() for line in lines if line.strip()]
        packed = b64decode("".join(body), validate=True)
    except ValueError:
        first, last, packed = "", "", b""
    if (first, last) != PEM_LINES or not packed.startswith(ED25519_PKCS8) or len(packed) != len(ED25519_PKCS8) + 32:
        raise ConfigError(
            f"agent.key_file {path}: is no Ed25519 private key in PEM (PKCS #8, not encrypted); enrol again with another agent.key_file"
        )
    return Ed25519PrivateKey.from_private_bytes(packed[len(ED25519_PKCS8) :])


class OwnKey:
    """Signs with the key in a file, as it is now: another process may change it while an agent runs. Raises ConfigError at the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stamp_now()
        self._key = load_key(path)

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature (64 bytes). One look at the file's stamp, each half minute; a file that cannot be read changes nothing."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            try:
                self._key, self._stamp = load_key(self._path), stamp
            except ConfigError as error:
                log.error("agent_key_unreadable", trouble=str(error))
        return self._key.sign(data)

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
