"""Objects as files below a folder: the embedded lake."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cloud.stores.base import StoreError


class LocalDirStore:
    """Objects below ``root``; written under another name, fsynced, renamed, the folder fsynced."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def put(self, name: str, data: bytes) -> None:
        """See ``ObjectStore.put``."""
        path = self._path(name)
        part = path.with_name(f".{path.name}.part")
        try:
            _make_folder(path.parent)
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync(path.parent)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise StoreError(
                f"{path}: cannot be written ({error.strerror}); free space or move the data folder"
            ) from error

    def get(self, name: str) -> bytes:
        """See ``ObjectStore.get``."""
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            raise StoreError(f"object {name}: cannot be read ({error.strerror})") from error

    def names(self, prefix: str) -> list[str]:
        """See ``ObjectStore.names``."""
        folder = prefix.rpartition("/")[0]
        start = self._path(folder) if folder else self._root
        try:
            found = [path for path in start.rglob("*") if path.is_file() and not path.name.startswith(".")]
        except OSError as error:
            raise StoreError(f"{start}: cannot be listed ({error.strerror})") from error
        return sorted(name for path in found if (name := path.relative_to(self._root).as_posix()).startswith(prefix))

    def remove(self, name: str) -> None:
        """See ``ObjectStore.remove``."""
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"object {name}: cannot be removed ({error.strerror})") from error

    def location(self, name: str) -> str:
        """See ``ObjectStore.location``."""
        return str(self._path(name))

    def _path(self, name: str) -> Path:
        # A dot in front is how unfinished objects are told apart, and '..' would leave the store.
        if any(not part or part.startswith(".") for part in name.split("/")) or "\0" in name:
            raise StoreError(f"object name {name!r} cannot be; use a/b/c, no part empty or beginning with a dot")
        return self._root / name


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each on the disk: an object in a folder that a power cut takes is gone too."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
