"""How often a sign-in may fail: for an account, and for the neighbourhood of an address (core but for its table in memory).

Names and addresses are kept as keyed hashes under a key of chance that dies with the process; what was refused is counted, and neither
is written anywhere. Each process counts for itself: with n of them n times as many attempts are possible, which argon2 makes slow enough.
"""

from __future__ import annotations

import ipaddress
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s

from cloud.accounts.errors import SignInLimited

WINDOW_MS = 15 * 60_000
LIMITS = {"account": 10, "address": 50}
"""Failures that are allowed within the window."""
KEPT = 20_000
"""Entries at most; the oldest go first."""


@dataclass(slots=True)
class _Attempts:
    begun_ms: int
    count: int = 0


class SignInLimits:
    """Counts attempts before they are worked on, so that a hundred at once are a hundred. ``now_ms`` is the clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._key = secrets.token_bytes(32)
        self._attempts: OrderedDict[bytes, _Attempts] = OrderedDict()
        self._lock = threading.Lock()
        self.refused: Counter[str] = Counter()
        """Kind -> attempts that were not even looked at."""

    def begin(self, login: str, address: str) -> None:
        """Count an attempt. Raises SignInLimited where there were too many."""
        with self._lock:
            found = {kind: self._entry(kind, name) for kind, name in _named(login, address)}
            for kind, attempts in found.items():
                if attempts.count >= LIMITS[kind]:
                    self.refused[kind] += 1
                    raise SignInLimited(max(1, (attempts.begun_ms + WINDOW_MS - self._now_ms()) // 1000))
            for attempts in found.values():
                attempts.count += 1

    def succeeded(self, login: str, address: str) -> None:
        """The attempt was right: it was none against the limits, and the account begins anew."""
        with self._lock:
            for kind, name in _named(login, address):
                attempts = self._entry(kind, name)
                attempts.count = 0 if kind == "account" else max(0, attempts.count - 1)

    def _entry(self, kind: str, name: str) -> _Attempts:
        key = blake2s(f"{kind} {name}".encode(), key=self._key).digest()
        attempts = self._attempts.get(key)
        if attempts is None or attempts.begun_ms + WINDOW_MS <= self._now_ms():
            attempts = self._attempts[key] = _Attempts(self._now_ms())
        self._attempts.move_to_end(key)
        while len(self._attempts) > KEPT:
            self._attempts.popitem(last=False)
        return attempts


def _named(login: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("account", login), ("address", neighbourhood(address))


def neighbourhood(address: str) -> str:
    """The network that an address is counted with: /24 of IPv4, /56 of IPv6, which one household or server has. Text that is no address is its own."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    bits = 24 if found.version == 4 else 56
    return str(ipaddress.ip_network((found, bits), strict=False))
