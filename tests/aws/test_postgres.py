"""PostgreSQL as the database: partitions by month, roles with no more rights than they need, and a server that is killed."""

from __future__ import annotations

import threading
import time
from datetime import date

import pytest
from support.aws import adapters, parts

if reason := parts.missing("psycopg", "postgres"):
    pytest.skip(reason, allow_module_level=True)

import psycopg
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from cloud.databases.base import DatabaseError, migrate, replace_rows, upsert
from cloud.databases.postgres import (
    MIGRATOR,
    READER,
    WRITER,
    day_lock,
    make_months,
    migrate_postgres,
    postgres_database,
    roles,
    stream_lock,
)
from cloud.databases.tables import dirty_days, metadata, quarter_figures

TODAY = date(2026, 11, 25)


@pytest.fixture
def database():
    made = adapters.postgres()
    migrate_postgres(made, TODAY)
    yield made
    made.dispose()


def row(day: str, value: float = 1.0) -> dict[str, object]:
    key = {"site": "shop", "date": day, "preset": "ivizone", "start_ms": 0, "metric": "visitors"}
    return {**key, "value": value, "low": 0.0, "high": 2.0, "devices": 5, "coverage": 1.0}


def parts_of(database, table: str = "quarter_figures") -> dict[str, int]:
    """Partition -> rows in it."""
    query = text(f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1")  # noqa: S608
    with database.connect() as connection:
        return {name.removeprefix("ivizone_parts."): count for name, count in connection.execute(query)}


# --- partitions -------------------------------------------------------------------------------------------------------


def test_a_row_lies_in_the_partition_of_its_month(database):
    with database.begin() as connection:
        connection.execute(
            insert(quarter_figures), [row("2026-11-01"), row("2026-11-30"), row("2026-12-01"), row("2019-01-01")]
        )

    assert parts_of(database) == {
        "quarter_figures_2026_11": 2,
        "quarter_figures_2026_12": 1,
        "quarter_figures_other": 1,
    }


def test_a_month_that_is_made_later_takes_the_rows_that_waited_for_it(database):
    with database.begin() as connection:
        connection.execute(insert(quarter_figures), [row("2019-01-01"), row("2019-01-31"), row("2019-02-01")])
    make_months(database, date(2019, 1, 15), 1)
    make_months(database, date(2019, 1, 15), 1)

    assert parts_of(database) == {"quarter_figures_2019_01": 2, "quarter_figures_other": 1}


def test_a_query_of_one_day_looks_into_one_partition(database):
    with database.connect() as connection:
        plan = "\n".join(
            connection.execute(
                text("EXPLAIN SELECT * FROM quarter_figures WHERE site = 'shop' AND date = '2026-11-20'")
            ).scalars()
        )

    assert plan.count("quarter_figures_2026_11") >= 1 and "2026_12" not in plan and "other" not in plan


def test_rows_that_were_there_before_the_partitions_are_kept():
    """An installation that began with the first schema."""
    from alembic import command
    from alembic.config import Config

    from cloud.databases.base import MIGRATIONS

    made = adapters.postgres()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with made.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(insert(quarter_figures), [row("2026-11-01", 7.0)])
    migrate_postgres(made, TODAY)
    with made.connect() as connection:
        assert connection.execute(select(quarter_figures.c.value)).scalars().all() == [7.0]
    made.dispose()


# --- roles ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def logins():
    """Role -> an engine of somebody who may do what it may; the schema was laid by the migrator, not by a superuser."""
    name = adapters.fresh("roles")
    parts.postgres().create(name)
    superuser = postgres_database(parts.postgres().url(name))
    with superuser.begin() as connection:
        for statement in [*roles(name), *roles(name)]:
            connection.exec_driver_sql(statement)
        for role in (MIGRATOR, WRITER, READER):
            login = f"{role}_{name}".replace("-", "_")
            connection.exec_driver_sql(f"CREATE ROLE {login} LOGIN IN ROLE {role}")
            connection.exec_driver_sql(f"ALTER ROLE {login} SET role = {role}")
    superuser.dispose()
    engines = {
        role: postgres_database(parts.postgres().url(name, f"{role}_{name}".replace("-", "_")))
        for role in (MIGRATOR, WRITER, READER)
    }
    migrate_postgres(engines[MIGRATOR], TODAY)
    yield engines
    for engine in engines.values():
        engine.dispose()


def may(engine, statement: str) -> bool:
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        return False
    return True


INSERT = "INSERT INTO dirty_days VALUES ('shop', '2026-11-20', 1)"
RIGHTS = [
    ("SELECT * FROM quarter_figures", {WRITER, READER}),
    ("SELECT * FROM alembic_version", {WRITER, READER}),
    (INSERT, {WRITER}),
    ("UPDATE dirty_days SET since_ms = 2", {WRITER}),
    ("DELETE FROM dirty_days", {WRITER}),
    ("INSERT INTO audit (merchant, login, at_ms, action, subject) SELECT 'main', 'x', 1, 'x', 'x'", {WRITER}),
    ("SELECT ivizone_parts.make_month('2031-05-01')", {WRITER}),
    ("UPDATE alembic_version SET version_num = '9'", set()),
    ("TRUNCATE dirty_days", set()),
    ("DROP TABLE dirty_days", set()),
    ("DROP TABLE ivizone_parts.quarter_figures_2026_11", set()),
    ("ALTER TABLE dirty_days ADD COLUMN x int", set()),
    ("CREATE TABLE mine (x int)", set()),
    ("CREATE TABLE ivizone_parts.mine (x int)", set()),
    ("CREATE SCHEMA mine", set()),
    ("DELETE FROM ivizone_parts.quarter_figures_other", set()),
]


def test_each_role_may_do_what_it_needs_and_nothing_else(logins):
    for statement, allowed in RIGHTS:
        for role in (WRITER, READER):
            assert may(logins[role], statement) is (role in allowed), (role, statement)


def test_the_writer_may_write_every_table_and_the_reader_read_it(logins):
    for table in metadata.tables:
        with logins[WRITER].connect() as connection:
            wanted = text("SELECT has_table_privilege(:t, 'INSERT, UPDATE, DELETE')")
            assert connection.execute(wanted, {"t": table}).scalar_one(), table
        assert may(logins[READER], f"SELECT * FROM {table}"), table  # noqa: S608


def test_a_stranger_cannot_even_connect(logins):
    name = logins[READER].url.database
    with postgres_database(parts.postgres().url("postgres")).begin() as connection:
        stranger = adapters.fresh("stranger").replace("-", "_")
        connection.exec_driver_sql(f"CREATE ROLE {stranger} LOGIN")
    with pytest.raises(OperationalError, match="permission denied"):
        postgres_database(parts.postgres().url(name, stranger)).connect()


# --- two at once ------------------------------------------------------------------------------------------------------


def test_two_migrations_at_once_are_one(tmp_path):
    made = adapters.postgres()
    results: list[object] = []

    def go() -> None:
        try:
            results.append(migrate(postgres_database(made.url.render_as_string(hide_password=False))))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    made.dispose()

    befores = [result[0] for result in results]
    assert sorted(befores, key=str) == [results[0][1]] * 3 + [None] or befores.count(None) == 1


def test_two_upserts_at_once_do_not_disturb_each_other(database):
    failed: list[Exception] = []

    def go(number: int) -> None:
        try:
            for turn in range(40):
                with database.begin() as connection:
                    upsert(
                        connection,
                        dirty_days,
                        {"site": "shop", "date": f"2026-11-{turn % 9 + 10}"},
                        {"since_ms": number},
                    )
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []
    with database.connect() as connection:
        assert connection.execute(select(func.count()).select_from(dirty_days)).scalar_one() == 9


@pytest.mark.parametrize("lock", [lambda e: day_lock(e, "shop", "2026-11-20"), lambda e: stream_lock(e, "batches")])
def test_a_lock_is_held_by_one_and_goes_with_its_connection(database, lock):
    other = postgres_database(database.url.render_as_string(hide_password=False))
    with lock(database) as first, lock(other) as second:
        assert (first, second) == (True, False)
    with lock(other) as again:
        assert again
        other.dispose()
    with lock(database) as last:
        assert last
    with day_lock(database, "shop", "2026-11-20") as one, day_lock(other, "shop", "2026-11-21") as two:
        assert one and two
    other.dispose()


# --- a server that goes away ------------------------------------------------------------------------------------------


@pytest.fixture
def mortal():
    """A server of the test's own."""
    server = parts.Postgres()
    yield server
    server.kill()


def test_a_server_that_is_killed_in_the_middle_leaves_all_of_a_transaction_or_nothing(mortal):
    database = postgres_database(mortal.create("ivizone"))
    migrate_postgres(database, TODAY)
    done, stop, errors = [], threading.Event(), []

    def work() -> None:
        """As the analyst does: the same rows in the place of what was there, again until it is done."""
        turn = 0
        while not stop.is_set():
            turn += 1
            while not stop.is_set():
                try:
                    with database.begin() as connection:
                        rows = [{**row("2026-11-20", float(turn)), "start_ms": n} for n in range(50)]
                        replace_rows(connection, quarter_figures, rows, site="shop", date="2026-11-20")
                    done.append(turn)
                    break
                except OperationalError as error:
                    errors.append(error)
                    time.sleep(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(2):
        before = len(done)
        while len(done) < before + 20:
            time.sleep(0.01)
        mortal.kill()
        mortal.start()
    before = len(done)
    while len(done) < before + 5:
        time.sleep(0.01)
    stop.set()
    worker.join(30)

    with database.connect() as connection:
        values = connection.execute(select(quarter_figures.c.value)).scalars().all()
    database.dispose()
    assert errors, "the kill was felt"
    assert len(values) == 50 and len(set(values)) == 1 and values[0] in (done[-1], done[-1] + 1)


def test_a_connection_that_died_unused_is_replaced_without_an_error(mortal):
    database = postgres_database(mortal.create("ivizone"))
    with database.connect() as connection:
        connection.execute(text("SELECT 1"))
    mortal.kill()
    mortal.start()

    with database.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    database.dispose()


def test_a_statement_that_never_ends_is_ended(database):
    hasty = postgres_database(database.url.render_as_string(hide_password=False), statement_s=0.2)
    with pytest.raises(OperationalError, match="statement timeout"), hasty.connect() as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    hasty.dispose()


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite:///x", "mysql://host/x"])
def test_an_address_of_something_else_is_refused_in_words(url):
    with pytest.raises(DatabaseError, match="postgresql://"):
        postgres_database(url)


@pytest.mark.parametrize("changed", [{}, {"preset": None}], ids=["a key that is there", "a value that is missing"])
def test_an_error_says_what_is_wrong_and_names_no_row(database, changed):
    with database.begin() as connection:
        connection.execute(insert(quarter_figures), row("2026-11-20"))
    with pytest.raises(IntegrityError, match="violates") as caught, database.begin() as connection:
        connection.execute(insert(quarter_figures), {**row("2026-11-20"), **changed})

    said = f"{caught.value} {caught.value.orig} {caught.value!r}"
    assert "shop" not in said and "2026-11-20" not in said
