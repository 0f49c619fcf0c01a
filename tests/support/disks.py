"""Disks that fail: a small one that is really full, a read-only one, and one that fails or loses power at a chosen system call."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

CALLS = ("open", "fsync", "close", "replace", "rename", "unlink", "mkdir", "scandir", "listdir")


class PowerCut(BaseException):
    """The machine stops here. No handler of an error sees it."""


@contextmanager
def small_disk(folder: Path, size_bytes: int = 65_536) -> Iterator[Path]:
    """A file system of its own, in RAM. Skips where we may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "ivizone-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs root and mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room there is; gives the file to remove."""
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (4096, 64):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return ballast


def make_read_only(folder: Path, *, read_only: bool = True) -> None:
    """Remount a small disk."""
    subprocess.run(["mount", "-o", f"remount,{'ro' if read_only else 'rw'}", str(folder)], check=True)


class FailingDisk:
    """Lets ``calls`` system calls through, then raises ``error`` at the next one, and at all behind it where ``stays``."""

    def __init__(self, calls: int, error: BaseException, *, stays: bool) -> None:
        self.left = calls
        self.error = error
        self.stays = stays
        self.has_failed = False

    def step(self) -> bool:
        """One system call; True where it is the one that fails."""
        self.left -= 1
        fails = self.left == -1 or (self.stays and self.left < 0)
        self.has_failed = self.has_failed or fails
        return fails

    def wrap(self, call: Any) -> Any:
        def wrapped(*args: Any, **named: Any) -> Any:
            if self.step():
                raise self.error
            return call(*args, **named)

        return wrapped

    def open(self, path: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
        """A file whose write may fail half-way: half of the bytes are on the disk."""
        if self.step():
            raise self.error
        file = open(path, mode, *args, **named)  # noqa: SIM115 - closed by whoever asked for it
        if "w" not in mode:
            return file
        write = file.write

        def torn(data: bytes) -> int:
            if self.step():
                write(data[: len(data) // 2])
                file.flush()
                raise self.error
            return write(data)

        return _Torn(file, torn)


class _Torn:
    def __init__(self, file: Any, write: Any) -> None:
        self._file, self.write = file, write

    def __enter__(self) -> _Torn:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def failing(module: Any, disk: FailingDisk) -> Iterator[None]:
    """Put ``disk`` under everything that ``module`` asks of the operating system."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "open", disk.open, raising=False)
        for name in CALLS:
            if name != "open":
                patch.setattr(os, name, disk.wrap(getattr(os, name)))
        patch.setattr(os, "open", disk.wrap(os.open))
        yield
