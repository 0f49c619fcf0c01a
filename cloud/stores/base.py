"""The port: what the product needs of an object store. One contract suite runs on every adapter."""

from __future__ import annotations

from typing import Protocol


class StoreError(Exception):
    """The store cannot take or give an object now."""


class ObjectStore(Protocol):
    """Objects under names with slashes, no part empty or beginning with a dot. A put is whole or not at all, and durable when it returns; it overwrites."""

    def put(self, name: str, data: bytes) -> None:
        """Store ``data``. Raises StoreError."""
        ...

    def get(self, name: str) -> bytes:
        """The object's bytes. Raises StoreError where there is none."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Names that begin with ``prefix``, sorted. Raises StoreError."""
        ...

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is as good as removed. Raises StoreError."""
        ...

    def location(self, name: str) -> str:
        """Where an analytics engine finds the object: a path or a URL."""
        ...
