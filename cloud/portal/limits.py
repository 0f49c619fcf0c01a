"""How often a shopper's form may be sent, from the neighbourhood of an address (core but for its table in memory).

All phones of a store share one address, so these limits are those of a crowd; they stop a program, not a queue. Names are kept as keyed
hashes under a key of chance that dies with the process: whoever only says no leaves nothing in a database, and n processes count n times.
The till's limits guard its codes against guessing and must hold over all processes: they count with the sign-ins (``cloud.accounts.limits``).
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from hashlib import blake2s

WINDOW_MS = 10 * 60_000
LIMITS = {"answer": 600, "code": 300, "erase": 120, "opt_out": 30}
"""Kind of form -> how many within the window."""
TILL_LIMITS = {"till_token": 30, "till_code": 30}
"""The same of a till, where only what was wrong counts."""
KEPT = 20_000
"""Entries at most; the oldest go first."""


class Limits:
    """``now_ms`` is the clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._key = secrets.token_bytes(32)
        self._counts: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.refused: Counter[str] = Counter()
        """Kind -> forms that were not looked at."""

    def wait_s(self, kind: str, name: str) -> int:
        """0 where one more is within the limit, and then counted; else the seconds to wait."""
        with self._lock:
            key, (begun_ms, many) = self._entry(kind, name)
            if many >= LIMITS[kind]:
                self.refused[kind] += 1
                return max(1, (begun_ms + WINDOW_MS - self._now_ms()) // 1000)
            self._counts[key] = (begun_ms, many + 1)
        return 0

    def _entry(self, kind: str, name: str) -> tuple[bytes, tuple[int, int]]:
        key = blake2s(f"{kind} {name}".encode(), key=self._key).digest()
        found = self._counts.get(key)
        if found is None or found[0] + WINDOW_MS <= self._now_ms():
            found = self._counts[key] = (self._now_ms(), 0)
        self._counts.move_to_end(key)
        while len(self._counts) > KEPT:
            self._counts.popitem(last=False)
        return key, found
