"""Objects as files below a folder: the embedded lake."""

from __future__ import annotations

import os
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
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
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
        folder = self._root / prefix.rpartition("/")[0]
        found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
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
        path = self._root / name
        if not name or name.startswith("/") or ".." in path.parts:
            raise StoreError(f"object name {name!r} leaves the store; use relative names without '..'")
        return path
