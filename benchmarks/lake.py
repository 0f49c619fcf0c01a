"""Spark and DuckDB over the same lake: time, memory, equal results, and growth. Writes the table of docs/emr.md.

    python -m benchmarks.lake --sightings 5000000 50000000 --write docs/emr.md

Each engine computes every figure's rows of every day, as the product would: DuckDB a day at a time, Spark a hundred days in one plan. Each
measurement is a process of its own. Writing figures into the database is the same for both and left out.
"""

from __future__ import annotations

import argparse
import math
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import duckdb

from cloud.domain.site import Site
from cloud.stores.lake import LAKE, QUERIED, duckdb_columns, partition
from cloud.stores.local_dir import LocalDirStore
from cloud.warehouse.analyse import _inputs, _Times
from cloud.warehouse.base import DayInput, Engine

SITE = Site("bench", "bench", "UTC")
DAY_SIGHTINGS = 50_000
"""About what two access points of a busy store hear in a day."""
DAY_MS = 86_400_000
FIRST_MS = 1_700_006_400_000
SPARK_GROUP = 100
SPARK_MEMORY = "5g"
NEAR = 1e-6
MARK = "<!-- benchmarks.lake -->"

# A device in ten stays, with a scan each half-minute; the others pass in a minute. Two access points hear each scan with chance.
SIGHTINGS = """
WITH devices AS (
  SELECT d, hash(d, {seed}) AS h, CASE WHEN hash(d, {seed}, 1) % 10 = 0 THEN 12 + hash(d, {seed}, 2) % 90 ELSE 1 + hash(d, {seed}, 3) % 3 END AS n
  FROM range({devices}) t(d)
),
scans AS (
  SELECT d, h, n, k, hash(d, k, {seed}) AS s FROM devices, LATERAL (SELECT unnest(range(n::BIGINT)) AS k)
),
heard AS (
  SELECT 'ap-' || (s % 2) AS agent, printf('%016x', h) AS pseudonym,
    ({start} + 32400000 + (h % 32400000) + k * 30000 + s % 9000)::BIGINT AS first_ms, s, n
  FROM scans
),
batched AS (
  SELECT *, (first_ms - {start}) // 300000 AS batch FROM heard
)
SELECT agent, '00' AS boot, batch, (row_number() OVER (PARTITION BY agent, batch ORDER BY first_ms, pseudonym))::INTEGER AS row_no,
  'day' AS mode, 1::INTEGER AS key_epoch, pseudonym, first_ms, (first_ms + s % 2500)::BIGINT AS last_ms, (1 + s % 3)::INTEGER AS bursts,
  (3 + s % 9)::INTEGER AS frames, (-40 - s % 50)::INTEGER AS rssi_max_dbm, (-42 - s % 50)::INTEGER AS rssi_median_dbm,
  (CASE WHEN n > 10 THEN 50 + s % 50 ELSE s % 60 END)::INTEGER AS p_inside, 6::INTEGER AS channel, 'randomised' AS address_kind,
  'monitor' AS source, 80::INTEGER AS confidence
FROM batched
"""
LEDGER = """
SELECT 'ap-' || a AS agent, '00' AS boot, b AS batch, ({start} + b * 300000)::BIGINT AS window_start_ms,
  ({start} + (b + 1) * 300000)::BIGINT AS window_end_ms, 'synced' AS clock, 'day' AS mode, 1::INTEGER AS key_epoch, '00' AS config_hash,
  '0.1.0' AS software, {start} AS received_ms, 400 AS frames, 380 AS probe_requests, '{{"bad_fcs": 20}}' AS skipped, 20 AS skipped_total,
  1 AS kernel_drops, 0 AS rssi_rejected, 0 AS fcs_unflagged, '{{}}' AS listening_ms, (280000 + b % 20000) AS listening_total_ms,
  0 AS evicted_batches, 0 AS evicted_tracks, 100 AS sightings
FROM range(2) t(a), range(288) u(b)
"""
WINDOWS = """
SELECT 'ap-' || a AS agent, '00' AS boot, b AS batch, 0 AS row_no, ({start} + b * 300000) AS start_ms, 10.0 AS devices, 8.5 AS low, 13.0 AS high
FROM range(2) t(a), range(288) u(b)
"""
TEXTS = {"sightings": SIGHTINGS, "ledger": LEDGER, "windows": WINDOWS}


def date_of(number: int) -> str:
    """The local date of the lake's day ``number``."""
    return SITE.date_of(FIRST_MS + number * DAY_MS)


def make_lake(folder: Path, days: int) -> None:
    """Lay ``days`` days; those that are there stay."""
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        for table in TEXTS:
            connection.execute(f"CREATE TABLE like_{table} ({duckdb_columns(table)})")
        for number in range(days):
            for table, text in TEXTS.items():
                target = folder / partition(table, SITE.site, date_of(number)) / "made.parquet"
                if target.exists():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                query = text.format(seed=number, devices=round(DAY_SIGHTINGS / 7.4), start=FIRST_MS + number * DAY_MS)
                rows = f"SELECT * FROM like_{table} UNION ALL BY NAME ({query})"  # noqa: S608  texts of ours
                connection.execute(f"COPY ({rows}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def inputs(folder: Path, days: int) -> list[DayInput]:
    """What an engine is given."""
    asked = [(SITE, date_of(number)) for number in range(days)]
    return _inputs(LocalDirStore(folder), asked, [_Times(site, date, 1 << 60) for site, date in asked])


def duckdb_engine() -> Engine:
    """As the product has it."""
    from cloud.warehouse.duckdb_engine import DuckDbEngine

    return DuckDbEngine(Path(tempfile.gettempdir()) / "ivizone-bench-scratch")


def spark_engine() -> Engine:
    """Two cores of this machine."""
    from cloud.jobs.session import make_session
    from cloud.warehouse.spark_engine import SparkEngine

    local = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir())
    settings = {"spark.driver.memory": SPARK_MEMORY, "spark.local.dir": local, "spark.log.level": "ERROR"}
    return SparkEngine(make_session("ivizone-benchmark", "local[2]", {**settings, "spark.sql.shuffle.partitions": "8"}))


