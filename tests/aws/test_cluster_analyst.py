"""Many days at a time beside other processes: marks, locks, and what a failover may do to them. With DuckDB, so that no JVM is needed."""

from __future__ import annotations

from datetime import date

import pytest
from support.aws import adapters, parts

if reason := parts.missing("psycopg", "postgres"):
    pytest.skip(reason, allow_module_level=True)

from sqlalchemy import select
from support.clouds import Clock
from support.lake import DAY_MS, HOUR_MS, ledger, sighting

from cloud.databases.dirty import mark_dirty
from cloud.databases.postgres import day_lock, migrate_postgres
from cloud.databases.tables import day_figures
from cloud.domain.site import Site
from cloud.fleet.registry import Fleet
from cloud.jobs.analyst import ClusterAnalyst, day_locks
from cloud.stores.lake import object_name, to_parquet
from cloud.stores.local_dir import LocalDirStore
from cloud.warehouse.base import EngineError
from cloud.warehouse.duckdb_engine import DuckDbEngine

DATE = "2023-11-15"
SITES = ("shop-0", "shop-1", "shop-2", "shop-3")
DAYS = [(site, DATE) for site in SITES]


class Watched:
    """DuckDB; ``before`` is called with the number of days before each run."""

    def __init__(self, scratch, before=lambda days: None) -> None:
        self.before = before
        self.runs: list[int] = []
        self.duckdb = DuckDbEngine(scratch)

    def run(self, days):
        self.before(days)
        self.runs.append(len(days))
        return self.duckdb.run(days)


class House:
    """Four stores, a day each, in a folder and a PostgreSQL."""

    def __init__(self, folder) -> None:
        self.store = LocalDirStore(folder)
        self.database = adapters.postgres()
        migrate_postgres(self.database, date(2023, 11, 15))
        self.fleet = Fleet(self.database, lambda: 1)
        self.engine = Watched(folder / "scratch")
        for number, site in enumerate(SITES):
            self.fleet.add_site(Site(site, site, "UTC"))
            self.put(site, number + 5)

    def put(self, site: str, devices: int, part: int = 0) -> None:
        """Objects of a day on which so many devices were heard."""
        rows = [sighting(f"{n:016x}", DAY_MS + 9 * HOUR_MS + n, number=n, batch=part) for n in range(devices)]
        heard = [ledger(DAY_MS + 9 * HOUR_MS, DAY_MS + 10 * HOUR_MS, batch=part)]
        for table, content in (("sightings", rows), ("ledger", heard)):
            self.store.put(object_name(table, site, DATE, "test", part), to_parquet(table, content))

    def analyst(self, group_days: int = 10) -> ClusterAnalyst:
        """One process."""
        return ClusterAnalyst(self.engine, self.store, self.database, self.fleet, Clock(), group_days=group_days)

    def devices(self) -> dict[str, float]:
        """Site -> devices of its day."""
        c = day_figures.c
        query = select(c.site, c.value).where(c.metric == "devices", c.preset == "ivizone")
        with self.database.connect() as connection:
            return {row.site: row.value for row in connection.execute(query)}


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.database.dispose()


def test_days_are_computed_in_groups_and_their_marks_go(house):
    analyst = house.analyst(group_days=3)
    assert analyst.mark([*DAYS, ("unknown", DATE)]) == set(DAYS)

    reports = analyst.analyse_dirty()

    assert house.engine.runs == [3, 1]
    assert sorted(report.site for report in reports) == list(SITES)
    assert house.devices() == {"shop-0": 5, "shop-1": 6, "shop-2": 7, "shop-3": 8}
    assert analyst.marks() == {}


def test_what_comes_while_a_day_is_computed_is_computed_after_it(house):
    analyst = house.analyst()
    analyst.mark(DAYS)

    def more(_days) -> None:
        if not house.engine.runs:
            house.put("shop-0", 50, part=1)
            with house.database.begin() as connection:
                mark_dirty(connection, [("shop-0", DATE)], 0)

    house.engine.before = more
    analyst.analyse_dirty()
    assert list(analyst.marks()) == [("shop-0", DATE)]

    analyst.analyse_dirty()
    assert house.devices()["shop-0"] == 50 and analyst.marks() == {}


def test_a_day_that_another_has_finished_from_more_is_not_overwritten_with_less(house):
    """A failover takes our locks away in the middle; another process takes the day, knows more, and is done before us."""
    slow, other = house.analyst(), house.analyst()
    slow.mark(DAYS)

    def overtaken(_days) -> None:
        if not house.engine.runs:
            house.engine.runs.append(0)
            with house.database.begin() as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
                )
            house.put("shop-0", 50, part=1)
            other.mark([("shop-0", DATE)])
            other.analyse_dirty()

    less = house.engine
    original = less.run
    stale = less.duckdb.run

    def run(days):
        if less.runs:
            return original(days)
        found = stale(days)  # read before the other came
        overtaken(days)
        return found

    less.run = run
    slow.analyse_dirty()

    assert house.devices() == {"shop-0": 50, "shop-1": 6, "shop-2": 7, "shop-3": 8}
    assert slow.marks() == {}


def test_a_day_that_cannot_be_read_is_found_and_stops_no_other(house):
    name = object_name("sightings", "shop-2", DATE, "test", 9)
    house.store.put(name, b"PAR1 and no more")
    analyst = house.analyst()
    analyst.mark(DAYS)

    with pytest.raises(EngineError):
        analyst.analyse_dirty()
    assert set(house.devices()) == {"shop-0", "shop-1", "shop-3"} and list(analyst.marks()) == [("shop-2", DATE)]

    house.store.remove(name)
    analyst.analyse_dirty()
    assert house.devices()["shop-2"] == 7


def test_the_locks_are_those_of_the_analyst_that_takes_a_day_at_a_time(house):
    with day_lock(house.database, *DAYS[1]) as first, day_locks(house.database, DAYS) as mine:
        assert first and mine == [DAYS[0], DAYS[2], DAYS[3]]
        with day_lock(house.database, *DAYS[0]) as second, day_locks(house.database, DAYS[:1]) as none:
            assert not second and none == []
    with day_locks(house.database, DAYS) as all_of_them:
        assert all_of_them == DAYS


def test_of_two_at_once_each_day_is_computed_by_one(house):
    analyst, other = house.analyst(), house.analyst()
    analyst.mark(DAYS)
    seen: list[object] = []

    def meanwhile(_days) -> None:
        if not house.engine.runs:
            house.engine.runs.append(0)
            seen.append(other.analyse_dirty())

    house.engine.before = meanwhile
    assert len(analyst.analyse_dirty()) == 4
    assert seen == [[]]
