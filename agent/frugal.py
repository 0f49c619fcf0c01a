"""What an access point's memory is spared of: modules that are asked for and never used, or used for a moment only (shell).

structlog brings asyncio, logging and what paints tracebacks in colours, dataclasses bring the whole inspection of sources, and the
configuration wants a YAML parser: together a fifth of an idle agent. Both contexts are for imports that follow one another in one thread.
docs/field-tests.md has the figures; tests/agent/test_frugal.py says what an idle agent must not have loaded.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

DEFERRED = frozenset({"asyncio", "inspect", "logging", "structlog.stdlib", "structlog.threadlocal"})
"""Bound now and executed by whoever first takes something out of them; for the agent nobody does."""
LEFT_OUT = frozenset({"better_exceptions", "colorama", "rich", "structlog.twisted", "yaml._yaml"})
"""Not found, which those who ask for them take as not installed."""


class _Frugal:
    """A finder of ``sys.meta_path``. Not derived from importlib.abc, which would bring half a megabyte itself."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """What the import system asks."""
        if name in LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is left out by agent.frugal", name=name)
        spec = PathFinder.find_spec(name, path, target) if name in DEFERRED else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def frugal() -> Iterator[None]:
    """While it lasts, DEFERRED modules are loaded at first use and LEFT_OUT ones are not there."""
    sys.meta_path.insert(0, _Frugal)
    try:
        yield
    finally:
        sys.meta_path.remove(_Frugal)


@contextmanager
def borrowed(*names: str) -> Iterator[None]:
    """The modules of these names, and theirs, are let go at the end, unless they were there before: what follows has their memory."""
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if any(name == borrowed or name.startswith(f"{borrowed}.") for borrowed in names):
                parent, _, child = name.rpartition(".")
                vars(sys.modules.get(parent, sys)).pop(child, None)
                del sys.modules[name]
        gc.collect()
