"""Spark beside DuckDB, and the jobs on Spark and PostgreSQL: the same tables as the embedded cloud's, whoever is killed."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.aws import adapters, parts, spark

if reason := parts.missing("psycopg", "postgres") or spark.missing():
    pytest.skip(reason, allow_module_level=True)

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from support.aws.composition import figures, people, scene
from support.clouds import MIN_MS, Cloud
from support.days import day_batches
from support.lake import DAY_MS, HOUR_MS, laid, ledger, sighting, window

from cloud.databases.postgres import migrate_postgres, postgres_database
from cloud.databases.tables import day_figures, dirty_days
from cloud.fleet.registry import Fleet
from cloud.jobs import batch, stream
from cloud.jobs.shell import Parts
from cloud.streams.base import BatchName
from cloud.warehouse.duckdb_engine import DuckDbEngine
from simulator.day import DaySettings

CHECKOUT = Path(__file__).parents[2]
DATE = "2023-11-15"
PAUSES_MS = (0, 1, 500, 30_000, 119_999, 120_001, 300_000, 300_001, 900_000, 900_001, 20 * MIN_MS, HOUR_MS)
"""Between two sightings of a device: each preset's limits, and one beside them."""


def far(one: Any, other: Any) -> float:
    """Relative difference of two numbers; endless where anything else differs."""
    if isinstance(one, float) and isinstance(other, float):
        return 0.0 if one == other else abs(one - other) / max(abs(one), abs(other), 1e-9)
    return 0.0 if one == other else math.inf


def assert_same(mine: dict[str, list[dict]], yours: dict[str, list[dict]]) -> int:
    """Row for row, numbers to 1e-6. Gives the number of rows."""
    assert {name: len(rows) for name, rows in mine.items()} == {name: len(rows) for name, rows in yours.items()}
    for name, rows in mine.items():
        for one, other in zip(rows, yours[name], strict=True):
            assert one.keys() == other.keys()
            assert all(far(one[key], other[key]) <= 1e-6 for key in one), (name, one, other)
    return sum(map(len, mine.values()))


# --- the engines ------------------------------------------------------------------------------------------------------


@st.composite
def lakes(draw) -> dict[str, list[dict]]:
    """The tables of one day: few devices, pauses at the presets' limits, unknown levels, copies, several access points."""
    rows: list[dict] = []
    for device in range(draw(st.integers(0, 4))):
        at_ms = DAY_MS + draw(st.integers(0, 20)) * HOUR_MS
        for pause_ms in draw(st.lists(st.sampled_from(PAUSES_MS), min_size=1, max_size=8)):
            lasts_ms = draw(st.sampled_from((0, 500, 30_000, 5 * MIN_MS)))
            rows.append(
                sighting(
                    f"{device:016x}", at_ms, at_ms + lasts_ms, len(rows), agent=f"ap-{draw(st.integers(0, 2))}",
                    p_inside=draw(st.none() | st.integers(0, 100)), rssi_median_dbm=draw(st.none() | st.integers(-100, -30)),
                )
            )  # fmt: skip
            at_ms += lasts_ms + pause_ms
    numbers = st.floats(0, 50)
    windows = [
        window(DAY_MS + n * 30_000, draw(numbers), draw(numbers), draw(numbers), n)
        for n in range(draw(st.integers(0, 3)))
    ]
    zones = [
        window(DAY_MS + n * 30_000, draw(numbers), 0.0, 60.0, n, zone="inside") for n in range(draw(st.integers(0, 3)))
    ]
    heard = [
        ledger(
            DAY_MS + n * HOUR_MS,
            DAY_MS + (n + 1) * HOUR_MS,
            draw(st.integers(0, HOUR_MS)),
            batch=n,
            agent=f"ap-{n % 2}",
        )
        for n in range(draw(st.integers(0, 3)))
    ]
    copies = rows[:: draw(st.integers(2, 5))]
    return {"sightings": rows + copies, "windows": windows, "zone_counts": zones, "ledger": heard + heard[:1]}


