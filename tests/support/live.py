"""A live source that plays what a test wrote, for the service and the runner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from agent.dot11.captured import CapturedFrame, Tick


class ScriptedSource:
    """Yields ``script``; a callable in it is called instead. Register its class under a name in ``agent.sources.SOURCES``."""

    script: ClassVar[list[Any]] = []
    open_now: ClassVar[int] = 0
    """How many were made and not closed."""

    def __init__(self) -> None:
        self._now_us = 0
        type(self).open_now += 1

    @classmethod
    def from_config(cls, section: Any) -> ScriptedSource:
        del section
        return cls()

    def __iter__(self) -> Iterator[CapturedFrame | Tick]:
        while type(self).script:
            step: Any = type(self).script.pop(0)
            if isinstance(step, Callable) and not isinstance(step, tuple):
                step()
            else:
                self._now_us = step.time_us
                yield step

    def losses(self) -> dict[str, int]:
        return {}

    def rest(self) -> Iterator[CapturedFrame | Tick]:
        yield Tick(self._now_us)

    def state(self) -> dict[str, int | float | str | None]:
        return {"interface": "mon-test"}

    def close(self) -> None:
        type(self).open_now -= 1
