"""Sessions: kept on the server, so that they can be ended there. The browser holds a secret, the database its hash.

A session ends after ``IDLE_MS`` without a request and after ``WHOLE_MS`` in any case. Source: OWASP Session Management, "Session Expiration".
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, delete, insert, or_, select, update

from cloud.accounts.audit import note
from cloud.accounts.secrets import hash_of, new_secret
from cloud.accounts.viewer import Viewer, of_role
from cloud.databases.tables import sessions, users

IDLE_MS = 12 * 3_600_000
WHOLE_MS = 14 * 24 * 3_600_000
NOTED_MS = 60_000
"""How old the note of the last request may grow before it is written anew: a page that asks each second must not write each second."""


class Sessions:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    def begin(self, login: str) -> str:
        """A new session; gives its secret. Sessions that are over are cleared away."""
        secret, now_ms = new_secret(), self._now_ms()
        row = {"session_hash": hash_of(secret), "login": login, "created_ms": now_ms, "seen_ms": now_ms}
        with self._database.begin() as connection:
            over = or_(sessions.c.seen_ms <= now_ms - IDLE_MS, sessions.c.created_ms <= now_ms - WHOLE_MS)
            connection.execute(delete(sessions).where(over))
            connection.execute(insert(sessions), row)
            merchant = connection.execute(select(users.c.merchant).where(users.c.login == login)).scalar_one()
            note(connection, merchant, login, now_ms, "signed_in", login)
        return secret

    def viewer(self, secret: str) -> Viewer | None:
        """Whose session it is, None where it is over or was none."""
        now_ms, mine = self._now_ms(), sessions.c.session_hash == hash_of(secret)
        query = select(users, sessions.c.seen_ms).join(sessions, sessions.c.login == users.c.login)
        lives = (mine, sessions.c.seen_ms > now_ms - IDLE_MS, sessions.c.created_ms > now_ms - WHOLE_MS)
        with self._database.connect() as connection:
            row = connection.execute(query.where(*lives)).one_or_none()
        if row is None:
            return None
        if row.seen_ms < now_ms - NOTED_MS:
            with self._database.begin() as connection:
                connection.execute(update(sessions).where(mine).values(seen_ms=now_ms))
        return of_role(row.merchant, row.login, row.role, row.language)

    def end(self, secret: str) -> None:
        """End one session."""
        with self._database.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.session_hash == hash_of(secret)))