@settings(max_examples=2, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(lakes(), st.integers(1, 3), st.booleans()), min_size=8, max_size=14))
def test_spark_and_duckdb_give_the_same_rows_of_any_lake(tmp_path_factory, drawn):
    """Many small days in one run of Spark, each alone in DuckDB."""
    folder = tmp_path_factory.mktemp("lakes")
    closed = [
        {"start_ms": DAY_MS + n * HOUR_MS, "end_ms": DAY_MS + (n + 1) * HOUR_MS} for n in (*range(8), *range(20, 24))
    ]
    days = [
        laid(folder / str(number), tables, objects, closed_hours=closed if has_hours else [])
        for number, (tables, objects, has_hours) in enumerate(drawn)
    ]

    for mine, yours in zip(
        spark.engine().run(days), [DuckDbEngine(folder / "scratch").run([day])[0] for day in days], strict=True
    ):
        assert_same(mine, yours)


# --- the jobs ---------------------------------------------------------------------------------------------------------


class Fed(Parts):
    """A job's parts, with the Spark that all tests share."""

    def spark(self, name: str) -> Any:
        return spark.session()


class House:
    """The lake and figures of an embedded cloud, and a PostgreSQL beside it that knows the same stores and no figures."""

    def __init__(self, folder: Path, server: parts.Postgres | None = None, simulated: bool = False) -> None:
        self.server = server or parts.postgres()
        self.cloud = Cloud(folder / "embedded", is_new=False)
        self.sent = scene(sites=3, per_site=2, batches=3)
        people(self.cloud.embedded.fleet, self.cloud.embedded.database, self.sent)
        self.take(self.sent)
        if simulated:
            for made in day_batches(DaySettings(date=DATE, shoppers=120), agent="ap-1-0", site="shop-1"):
                self.cloud.append(made.message, BatchName("ap-1-0", b"bootboot", 1000 + made.number), "shop-1")
            self.cloud.embedded.work()
        self.lake = folder / "embedded" / "lake"
        self.checkpoint = folder / "checkpoint"
        self.url = self.server.create(adapters.fresh("spark")).replace("+psycopg", "")
        self.database = postgres_database(self.url)
        migrate_postgres(self.database, date(2023, 11, 15))
        people(Fleet(self.database, lambda: 1), self.database, self.sent)

    def take(self, batches: Any) -> None:
        """Batches into the lake and the embedded figures."""
        for sent in batches:
            self.cloud.append(sent.message, sent.name, sent.site)
        self.cloud.embedded.work()

    def truth(self) -> dict[str, list[dict]]:
        """The embedded cloud's tables."""
        return figures(self.cloud.embedded.database)

    def found(self) -> dict[str, list[dict]]:
        """PostgreSQL's tables."""
        return figures(self.database)

    def options(self, **changes: Any) -> argparse.Namespace:
        """As the command line would give them."""
        usual = {
            "config": None,
            "database_host": None,
            "database_secret": None,
            "lake": self.lake,
            "master": None,
            "group_days": 2,
            "once": True,
        }
        return argparse.Namespace(**{**usual, "checkpoint": str(self.checkpoint), "every_s": 0.5, **changes})

    def parts(self) -> Fed:
        """What a job is given."""
        return Fed(self.options(), {"IVIZONE_DATABASE_URL": self.url})

    def stream(self) -> int:
        """One run of the stream over what is there."""
        return stream.stream(self.options(), self.parts(), threading.Event())

    def marks(self) -> int:
        """How many days wait."""
        with self.database.connect() as connection:
            return connection.execute(select(func.count()).select_from(dirty_days)).scalar_one()

    def computed(self) -> dict[str, int]:
        """Site -> when its figures were computed."""
        newest = func.max(day_figures.c.computed_ms).label("ms")
        with self.database.connect() as connection:
            found = connection.execute(select(day_figures.c.site, newest).group_by(day_figures.c.site))
            return {row.site: row.ms for row in found}


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path, simulated=True)
    yield made
    made.cloud.close()
    made.database.dispose()


