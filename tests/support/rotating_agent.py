"""A running agent whose day a test can end: `python -m support.rotating_agent CONFIG`, told on standard input what the radio hears.

    hear HEX...     frames arrive, each as its source would hand it over
    pass SECONDS    time passes, with the ticks of a live source
    midnight        the clock goes to 30 s after the day's end
    stop            the agent ends

After each it answers "done". The service, the pipeline, the keys and the spool are those of `ivizone-agent run`; only the clock and the air are ours.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DAY_S = 86_400
BEGIN_S = 20_800 * DAY_S + 12 * 3600
"""A noon, 2026."""
_now_ns = BEGIN_S * 1_000_000_000
time.time_ns = lambda: _now_ns
time.time = lambda: _now_ns / 1e9

from agent.config import load_config  # noqa: E402
from agent.dot11.captured import CapturedFrame, Tick  # noqa: E402
from agent.service import Service, Signals  # noqa: E402
from agent.sources import SOURCES  # noqa: E402


def now_us() -> int:
    return _now_ns // 1000


class ToldSource:
    """A live source that hears what it is told."""

    @classmethod
    def from_config(cls, section: Any) -> ToldSource:
        del section
        return cls()

    def __iter__(self) -> Iterator[CapturedFrame | Tick]:
        global _now_ns
        for line in sys.stdin:
            order, *words = line.split()
            if order == "stop":
                return
            if order == "hear":
                for word in words:
                    yield CapturedFrame(bytes.fromhex(word), now_us(), 127, 0, False)
                    _now_ns += 20_000_000
            seconds = int(words[0]) if order == "pass" else 1
            if order == "midnight":
                _now_ns = (_now_ns // (DAY_S * 10**9) + 1) * DAY_S * 10**9 + 30 * 10**9
            for _ in range(seconds):
                _now_ns += 10**9
                yield Tick(now_us(), ((6, 1000),))
            print("done", flush=True)

    def losses(self) -> dict[str, int]:
        return {}

    def rest(self) -> Iterator[CapturedFrame | Tick]:
        yield Tick(now_us())

    def state(self) -> dict[str, int | float | str | None]:
        return {"interface": "told"}

    def close(self) -> None:
        """Nothing is open."""


if __name__ == "__main__":
    sys.modules["support.rotating_agent"] = sys.modules["__main__"]
    SOURCES["told"] = "support.rotating_agent:ToldSource"
    path = Path(sys.argv[1])
    Service(lambda: load_config(path), Signals(), drain_s=0.05).run()
