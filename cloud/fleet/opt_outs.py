"""The opt-outs of stores in the database: a key and a filter's bits for each store, never an address (shell)."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from sqlalchemy import Engine, select

from cloud.databases.base import ALONE, upsert
from cloud.databases.privacy_tables import opt_outs
from cloud.domain.opt_out import KEY_BYTES, SECTION_BYTES, entered


class OptOuts:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    def add(self, site: str, address: bytes) -> None:
        """Enter an address (6 bytes), which is kept nowhere. Raises FilterFull, SQLAlchemyError."""
        chance = secrets.token_bytes(8 * SECTION_BYTES)
        query = select(opt_outs.c.key, opt_outs.c.filter).where(opt_outs.c.site == site).with_for_update()
        with self._database.execution_options(**{ALONE: True}).begin() as connection:
            row = connection.execute(query).one_or_none()
            key, sections = (row.key, row.filter) if row else (secrets.token_bytes(KEY_BYTES), b"")
            values = {"key": key, "filter": entered(sections, key, address, chance), "changed_ms": self._now_ms()}
            upsert(connection, opt_outs, {"site": site}, values)

    def content(self, site: str) -> bytes:
        """What a store's access points are given: the key and the filter; empty where nobody opted out."""
        with self._database.connect() as connection:
            row = connection.execute(select(opt_outs).where(opt_outs.c.site == site)).one_or_none()
        return bytes(row.key) + bytes(row.filter) if row else b""
