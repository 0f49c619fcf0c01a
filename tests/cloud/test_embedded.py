"""The worker and its folder: midnight, silence, a full disk, a locked file, errors nobody thought of, two processes."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs
from support.clouds import DATE, HOUR_MS, MIN_MS, NOON_MS, Cloud, busy_hour, heard, served, stay

from cloud.databases.tables import day_figures
from cloud.embedded import FolderTaken, claim
from cloud.stores.base import StoreError
from cloud.stores.local_dir import LocalDirStore
from cloud.streams.base import BatchName, StreamError
from cloud.streams.sqlite_log import SqliteStream

CHECKOUT = Path(__file__).resolve().parents[2]
BEGIN_MS = NOON_MS - HOUR_MS
MIDNIGHT_MS = NOON_MS + 12 * HOUR_MS


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path, hours="10:00-19:00")
    yield made
    made.close()


def until(is_so, within_s: float = 20.0) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# --- time passes --------------------------------------------------------------------------------------------------------


def test_an_access_point_that_dies_is_seen_in_the_coverage_though_nothing_arrives(cloud):
    """Heard from 11 to 12 and never again: at 15 o'clock that is one hour of five, not all that could be heard."""
    cloud.take(heard(0, *busy_hour()))
    assert cloud.day()["visitors"]["coverage"] == pytest.approx(1 / 2)

    cloud.clock.ms += 3 * HOUR_MS
    cloud.embedded.work()

    assert cloud.day()["visitors"]["coverage"] == pytest.approx(1 / 5)
    assert cloud.day()["visitors"]["high"] > 30


def test_a_day_is_computed_once_more_when_it_is_over_and_then_rests(cloud):
    def computed() -> int:
        with cloud.embedded.database.connect() as connection:
            return (
                connection.execute(select(day_figures.c.computed_ms).where(day_figures.c.date == DATE))
                .scalars()
                .first()
            )

    cloud.take(heard(0, *busy_hour()))
    cloud.clock.ms = MIDNIGHT_MS + MIN_MS
    cloud.embedded.work()
    assert computed() == MIDNIGHT_MS + MIN_MS
    assert cloud.day()["visitors"]["coverage"] == pytest.approx(1 / 9)

    cloud.clock.ms += 3 * HOUR_MS
    cloud.embedded.work()
    assert computed() == MIDNIGHT_MS + MIN_MS


def test_within_a_quarter_hour_a_silent_day_is_left_alone(cloud):
    cloud.take(heard(0, *busy_hour()))
    before = cloud.embedded.figures_version

    cloud.clock.ms += 14 * MIN_MS
    cloud.embedded.work()
    assert cloud.embedded.figures_version == before
    cloud.clock.ms += MIN_MS
    cloud.embedded.work()
    assert cloud.embedded.figures_version == before + 1


def test_after_a_restart_yesterday_is_looked_at_once(cloud, tmp_path):
    cloud.take(heard(0, *busy_hour()))
    cloud.close()
    again = Cloud(tmp_path, is_new=False)
    again.clock.ms = MIDNIGHT_MS + HOUR_MS
    again.embedded.work()
    coverage = again.day()["visitors"]["coverage"]
    again.close()

    assert coverage == pytest.approx(1 / 9)


def test_a_batch_that_ends_at_midnight_goes_to_both_days(cloud):
    cloud.clock.ms = MIDNIGHT_MS + MIN_MS
    cloud.take(
        heard(
            0,
            stay(1, MIDNIGHT_MS - 1, 0.001),
            stay(2, MIDNIGHT_MS, 0.001),
            start_ms=MIDNIGHT_MS - 30_000,
            end_ms=MIDNIGHT_MS + 30_000,
        )
    )

    assert [cloud.day(date)["devices"]["value"] for date in (DATE, "2026-11-21")] == [1, 1]


# --- the worker -----------------------------------------------------------------------------------------------------------


def test_the_worker_survives_an_error_that_nobody_thought_of(cloud, monkeypatch):
    monkeypatch.setattr("cloud.embedded.RETRY_S", 0.05)
    monkeypatch.setattr("cloud.embedded.GATHER_S", 0.01)
    real, failed = cloud.embedded.consumer.drain, threading.Event()

    def drain(*arguments):
        if not failed.is_set():
            failed.set()
            raise MemoryError("no room")
        return real(*arguments)

    monkeypatch.setattr(cloud.embedded.consumer, "drain", drain)
    with capture_logs() as logs:
        cloud.embedded.start()
        cloud.append(heard(0, *busy_hour()))
        until(lambda: cloud.embedded.is_idle() and cloud.day())

    (said,) = (entry["error"] for entry in logs if entry["event"] == "worker_failed")
    assert said.startswith("MemoryError at cloud.embedded:")


