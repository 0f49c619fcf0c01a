"""Who did what, for the owner to read. Written in the transaction that does it, so neither is there without the other."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from cloud.accounts.viewer import Viewer
from cloud.databases.tables import audit

SHOWN = 200


def note(connection: Connection, merchant: str, login: str, now_ms: int, action: str, subject: str) -> None:
    """Write one entry. ``action`` is a past-tense fact in snake_case, ``subject`` what it was done to; never a secret."""
    row = {"merchant": merchant, "login": login, "at_ms": now_ms, "action": action, "subject": subject[:200]}
    connection.execute(insert(audit), row)


def entries(database: Engine, viewer: Viewer) -> list[dict[str, Any]]:
    """The newest entries of the viewer's merchant."""
    query = select(audit).where(audit.c.merchant == viewer.merchant).order_by(audit.c.entry.desc()).limit(SHOWN)
    with database.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]
