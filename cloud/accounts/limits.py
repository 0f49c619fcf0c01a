"""How often something may be tried: signing in, inviting, the forms of the store's page (shell: the database).

The counters lie in the database, so that several processes behind a balancer count together and none forgets when it is started anew.
Names of accounts and networks (/24, /56) are kept as hashes under a key that lies there too: a row alone tells nobody, whoever holds the
whole database could try names, and finds none that is older than ``KEPT_MS``. What was refused is counted and written nowhere.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections import Counter
from collections.abc import Callable
from hashlib import blake2s
from typing import Any

from sqlalchemy import Connection, Engine, case, delete, select, tuple_, update

from cloud.accounts.errors import SignInLimited
from cloud.databases.base import INSERTS
from cloud.databases.tables import attempt_keys, attempts

MIN_MS = 60_000
WINDOW_MS = 15 * MIN_MS
LIMITS = {"account": 10, "address": 50}
"""Failures that are allowed within the window."""
KEPT_MS = 60 * MIN_MS
"""The longest window. What began earlier is erased when anything new is tried."""


class Attempts:
    """Counts in windows that begin with the first attempt. ``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms
        self._known_key: bytes | None = None

    def take(self, limit: int, window_ms: int, kind: str, name: str) -> int:
        """Count one. Gives 0 where it is within the limit, else the seconds to wait."""
        with self._database.begin() as connection:
            wait_s = self.take_on(connection, limit, window_ms, kind, name)
            self.tidy(connection)
        return wait_s

    def take_on(self, connection: Connection, limit: int, window_ms: int, kind: str, name: str) -> int:
        """``take`` in a transaction of the caller's, who tidies at its end."""
        now_ms, kept = self._now_ms(), attempts.c
        is_over, is_full = kept.begun_ms <= now_ms - window_ms, kept.tries > limit
        row = {"kind": kind, "name_hash": self._hash(connection, kind, name), "begun_ms": now_ms, "tries": 1}
        changed = {
            "begun_ms": case((is_over, now_ms), else_=kept.begun_ms),
            "tries": case((is_over, 1), (is_full, kept.tries), else_=kept.tries + 1),
        }
        insert = INSERTS[connection.dialect.name](attempts).values(row)
        done = insert.on_conflict_do_update(index_elements=["kind", "name_hash"], set_=changed)
        begun_ms, tries = connection.execute(done.returning(kept.begun_ms, kept.tries)).one()
        return 0 if tries <= limit else self._wait_s(begun_ms, window_ms)

    def wait_s(self, limit: int, window_ms: int, kind: str, name: str) -> int:
        """The seconds that one more would have to wait, 0 for none. Counts nothing."""
        with self._database.connect() as connection:
            row = connection.execute(select(attempts).where(*self._mine(connection, kind, name))).one_or_none()
        if row is None or row.tries < limit or row.begun_ms <= self._now_ms() - window_ms:
            return 0
        return self._wait_s(row.begun_ms, window_ms)

    def give_back(self, connection: Connection, kind: str, name: str, *, all_of_it: bool = False) -> None:
        """One less, or none at all."""
        left = case((attempts.c.tries > 1, attempts.c.tries - 1), else_=0)
        mine = update(attempts).where(*self._mine(connection, kind, name))
        connection.execute(mine.values(tries=0 if all_of_it else left))

    def tidy(self, connection: Connection) -> None:
        """Erase what is over. Rows that somebody else has in hand are left to the next, so that nobody waits."""
        key = (attempts.c.kind, attempts.c.name_hash)
        over = select(*key).where(attempts.c.begun_ms <= self._now_ms() - KEPT_MS).with_for_update(skip_locked=True)
        connection.execute(delete(attempts).where(tuple_(*key).in_(over)))

    def _wait_s(self, begun_ms: int, window_ms: int) -> int:
        return max(1, (begun_ms + window_ms - self._now_ms()) // 1000)

    def _mine(self, connection: Connection, kind: str, name: str) -> tuple[Any, Any]:
        return attempts.c.kind == kind, attempts.c.name_hash == self._hash(connection, kind, name)

    def _hash(self, connection: Connection, kind: str, name: str) -> str:
        return blake2s(f"{kind} {name}".encode(), key=self._key(connection)).hexdigest()

    def _key(self, connection: Connection) -> bytes:
        """The key that all processes share; whoever comes first draws it. It is remembered once it was found, for a drawing may be undone."""
        query = select(attempt_keys.c.key)
        self._known_key = self._known_key or connection.execute(query).scalar_one_or_none()
        if self._known_key is None:
            drawn = INSERTS[connection.dialect.name](attempt_keys).values(attempt_key=1, key=secrets.token_bytes(32))
            connection.execute(drawn.on_conflict_do_nothing())
            return bytes(connection.execute(query).scalar_one())
        return bytes(self._known_key)


class SignInLimits:
    """Counts sign-ins before they are worked on, so that a hundred at once are a hundred."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._attempts = Attempts(database, now_ms)
        self.refused: Counter[str] = Counter()
        """Kind -> attempts that were not even looked at, by this process."""

    def begin(self, login: str, address: str) -> None:
        """Count an attempt, or nothing of it. Raises SignInLimited where there were too many."""
        with self._database.begin() as connection:
            for kind, name in _named(login, address):
                if wait_s := self._attempts.take_on(connection, LIMITS[kind], WINDOW_MS, kind, name):
                    self.refused[kind] += 1
                    raise SignInLimited(wait_s)
            self._attempts.tidy(connection)

    def succeeded(self, login: str, address: str) -> None:
        """The attempt was right: it was none against the limits, and the account begins anew."""
        with self._database.begin() as connection:
            for kind, name in _named(login, address):
                self._attempts.give_back(connection, kind, name, all_of_it=kind == "account")


def _named(login: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """In this order everywhere, so that two at once do not wait for each other."""
    return ("account", login), ("address", neighbourhood(address))


def neighbourhood(address: str) -> str:
    """The network that an address is counted with: /24 of IPv4, /56 of IPv6, which one household or server has. Text that is no address is its own."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    bits = 24 if found.version == 4 else 56
    return str(ipaddress.ip_network((found, bits), strict=False))