def test_a_day_that_cannot_be_computed_stops_no_other(cloud):
    """Its objects are torn; the other day's figures come all the same, and it stays marked."""
    cloud.append(heard(0, *busy_hour(), start_ms=BEGIN_MS))
    cloud.append(
        heard(
            1,
            *busy_hour(500, start_ms=BEGIN_MS - 24 * HOUR_MS),
            start_ms=BEGIN_MS - 24 * HOUR_MS,
            end_ms=NOON_MS - 24 * HOUR_MS,
        )
    )
    cloud.embedded.consumer.drain()
    store = cloud.embedded.store
    (torn,) = store.names(f"sightings/site=shop/date={DATE}/")
    kept = store.get(torn)
    store.put(torn, b"PAR1")

    with capture_logs() as logs, pytest.raises(Exception, match="DuckDB"):
        cloud.embedded.work()

    assert [entry["date"] for entry in logs if entry["event"] == "day_failed"] == [DATE]
    assert cloud.day("2026-11-19") and not cloud.day() and not cloud.embedded.is_idle()
    store.put(torn, kept)
    cloud.embedded.work()
    assert cloud.day() and cloud.embedded.is_idle()


def test_a_stop_does_not_wait_for_a_long_backlog(cloud, monkeypatch):
    """What is not done stays in the stream for the next start."""
    monkeypatch.setattr("cloud.consumer.consumer.MAX_RECORDS", 1)
    for number in range(10):
        cloud.append(heard(number))
    real = cloud.embedded.stream.checkpoint

    def checkpoint(record) -> None:
        real(record)
        cloud.embedded._stopping.set()

    monkeypatch.setattr(cloud.embedded.stream, "checkpoint", checkpoint)
    cloud.embedded.work()

    assert cloud.embedded.stream.waiting() == 9


def test_what_an_earlier_run_left_is_done_at_the_start(cloud, tmp_path):
    cloud.append(heard(0, *busy_hour()))
    cloud.close()
    again = Cloud(tmp_path, is_new=False)
    again.embedded.start()
    until(lambda: again.embedded.is_idle() and again.day())
    again.close()


# --- one folder, one worker -------------------------------------------------------------------------------------------------


def test_a_folder_has_one_worker(cloud, tmp_path):
    cloud.embedded.claim()
    cloud.embedded.claim()
    other = Cloud(tmp_path, is_new=False)
    with pytest.raises(FolderTaken, match="--data"):
        other.embedded.start()
    cloud.close()

    other.embedded.start()
    other.close()


def test_a_process_that_was_killed_holds_no_folder(tmp_path):
    code = "import os, sys\nfrom pathlib import Path\nfrom cloud.embedded import claim\nheld = claim(Path(sys.argv[1]))\nos.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], cwd=CHECKOUT, timeout=60, check=False)

    claim(tmp_path / "lock").close()


# --- disks and locks ----------------------------------------------------------------------------------------------------------

FILL = """
import asyncio, resource, signal, sys
from pathlib import Path
from cloud.streams.base import BatchName, StreamError
from cloud.streams.sqlite_log import SqliteStream

async def fill(stream):
    for number in range(1000):
        try:
            await stream.append(BatchName("ap-1", b"bootboot", number), "shop", number, bytes(5000))
        except StreamError:
            return number
        print(number, flush=True)

stream = SqliteStream(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
refused = asyncio.run(fill(stream))
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
print("refused", refused, "waiting", stream.waiting(), flush=True)
"""


def test_a_disk_that_takes_no_more_refuses_and_keeps_what_was_acknowledged(tmp_path):
    """The file may not grow beyond 300 kB: the next append fails in words, the thread lives, and nothing acknowledged is lost."""
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / "stream.sqlite")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    *acknowledged, last = done.stdout.splitlines()

    assert last == f"refused {len(acknowledged)} waiting {len(acknowledged)}", done.stderr
    stream = SqliteStream(tmp_path / "stream.sqlite")
    assert [record.received_ms for record in stream.read(2000)] == list(range(len(acknowledged)))
    assert asyncio.run(stream.append(BatchName("ap-1", b"bootboot", len(acknowledged)), "shop", 0, bytes(5000))) is True
    stream.close()


def test_a_full_disk_under_the_lake_is_said_and_leaves_nothing(tmp_path):
    """/dev/full takes the place of the unfinished object: every write to it finds no space."""
    store = LocalDirStore(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".1.part").symlink_to("/dev/full")

    with pytest.raises(StoreError, match=r"No space left.*free space"):
        store.put("a/1", b"data")
    assert list((tmp_path / "a").iterdir()) == []
    store.put("a/1", b"data")


def test_a_stream_file_that_another_process_holds_is_an_error_that_passes(cloud):
    cloud.append(heard(0, *busy_hour()))
    stream = cloud.embedded.stream
    stream._reader.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(cloud.folder / "stream.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StreamError, match="locked"):
        cloud.embedded.work()
    other.execute("ROLLBACK")
    other.close()

    cloud.embedded.work()
    assert cloud.day()["visitors"]["value"] == 12


def test_a_stream_file_that_is_none_is_said(tmp_path):
    (tmp_path / "stream.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)

    with pytest.raises(StreamError, match="not a database"):
        SqliteStream(tmp_path / "stream.sqlite")


def test_a_query_of_other_bytes_than_ascii_is_refused(tmp_path):
    """No URL can have one, httptools lets it through, and the framework answered 500 (found by fuzzing)."""
    cloud = Cloud(tmp_path)
    with (
        served(cloud.embedded.app(works=False, is_open=True)) as client,
        socket.create_connection((client.base_url.host, client.base_url.port), 10) as line,
    ):
        line.sendall(b"GET /sites/shop?date=\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = line.makefile("rb").readline()
    cloud.close()

    assert b" 400 " in answer
