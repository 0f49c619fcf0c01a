"""What DuckDB lays down beside its memory holds single devices: nobody else reads it, and nothing of it stays."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from cloud.domain.site import Site
from cloud.stores.local_dir import LocalDirStore
from cloud.warehouse import duckdb_engine
from cloud.warehouse.analyse import _inputs, _Times
from cloud.warehouse.base import EngineError
from cloud.warehouse.duckdb_engine import DuckDbEngine

SITE, DATE = Site("shop", "Shop", "UTC"), "2026-11-20"
SPILLS = """
import sys, time
from pathlib import Path
import duckdb
from cloud.warehouse.duckdb_engine import _own_folder
with _own_folder(Path(sys.argv[1])) as folder:
    with duckdb.connect(":memory:", config={"memory_limit": "60MB", "threads": 1, "temp_directory": str(folder)}) as connection:
        connection.execute("CREATE TEMP TABLE t AS SELECT hash(range) AS a, hash(range, 1) AS b FROM range(12000000)")
        print("there", flush=True)
        time.sleep(60)
"""


def nothing(folder: Path):
    return _inputs(LocalDirStore(folder / "lake"), [(SITE, DATE)], [_Times(SITE, DATE, 1 << 60)])


@pytest.fixture
def spilling(tmp_path: Path):
    """Another process in the middle of a run that has laid much into the scratch folder."""
    process = subprocess.Popen([sys.executable, "-c", SPILLS, str(tmp_path / "scratch")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"there\n"
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_run_has_a_folder_that_nobody_else_reads_and_leaves_none(tmp_path: Path, monkeypatch):
    seen = []
    connect = duckdb.connect

    def watched(where, config):
        folder = Path(config["temp_directory"])
        seen.append((folder.parent, folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777))
        return connect(where, config=config)

    monkeypatch.setattr(duckdb_engine.duckdb, "connect", watched)
    monkeypatch.chdir(tmp_path)
    DuckDbEngine(tmp_path / "scratch").run(nothing(tmp_path))

    assert seen == [(tmp_path / "scratch", 0o700, 0o700)]
    assert list((tmp_path / "scratch").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"scratch", "lake"}, "nothing in the working directory"


def test_what_a_killed_run_left_is_gone_after_the_next(tmp_path: Path, spilling):
    assert files(tmp_path / "scratch")
    spilling.send_signal(signal.SIGKILL)
    spilling.wait(10)
    assert files(tmp_path / "scratch"), "the killed one could not clear up"

    DuckDbEngine(tmp_path / "scratch").run(nothing(tmp_path))
    assert files(tmp_path / "scratch") == []


def test_what_another_run_is_using_stays(tmp_path: Path, spilling):
    before = files(tmp_path / "scratch")
    DuckDbEngine(tmp_path / "scratch").run(nothing(tmp_path))
    assert before and files(tmp_path / "scratch") == before


def test_where_there_is_no_room_it_is_said(tmp_path: Path):
    with pytest.raises(EngineError, match=r"^/proc/scratch: DuckDB has no room beside its memory there \(.*\)$"):
        DuckDbEngine(Path("/proc/scratch")).run(nothing(tmp_path))
