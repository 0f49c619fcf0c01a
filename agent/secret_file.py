"""Files that only their owner can read, whole or not at all, and still there after a power cut (shell)."""

from __future__ import annotations

import os
from pathlib import Path

from agent.config import ConfigError


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises ConfigError."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb", buffering=0) as file:  # a buffer would keep a copy of the secret
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        rename(part, path)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); choose a directory that this user may write"
        ) from error


def rename(path: Path, target: Path) -> None:
    """Give a file another's name, durably: or a power cut brings back what was there before, with a site key yesterday's. Raises OSError."""
    path.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
