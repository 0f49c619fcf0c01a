"""Tokens of the API: made by a person, for a program, with scopes. Shown once, kept as a hash, revocable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine, insert, select, update

from cloud.accounts.audit import note
from cloud.accounts.errors import AccountRefused
from cloud.accounts.secrets import hash_of, new_name, new_secret
from cloud.accounts.viewer import MANAGE_TOKENS, SCOPES, Viewer
from cloud.databases.tables import api_tokens

PREFIX = "ivzapi-"
HOUR_MS = 3_600_000


class ApiTokens:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    def make(self, viewer: Viewer, label: str, scopes: Sequence[str]) -> str:
        """A new token of the viewer's merchant; it is shown this once. Raises AccountRefused, NotAllowed."""
        viewer.require(MANAGE_TOKENS)
        wanted = [scope for scope in SCOPES if scope in scopes]
        if not wanted:
            raise AccountRefused(f"a token needs a scope: {', '.join(SCOPES)}")
        for scope in wanted:
            viewer.require(scope)  # nobody hands on what they do not have
        label = label.strip()
        if not 0 < len(label) <= 100 or not label.isprintable():
            raise AccountRefused("a token needs a label of 1 to 100 letters: where will it be used?")
        secret, token = new_secret(PREFIX), new_name(12)
        row = {
            "token": token,
            "token_hash": hash_of(secret),
            "merchant": viewer.merchant,
            "label": label,
            "scopes": " ".join(wanted),
            "made_by": viewer.login,
            "created_ms": self._now_ms(),
        }
        with self._database.begin() as connection:
            connection.execute(insert(api_tokens), row)
            note(connection, viewer.merchant, viewer.login, self._now_ms(), "token_made", token)
        return secret

    def of(self, viewer: Viewer) -> list[dict[str, Any]]:
        """The tokens of the viewer's merchant, newest first, without what would let anybody use them."""
        columns = [column for column in api_tokens.c if column.name != "token_hash"]
        query = (
            select(*columns).where(api_tokens.c.merchant == viewer.merchant).order_by(api_tokens.c.created_ms.desc())
        )
        with self._database.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def revoke(self, viewer: Viewer, token: str) -> bool:
        """End a token of the viewer's merchant. False where there is none of that name. Raises NotAllowed."""
        viewer.require(MANAGE_TOKENS)
        mine = (
            api_tokens.c.token == token,
            api_tokens.c.merchant == viewer.merchant,
            api_tokens.c.revoked_ms.is_(None),
        )
        with self._database.begin() as connection:
            changed = (
                connection.execute(update(api_tokens).where(*mine).values(revoked_ms=self._now_ms())).rowcount == 1
            )
            if changed:
                note(connection, viewer.merchant, viewer.login, self._now_ms(), "token_revoked", token)
        return changed

    def viewer(self, secret: str) -> Viewer | None:
        """On whose behalf a request with this token comes, None for one that is unknown or revoked."""
        mine = api_tokens.c.token_hash == hash_of(secret)
        with self._database.connect() as connection:
            row = connection.execute(select(api_tokens).where(mine, api_tokens.c.revoked_ms.is_(None))).one_or_none()
        if row is None:
            return None
        hour_ms = self._now_ms() // HOUR_MS * HOUR_MS
        if row.used_ms != hour_ms:
            with self._database.begin() as connection:
                connection.execute(update(api_tokens).where(mine).values(used_ms=hour_ms))
        return Viewer(row.merchant, f"token {row.token}", frozenset(row.scopes.split()))
