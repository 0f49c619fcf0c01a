"""Days that have data which no figure knows of."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, case

from cloud.databases.base import upsert
from cloud.databases.tables import dirty_days


def mark_dirty(connection: Connection, days: Iterable[tuple[str, str]], now_ms: int) -> None:
    """Mark (site, local date) as to be computed again.

    Each mark is another value, also within one millisecond and where another process's clock is ahead: whoever computes a day takes
    the mark away only where it is still the one that was there before.
    """
    since_ms = dirty_days.c.since_ms
    after = case((since_ms >= now_ms, since_ms + 1), else_=now_ms)
    for site, date in sorted(days):
        upsert(connection, dirty_days, {"site": site, "date": date}, {"since_ms": after}, {"since_ms": now_ms})