ENGINES = {"duckdb": (duckdb_engine, 1), "spark": (spark_engine, SPARK_GROUP)}


def measure(name: str, folder: Path, days: int, answer: Path) -> None:
    """In a process of its own: compute, and leave the rows and the seconds behind."""
    make, group = ENGINES[name]
    begun = time.perf_counter()
    engine, given, results = make(), inputs(folder, days), []
    started_s = time.perf_counter() - begun
    for first in range(0, days, group):
        results += engine.run(given[first : first + group])
        print(f"  {name}: {len(results)} of {days} days, {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    answer.write_bytes(pickle.dumps((results, time.perf_counter() - begun - started_s, started_s)))


def run_measured(name: str, folder: Path, days: int, answer: Path) -> tuple[float, float]:
    """Start `measure` and watch it; gives the peak memory of it and its children in GB, and the processor seconds of all of them."""
    command = [sys.executable, "-m", "benchmarks.lake", "--measure", name, str(folder), str(days), str(answer)]
    process = subprocess.Popen(command)
    peak, spent, done = [0], [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            size, cpu_s = _tree(process.pid)
            peak[0], spent[0] = max(peak[0], size), max(spent[0], cpu_s)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"{name} ended with {code}")
    return peak[0] / 1e9, spent[0]


def _tree(root: int) -> tuple[int, float]:
    """Resident bytes and processor seconds of a process and all below it."""
    total, ticks, waiting = 0, 0, [root]
    while waiting:
        pid = waiting.pop()
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            waiting += map(int, children)
            for task in Path(f"/proc/{pid}/task").iterdir():
                if task.name != str(pid):
                    waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    return total, ticks / os.sysconf("SC_CLK_TCK")


def differences(one: list[Any], other: list[Any]) -> tuple[int, int, float]:
    """Rows compared, rows that differ by more than NEAR, and the largest relative difference of a number."""
    rows = wrong = 0
    worst = 0.0
    for mine, yours in zip(one, other, strict=True):
        for text in mine:
            rows += len(mine[text])
            if len(mine[text]) != len(yours[text]):
                wrong += abs(len(mine[text]) - len(yours[text]))
            for a, b in zip(mine[text], yours[text], strict=False):
                far = max((_far(a[key], b[key]) for key in a), default=0.0)
                worst = max(worst, far)
                wrong += far > NEAR
    return rows, wrong, worst


def _far(a: Any, b: Any) -> float:
    if isinstance(a, float) and isinstance(b, float):
        return 0.0 if math.isclose(a, b, abs_tol=1e-12) else abs(a - b) / max(abs(a), abs(b))
    return 0.0 if a == b else math.inf


def size_of(folder: Path, days: int) -> tuple[int, float]:
    """Sightings, and gigabytes of the objects that the texts read."""
    with duckdb.connect() as connection:
        files = [
            str(path)
            for number in range(days)
            for path in (folder / partition("sightings", SITE.site, date_of(number))).glob("*.parquet")
        ]
        count = connection.execute("SELECT sum(num_rows) FROM parquet_file_metadata(?)", [files]).fetchone()
    size = sum(
        path.stat().st_size
        for table in QUERIED
        for number in range(days)
        for path in (folder / partition(table, SITE.site, date_of(number))).glob("*.parquet")
    )
    return int((count or (0,))[0]), size / 1e9


def main() -> None:
    """Measure and print the table; --write puts it into a page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sightings", type=int, nargs="+", default=[5_000_000, 50_000_000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "ivizone-bench-lake")
    parser.add_argument("--engines", nargs="+", choices=sorted(ENGINES), default=sorted(ENGINES))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, folder, days, answer = options.measure
        measure(name, Path(folder), int(days), Path(answer))
        return
    assert set(TEXTS) <= set(LAKE)
    table = [
        "| sightings | days | lake | engine | start | compute | processor | processor a million | peak memory | rows, that differ |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for wanted in options.sightings:
        days = max(1, round(wanted / DAY_SIGHTINGS))
        make_lake(options.folder, days)
        sightings, size_gb = size_of(options.folder, days)
        reference = None
        for name in options.engines:
            answer = options.folder / f"answer-{name}.pickle"
            peak_gb, cpu_s = run_measured(name, options.folder, days, answer)
            results, seconds, started_s = pickle.loads(answer.read_bytes())  # noqa: S301  our own file
            rows, wrong, worst = differences(reference or results, results)
            reference = reference or results
            compared = f"{rows:,}, {wrong}" + (f" (furthest {worst:.0e})" if worst else "")
            cells = [
                f"{sightings:,}",
                f"{days:,}",
                f"{size_gb:.3f} GB",
                name,
                f"{started_s:.1f} s",
                f"{seconds:,.1f} s",
                f"{cpu_s:,.0f} s",
                f"{cpu_s / sightings * 1e6:,.0f} s",
                f"{peak_gb:.2f} GB",
                compared,
            ]
            line = f"| {' | '.join(cells)} |"
            print(line, flush=True)
            table.append(line)
    if options.write:
        before, _, rest = options.write.read_text().partition(MARK)
        after = rest.partition(MARK)[2]
        options.write.write_text(f"{before}{MARK}\n" + "\n".join(table) + f"\n{MARK}{after}")


if __name__ == "__main__":
    main()
