"""What the product needs of a database: a SQLAlchemy engine, brought to the newest schema.

Adapters differ in how they connect; the statements are SQLAlchemy Core and the same everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Table, delete, inspect
from sqlalchemy.dialects import postgresql, sqlite

MIGRATIONS = Path(__file__).parent / "migrations"
ALONE = "ivizone_alone"
"""Execution option: the transaction keeps other writers out from its first statement, because it reads before it writes."""


INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
"""Dialect -> its INSERT ... ON CONFLICT."""


class DatabaseError(Exception):
    """The database is missing, too old or too new. The message says what to do."""


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the schema to the newest revision; gives the revision before and after. A second call changes nothing.

    All of it happens or nothing, and two processes do it one after the other. Raises DatabaseError, SQLAlchemyError.
    """
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.execution_options(**{ALONE: True}).begin() as connection:
        before = _revision(connection)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseError(
                f"the database has schema {before}, which this version does not know; install a newer Ivizone"
            ) from error
        after = _revision(connection)
    if after is None:
        raise AssertionError("cannot happen: a migration leaves a revision behind")
    return before, after


def revision(engine: Engine) -> str | None:
    """The schema's revision, None for an empty database."""
    with engine.connect() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def require_schema(engine: Engine) -> None:
    """Raise DatabaseError where `migrate` was never run."""
    if not inspect(engine).has_table("sites"):
        raise DatabaseError("the database is empty; run: ivizone-cloud migrate")


def replace_rows(connection: Connection, table: Table, rows: list[dict[str, Any]], **where: str) -> None:
    """Put ``rows`` in the place of all rows of ``table`` that match ``where``. Doing it twice changes nothing."""
    connection.execute(delete(table).where(*(table.c[name] == value for name, value in where.items())))
    if rows:
        connection.execute(table.insert(), rows)


def upsert(
    connection: Connection,
    table: Table,
    key: dict[str, Any],
    values: dict[str, Any],
    at_first: dict[str, Any] | None = None,
) -> None:
    """Set ``values`` in the row with ``key``, or insert it, then with ``at_first`` over them. Two at once do not disturb each other.

    Raises SQLAlchemyError.
    """
    insert = INSERTS[connection.dialect.name]
    row = {**values, **(at_first or {}), **key}
    connection.execute(insert(table).values(row).on_conflict_do_update(index_elements=list(key), set_=values))
