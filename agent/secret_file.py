"""Files that only their owner can read, whole or not at all, and still there after a power cut (shell)."""

from __future__ import annotations

import os
from pathlib import Path

from agent.config import ConfigError


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises ConfigError.

    Written by root it belongs to whom the file before it belonged to, else to the folder's owner: an installer types `sudo`, and the agent is not root.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb", buffering=0) as file:  # a buffer would keep a copy of the secret
            if os.geteuid() == 0:
                owner = (path if path.exists() else path.parent).stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        rename(part, path)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); choose a directory that this user may write"
        ) from error


def what_to_do(path: Path, error: OSError, where_missing: str) -> str:
    """The next step after a secret could not be read: one that is there and closed to us must not be made anew."""
    if isinstance(error, PermissionError):
        return f"run as root, or as the user that it belongs to (ls -l {path})"
    return where_missing


def rename(path: Path, target: Path) -> None:
    """Give a file another's name, durably: or a power cut brings back what was there before, with a site key yesterday's. Raises OSError."""
    path.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
