"""PostgreSQL 15 or newer: the database of many processes, such as Amazon RDS.

What differs from the embedded one is here: how to connect, partitions for each month, roles with no more rights than they need, and
locks that keep two processes from doing the same at once. psycopg is an extra: pip install ivizone[aws].
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError

from cloud.databases.base import ALONE, DatabaseError, migrate

CONNECT_S = 5
STATEMENT_S = 60
LOCK_S = 20
IDLE_S = 60
"""A transaction in which nothing happens for so long is a process that hangs; it lets go of its locks."""
PARTS = "ivizone_parts"
"""Schema of the partitions."""
MIGRATOR, WRITER, READER = "ivizone_migrator", "ivizone_writer", "ivizone_reader"
_ALONE_KEY = 0x1A12_0E00
_DAY_CLASS = 0x1A12


def postgres_database(url: str, *, password: str = "", pool_size: int = 5, statement_s: float = STATEMENT_S) -> Engine:
    """An engine on ``url``, such as postgresql://user:password@host/ivizone?sslmode=verify-full; a ``password`` takes the place of the
    URL's. Raises DatabaseError.

    A connection that died while nobody used it is replaced before its next use; one that dies in the middle is an OperationalError,
    nothing of its transaction stays, and the caller begins again.
    """
    try:
        address = make_url(url)
    except ArgumentError:
        address = None
    if address is None or address.get_backend_name() != "postgresql":
        raise DatabaseError("database.url is no address of PostgreSQL; use postgresql://user:password@host/ivizone")
    address = address.set(password=password) if password else address
    options = {
        "statement_timeout": statement_s,
        "lock_timeout": min(LOCK_S, statement_s),
        "idle_in_transaction_session_timeout": IDLE_S,
    }
    engine = create_engine(
        address.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_recycle=1800,  # after a failover, connections to the old host are not kept for ever
        pool_timeout=CONNECT_S,
        connect_args={
            "connect_timeout": CONNECT_S,
            "options": " ".join(f"-c {name}={round(seconds * 1000)}" for name, seconds in options.items()) + " -c timezone=UTC",
            # A host that vanished without a word, as in a failover, is noticed in seconds and not in the kernel's quarter of an hour.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        },
    )  # fmt: skip

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(ALONE, False):
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_ALONE_KEY,))

    @event.listens_for(engine, "handle_error")
    def _hide(context: ExceptionContext) -> None:
        # PostgreSQL adds a DETAIL with the row: keys, token hashes and names, which must not reach a log.
        primary = getattr(getattr(context.original_exception, "diag", None), "message_primary", None)
        if primary and context.sqlalchemy_exception is not None:
            kind = type(context.original_exception)
            context.original_exception.args = (primary,)
            context.sqlalchemy_exception.args = (f"({kind.__module__}.{kind.__name__}) {primary}",)

    return engine


# --- partitions -------------------------------------------------------------------------------------------------------


def make_months(engine: Engine, first: date, count: int) -> None:
    """Partitions of ``count`` months from the month of ``first`` on. What is there stays; rows that came before them move in."""
    with engine.begin() as connection:
        for number in range(count):
            year, month = divmod(first.year * 12 + first.month - 1 + number, 12)
            connection.execute(text(f"SELECT {PARTS}.make_month(:wanted)"), {"wanted": date(year, month + 1, 1)})


def migrate_postgres(engine: Engine, today: date) -> tuple[str | None, str]:
    """`migrate`, partitions from two months ago to a year ahead, and what the roles may do. A second call changes nothing."""
    done = migrate(engine)
    months = today.year * 12 + today.month - 1 - 2
    make_months(engine, date(months // 12, months % 12 + 1, 1), 15)
    with engine.begin() as connection:
        for statement in grants():
            connection.exec_driver_sql(statement)
    return done


# --- roles ------------------------------------------------------------------------------------------------------------


def roles(database: str) -> list[str]:
    """What a superuser (on RDS: the master user) runs once, before the first migration: three roles that nobody can log in with.
    Logins are made by the operator and granted one of them. Running it again changes nothing."""
    quoted = '"' + database.replace('"', '""') + '"'
    made = [
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF; END $$"
        for role in (MIGRATOR, WRITER, READER)
    ]
    return [
        *made,
        f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {quoted} TO {MIGRATOR}, {WRITER}, {READER}",
        f"GRANT CREATE ON DATABASE {quoted} TO {MIGRATOR}",
        f"GRANT USAGE, CREATE ON SCHEMA public TO {MIGRATOR}",
        f"GRANT USAGE ON SCHEMA public TO {WRITER}, {READER}",
    ]


def grants() -> list[str]:
    """What the migrator runs after each migration, as the owner of the tables: the writer may change rows and make a month's
    partitions, the reader may read. Nothing where the roles were never made."""
    everything = [
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {WRITER}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {WRITER}",
        f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {WRITER}",
        f"GRANT USAGE ON SCHEMA {PARTS} TO {WRITER}",
        f"GRANT EXECUTE ON FUNCTION {PARTS}.make_month(date) TO {WRITER}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}",
    ]
    there = f"(SELECT count(*) FROM pg_roles WHERE rolname IN ('{WRITER}', '{READER}')) = 2"  # noqa: S608  constants
    return [f"DO $$ BEGIN IF {there} THEN {statement}; END IF; END $$" for statement in everything]


# --- locks ------------------------------------------------------------------------------------------------------------


@contextmanager
def day_lock(engine: Engine, site: str, day: str) -> Iterator[bool]:
    """True while this process alone computes a site's day; False where another does. The lock goes with the connection."""
    with _session_lock(engine, day_key(site, day)) as held:
        yield held


def day_key(site: str, day: str) -> tuple[int, int]:
    """What PostgreSQL knows the lock of a site's day by. Two days in some thousand million have the same, and wait for one another."""
    return _DAY_CLASS, zlib.crc32(f"{site} {day}".encode()) - (1 << 31)


@contextmanager
def stream_lock(engine: Engine, stream: str) -> Iterator[bool]:
    """True while this process alone consumes a stream without the Kinesis Client Library."""
    with _session_lock(engine, (_DAY_CLASS + 1, zlib.crc32(stream.encode()) - (1 << 31))) as held:
        yield held


@contextmanager
def house_lock(engine: Engine) -> Iterator[bool]:
    """True while this process alone erases what is over."""
    with _session_lock(engine, (_DAY_CLASS + 2, 0)) as held:
        yield held


@contextmanager
def _session_lock(engine: Engine, key: tuple[int, int]) -> Iterator[bool]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        held = bool(connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s, %s)", key).scalar_one())
        try:
            yield held
        finally:
            if held and not connection.closed:
                _unlock(connection, key)


def _unlock(connection: Connection, key: tuple[int, int]) -> None:
    try:
        connection.exec_driver_sql("SELECT pg_advisory_unlock(%s, %s)", key)
    except Exception:
        connection.invalidate()  # a lock that cannot be given back goes with its connection


def sql_of_roles(database: str) -> str:
    """`roles` as a script."""
    return ";\n".join(roles(database)) + ";\n"
