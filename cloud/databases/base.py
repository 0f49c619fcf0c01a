"""What the product needs of a database: a SQLAlchemy engine, brought to the newest schema.

Adapters differ in how they connect; the statements are SQLAlchemy Core and the same everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Engine, Table, delete, insert, inspect, update

MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseError(Exception):
    """The database is missing, too old or too new. The message says what to do."""


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the schema to the newest revision; gives the revision before and after. A second call changes nothing."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    before = revision(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    after = revision(engine)
    if after is None:
        raise AssertionError("cannot happen: a migration leaves a revision behind")
    return before, after


def revision(engine: Engine) -> str | None:
    """The schema's revision, None for an empty database."""
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
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


def upsert(connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Set ``values`` in the row with ``key``, or insert it. Raises SQLAlchemyError."""
    changed = connection.execute(
        update(table).where(*(table.c[name] == value for name, value in key.items())).values(**values)
    )
    if changed.rowcount == 0:
        connection.execute(insert(table), {**key, **values})
