"""What every database promises: the schema of tables.py, reached from nothing, once."""

from __future__ import annotations

import ast

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from contracts.adapters import DATABASES
from sqlalchemy import event, func, insert, inspect, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cloud.databases.base import MIGRATIONS, DatabaseError, migrate, replace_rows, require_schema, revision, upsert
from cloud.databases.tables import day_figures, dirty_days, metadata, sites

SITE = {
    "site": "shop",
    "name": "Shop",
    "time_zone": "UTC",
    "opening_hours": "{}",
    "legal_mode": "day",
    "allows_replay": False,
    "created_ms": 1,
}


@pytest.fixture(params=sorted(DATABASES))
def empty(request, tmp_path):
    database = DATABASES[request.param](tmp_path)
    yield database
    database.dispose()


@pytest.fixture
def database(empty):
    migrate(empty)
    return empty


def figure(metric: str, value: float) -> dict[str, object]:
    named = {"site": "shop", "date": "2026-11-20", "preset": "ivizone", "metric": metric}
    return {**named, "value": value, "low": 0.0, "high": 9.0, "devices": 9, "coverage": None, "computed_ms": 1}


def test_an_empty_database_is_said_to_be_empty(empty):
    assert revision(empty) is None
    with pytest.raises(DatabaseError, match="ivizone-cloud migrate"):
        require_schema(empty)


def test_migration_leads_from_nothing_to_the_newest_schema_and_then_does_nothing(empty):
    before, after = migrate(empty)

    assert before is None
    assert migrate(empty) == (after, after)
    require_schema(empty)


def test_the_migrated_schema_is_that_of_the_tables(database):
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert set(inspect(database).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_what_a_column_means_is_said_in_a_migration_too():
    """SQLite keeps no comments, so the comparison above sees this on PostgreSQL only."""
    sources = [path.read_text() for path in (MIGRATIONS / "versions").glob("*.py")]
    said = {node.value for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    meant = {column.comment for table in metadata.tables.values() for column in table.columns if column.comment}

    assert meant - said == set()


def test_a_migration_that_breaks_off_leaves_nothing_behind(empty):
    """Killed in the middle, the next start finds the schema it knew, not half of the next one."""

    def break_off(_connection, _cursor, statement, *_rest):
        if "CREATE TABLE enrolment_tokens" in statement:
            raise RuntimeError("killed")

    event.listen(empty, "before_cursor_execute", break_off)
    with pytest.raises(RuntimeError, match="killed"):
        migrate(empty)
    event.remove(empty, "before_cursor_execute", break_off)

    assert inspect(empty).get_table_names() == []
    assert migrate(empty)[0] is None


def test_a_database_of_a_newer_version_is_refused_in_words(database):
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseError, match=r"9999.*newer"):
        migrate(database)


def test_rows_that_are_replaced_twice_are_the_same_as_once(database):
    for _ in range(2):
        with database.begin() as connection:
            replace_rows(
                connection,
                day_figures,
                [figure("visitors", 3.0), figure("engaged", 1.0)],
                site="shop",
                date="2026-11-20",
            )

    with database.connect() as connection:
        assert connection.execute(select(func.count()).select_from(day_figures)).scalar_one() == 2


def test_replaced_rows_are_replaced_whole_or_not_at_all(database):
    with database.begin() as connection:
        replace_rows(connection, day_figures, [figure("visitors", 3.0)], site="shop", date="2026-11-20")

    with pytest.raises(SQLAlchemyError), database.begin() as connection:
        replace_rows(
            connection, day_figures, [figure("visitors", 4.0), figure("visitors", 5.0)], site="shop", date="2026-11-20"
        )

    with database.connect() as connection:
        assert connection.execute(select(day_figures.c.value)).scalar_one() == 3.0


def test_upsert_inserts_and_then_changes(database):
    for since_ms in (1, 2):
        with database.begin() as connection:
            upsert(connection, dirty_days, {"site": "shop", "date": "2026-11-20"}, {"since_ms": since_ms})

    with database.connect() as connection:
        assert connection.execute(select(dirty_days.c.since_ms)).scalars().all() == [2]


@pytest.mark.parametrize("change", [{"legal_mode": "everything"}, {"name": None}])
def test_a_site_that_the_schema_forbids_is_refused(database, change):
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(insert(sites), {**SITE, **change})


def test_an_error_names_no_values(database):
    """Keys, token hashes and names stay out of logs."""
    with database.begin() as connection:
        connection.execute(insert(sites), SITE)

    with pytest.raises(IntegrityError) as caught, database.begin() as connection:
        connection.execute(insert(sites), SITE)
    assert "Shop" not in str(caught.value)
