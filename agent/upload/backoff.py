"""How long to wait before the cloud is asked again: exponential with full jitter (core).

Full jitter, because after an outage a thousand access points must not come back in the same second.
Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """``random`` gives numbers in [0, 1). ``first_s`` and ``last_s`` bound the longest wait, which doubles from one to the other."""

    def __init__(self, first_s: float, last_s: float, random: Callable[[], float]) -> None:
        self._first_s = first_s
        self._last_s = last_s
        self._random = random
        self.failures = 0
        """In a row, up to now."""

    def failed(self, wish_s: float | None = None) -> float:
        """Seconds to wait now: drawn between 0 and the bound, and never less than the cloud wished for."""
        bound = min(self._last_s, self._first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        wait = self._random() * bound
        return wait if wish_s is None else wish_s + wait

    def succeeded(self) -> None:
        """The cloud answered well: begin anew."""
        self.failures = 0
