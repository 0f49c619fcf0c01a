"""A deadline for many requests with one timer: one for each batch would cost a sixth of what a batch costs
(docs/adr/0015-ingest-speed.md)."""

from __future__ import annotations

import asyncio
from types import TracebackType

LOOKS = 4
"""How often within a deadline it is looked who is late: one is cut off a quarter late at most."""


class Deadline:
    """``with deadline:`` ends with TimeoutError in a task that stays longer than ``limit_s``, as ``asyncio.timeout`` would have it."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since_s: dict[asyncio.Task[object], float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop whose timer is running."""

    def __enter__(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise AssertionError("cannot happen: requests are tasks")
        self._since_s[task] = loop.time()
        if self._loop is not loop:
            self._look_later(loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        is_late = task is not None and self._since_s.pop(task, None) is None
        if task is not None and is_late and task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.call_later(self._limit_s / LOOKS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = None
        for task, since_s in list(self._since_s.items()):
            if task.get_loop() is loop and loop.time() - since_s >= self._limit_s:
                del self._since_s[task]
                task.cancel()
        if self._since_s:
            self._look_later(loop)