def test_the_stream_brings_new_objects_into_the_tables_and_computes_no_other_day(house):
    """A simulated day among them; then a late batch of one store."""
    assert house.stream() == 0
    assert assert_same(house.found(), house.truth()) > 300
    before = house.computed()

    late = [sent for sent in scene(sites=3, per_site=2, batches=4) if sent not in house.sent and sent.site == "shop-2"]
    house.take(late)
    assert house.stream() == 0

    assert_same(house.found(), house.truth())
    assert {site for site, ms in house.computed().items() if ms != before[site]} == {"shop-2"}
    assert house.marks() == 0


def test_a_back_fill_computes_its_range_and_nothing_else(house, capsys):
    with house.database.begin() as connection:
        connection.execute(
            day_figures.insert(), [_wrong("shop-0", DATE), _wrong("shop-0", "2023-11-14"), _wrong("shop-1", DATE)]
        )
    wanted_day = date.fromisoformat(DATE)

    assert (
        batch.backfill(house.options(first=wanted_day, last=wanted_day, site=["shop-0", "shop-2"]), house.parts()) == 0
    )

    assert "2 days of 2 stores: 2 computed here" in capsys.readouterr().out
    wanted = {name: [row for row in rows if row["site"] != "shop-1"] for name, rows in house.truth().items()}
    wrong = [_wrong(site, day) for site, day in (("shop-0", "2023-11-14"), ("shop-1", DATE))]
    for row in wrong:
        del row["computed_ms"]
    wanted["day_figures"] = sorted([*wanted["day_figures"], *wrong], key=repr)
    assert_same(house.found(), wanted)


def _wrong(site: str, day: str) -> dict[str, Any]:
    named = {"site": site, "date": day, "preset": "ivizone", "metric": "visitors"}
    return {**named, "value": -1.0, "low": -1.0, "high": -1.0, "devices": 7, "coverage": 1.0, "computed_ms": 1}


def test_killed_in_the_middle_of_a_batch_and_started_again_the_tables_are_the_same(tmp_path):
    """kill -9 of the job while it computes, then between two days, then of PostgreSQL: the last run finds all of it."""
    server = parts.Postgres()
    house = House(tmp_path, server)
    program = [
        sys.executable,
        "-m",
        "cloud.jobs.stream",
        "--once",
        "--checkpoint",
        str(house.checkpoint),
        "--lake",
        str(house.lake),
    ]
    confs = " ".join(f"--conf '{name}={value}'" for name, value in spark.SMALL.items())
    environment = {**os.environ, "IVIZONE_DATABASE_URL": house.url, "PYSPARK_SUBMIT_ARGS": f"{confs} pyspark-shell"}

    def begin() -> Any:
        words = [*program, "--master", "local[2]", "--group-days", "1"]
        log = (tmp_path / "job.log").open("a")
        return parts.start(words, cwd=CHECKOUT, env=environment, stdout=log, stderr=log)

    def wait(condition: Any, job: Any) -> None:
        until = time.monotonic() + 240
        while not condition():
            assert time.monotonic() < until and job.poll() is None, (tmp_path / "job.log").read_text()[-2000:]
            time.sleep(0.02)

    job = begin()
    wait(lambda: house.marks() == 3, job)
    parts.kill(job)
    assert house.found()["day_figures"] == [] and house.marks() == 3

    job = begin()
    wait(lambda: house.computed(), job)
    parts.kill(job)
    assert 0 < len(house.computed()) < 3

    job = begin()
    done = len(house.computed())
    wait(lambda: len(house.computed()) > done, job)
    server.kill()
    server.start()
    codes = [job.wait(240)]
    while codes[-1] and len(codes) < 3:
        job = begin()
        codes.append(job.wait(240))

    assert codes[-1] == 0, (tmp_path / "job.log").read_text()[-2000:]
    assert_same(house.found(), house.truth())
    assert house.marks() == 0
    house.cloud.close()


def test_an_object_that_cannot_be_read_stops_its_own_day_only(house):
    torn = house.lake / "sightings" / "site=shop-1" / f"date={DATE}" / "torn.parquet"
    torn.write_bytes(b"PAR1 and no more")

    assert house.stream() == 5
    assert set(house.computed()) == {"shop-0", "shop-2"} and house.marks() == 1

    torn.unlink()
    shutil.rmtree(house.checkpoint)
    assert house.stream() == 0
    assert_same(house.found(), house.truth())
