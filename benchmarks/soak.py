"""A day at 200 frames a second through a real agent and an embedded cloud, faster than it lasts: memory and files must stay flat.

    make soak                                         24 simulated hours, 17 million frames, a million addresses
    make soak SOAK_ARGS="--hours 3"                   a shorter one

Agent and cloud are two processes; batches go over HTTP. At each simulated hour the agent waits until the cloud is done, so that both are
measured at the same point. Accelerated means: time is the frames' own, the cloud's clock follows it, and figures are computed once an
hour instead of at each batch. Everything else is as in a shop, also the tracker's caps, the spool, the stream and the compaction.
"""

from __future__ import annotations

import argparse
import heapq
import json
import mmap
import os
import random
import re
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from support.batches import KEY
from support.clouds import Clock, Cloud

from agent.delivery import SpoolDelivery
from agent.dot11.captured import CapturedFrame, Heard, Tick
from agent.pipeline import Pipeline, PipelineSettings
from agent.privacy.pseudonym import Pseudonymiser
from agent.runner import run
from agent.spool import Spool
from agent.upload.backoff import Backoff
from agent.upload.https import Connection
from agent.upload.uploader import Uploader
from agent.wire.cose import sign_message
from agent.wire.model import ClockState, LegalMode
from simulator.air import frame
from simulator.phones import choose_model

START_MS = 1_795_132_800_000
"""2026-11-20 00:00 UTC."""
HOUR_US = 3_600_000_000
STAY_S = 300.0
SCANS = 4
FRAMES_A_SCAN = 4.32
RECORDS_AN_OBJECT = 8
"""So that a day makes as many objects as one whose batches come half a minute apart would, compaction included, to a factor of eight."""
FLAT_MIB_AN_HOUR = 1.0
"""Growth of a process beyond which the run fails: allocators move by less."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Board:
    """Numbers that the processes share: the simulated time, what the agent has done, what the cloud has done."""

    NAMES = ("now_ms", "hour", "cloud_hour", "frames", "batches", "sightings", "addresses", "is_done", "port")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * len(self.NAMES))

    def __getitem__(self, name: str) -> int:
        return int(struct.unpack_from("<q", self._memory, 8 * self.NAMES.index(name))[0])

    def __setitem__(self, name: str, value: int) -> None:
        struct.pack_into("<q", self._memory, 8 * self.NAMES.index(name), value)


# --- the air --------------------------------------------------------------------------------------------------------------------


def air(seed: int, frames_a_second: float, hours: float, board: Board) -> Iterator[tuple[int, bytes]]:
    """(µs since the start, captured bytes) of devices that come, scan a few times under one address each, and go."""
    chance = random.Random(seed)
    gap_s = SCANS * FRAMES_A_SCAN / frames_a_second
    scans: list[tuple[float, int, Any, int, bytes, int]] = []
    arrives_s = number = 0.0
    out: list[tuple[int, bytes]] = []
    while arrives_s < hours * 3600:
        arrives_s += chance.expovariate(1 / gap_s)
        model, build = choose_model(chance)
        address = b"\x02" + int(number).to_bytes(5, "big")
        number += 1
        board["addresses"] = int(number)
        for scan in range(SCANS):
            at_s = arrives_s + STAY_S * (scan + chance.random()) / SCANS
            heapq.heappush(scans, (at_s, chance.randrange(1 << 30), model, build, address, chance.randrange(4096)))
        while scans and scans[0][0] < arrives_s:
            at_s, _, model, build, address, sequence = heapq.heappop(scans)
            rssi = round(chance.gauss(-68, 9))
            for _ in range(4 + (chance.random() < FRAMES_A_SCAN - 4)):
                sequence = (sequence + 1) % 4096
                out.append((int(at_s * 1e6), frame(model, build, 6, address, sequence, rssi + chance.randrange(-2, 3))))
                at_s += 0.015
        yield from sorted(out)
        out.clear()


class Air:
    """The source: ticks each second, and a pause at each hour until the cloud is done."""

    def __init__(self, board: Board, hours: float, frames_a_second: float, seed: int) -> None:
        self._board, self._hours = board, hours
        self._frames = air(seed, frames_a_second, hours, board)
        self.wait_for_cloud: Any = None

    def __iter__(self) -> Iterator[Heard]:
        tick_us = last_us = 0
        for at_us, data in self._frames:
            at_us = last_us = max(last_us, at_us)
            while at_us >= tick_us + 1_000_000:
                tick_us += 1_000_000
                self._board["now_ms"] = START_MS + tick_us // 1000
                yield Tick(START_MS * 1000 + tick_us, ((6, 1000),))
                if tick_us % HOUR_US == 0:
                    self.wait_for_cloud(tick_us // HOUR_US)
            self._board["frames"] += 1
            yield CapturedFrame(data, START_MS * 1000 + at_us, 127, 0, False)

    def losses(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        """Nothing to close."""


def agent_process(folder: Path, board: Board, hours: float, frames_a_second: float) -> None:
    """An agent that hears the air and sends what it made of it."""
    settings = PipelineSettings(
        "ap-test",
        "shop",
        os.urandom(8),
        "monitor",
        ClockState.SYNCED,
        LegalMode.DAY,
        b"confhash",
        "0.1.0",
        silence_limit_s=0,
    )
    pipeline = Pipeline(settings, partial(_signed, KEY.sign), lambda day: Pseudonymiser(day.to_bytes(32, "big")))
    uploader = Uploader(Connection(f"http://127.0.0.1:{board['port']}"))
    delivery = SpoolDelivery(
        Spool(folder / "spool", 16_000_000), uploader, Backoff(0.1, 1.0, random.random), waits_for_room=True
    )
    source = Air(board, hours, frames_a_second, seed=1)

    def wait_for_cloud(hour: int) -> None:
        while delivery.left:
            time.sleep(0.02)
        board["batches"], board["sightings"] = pipeline.totals.batches, pipeline.totals.sightings
        board["hour"] = hour
        while board["cloud_hour"] < hour:
            time.sleep(0.02)

    source.wait_for_cloud = wait_for_cloud
    outcome = run(source, pipeline, delivery, drain_s=60)
    board["batches"], board["sightings"] = outcome.totals.batches, outcome.totals.sightings
    board["is_done"] = 1
    signal.pause()  # so that its memory can be read to the end


def _signed(sign: Any, payload: bytes) -> bytes:
    return sign_message(payload, "ap-test", sign)


# --- the cloud --------------------------------------------------------------------------------------------------------------------


def cloud_process(folder: Path, board: Board) -> None:
    """The embedded cloud behind its server; what arrived goes into the lake at once, figures are made each simulated hour."""
    import logging

    import structlog

    from cloud.consumer import consumer
    from cloud.server import ServerThread, listen

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    consumer.MAX_RECORDS = RECORDS_AN_OBJECT
    clock = Clock(START_MS)
    cloud = Cloud(folder, clock=clock)
    embedded = cloud.embedded
    embedded.now_ms = lambda: board["now_ms"] or START_MS
    embedded.consumer._now_ms = embedded.now_ms
    socket = listen("127.0.0.1", 0)
    if socket is None:
        raise OSError("no port")
    with ServerThread(embedded.app(works=False), socket) as server:
        board["port"] = int(server.url.rpartition(":")[2])
        while True:
            clock.ms = embedded.now_ms()
            embedded.consumer.drain()
            if (hour := board["hour"]) > board["cloud_hour"]:
                embedded.consumer.drain()
                embedded.analyse_dirty()
                board["cloud_hour"] = hour
            time.sleep(0.05)


# --- the measuring ------------------------------------------------------------------------------------------------------------------


def forked(work: Any) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    return pid


def resident_mib(pid: int) -> float:
    """Resident memory. Source: proc_pid_statm(5)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 2**20


def peak_mib(pid: int) -> float:
    """The most that was resident at any moment. Source: proc_pid_status(5)."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return round(int(found[1]) / 1024, 1) if found else 0.0


def sizes(folder: Path) -> dict[str, float]:
    """Files of both, in MB and numbers."""
    lake = [path for path in (folder / "cloud" / "lake").rglob("*") if path.is_file()]

    def mb(*paths: Path) -> float:
        return round(sum(path.stat().st_size for path in paths if path.exists()) / 1e6, 3)

    return {
        "spool_mb": mb(*(folder / "spool").glob("*")),
        "stream_mb": mb(folder / "cloud" / "stream.sqlite"),
        "wal_mb": mb(folder / "cloud" / "stream.sqlite-wal", folder / "cloud" / "ivizone.sqlite-wal"),
        "database_mb": mb(folder / "cloud" / "ivizone.sqlite"),
        "lake_mb": mb(*lake),
        "lake_objects": len(lake),
    }


def slope(values: list[float]) -> float:
    """Least squares: growth an hour."""
    n = len(values)
    if n < 2:
        return 0.0
    middle, mean = (n - 1) / 2, sum(values) / n
    return sum((x - middle) * (y - mean) for x, y in enumerate(values)) / sum((x - middle) ** 2 for x in range(n))


def account(folder: Path, board: Board) -> list[str]:
    """What does not add up; empty where the ledger closes."""
    import duckdb

    lake = folder / "cloud" / "lake"
    found: dict[str, Any] = {}
    for table, query in {
        "ledger": "SELECT COUNT(*), SUM(frames), SUM(probe_requests + skipped_total), SUM(sightings) FROM (SELECT DISTINCT boot, batch, "
        "frames, probe_requests, skipped_total, sightings FROM t)",
        "sightings": "SELECT COUNT(*) FROM (SELECT DISTINCT boot, batch, row_no FROM t)",
    }.items():
        query = query.replace("FROM t", f"FROM read_parquet('{lake}/{table}/**/*.parquet')")
        found[table] = duckdb.sql(query).fetchall()[0]
    batches, frames, explained, sightings = map(int, found["ledger"])
    rows = int(found["sightings"][0])
    checks = {
        f"frames: {board['frames']} on the air, {frames} in the ledger, {explained} probe requests and skipped": board[
            "frames"
        ]
        == frames
        == explained,
        f"batches: {board['batches']} made, {batches} stored": board["batches"] == batches,
        f"sightings: {board['sightings']} made, {sightings} in the ledger, {rows} rows": board["sightings"]
        == sightings
        == rows,
        "quarantine is empty": not list(lake.glob("quarantine/*")),
    }
    for words, is_so in checks.items():
        print(f"{'closes' if is_so else 'DOES NOT CLOSE'}: {words}", flush=True)
    return [words for words, is_so in checks.items() if not is_so]


def soak(
    folder: Path, hours: float, frames_a_second: float, longest_s: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run it. Gives a row for each simulated hour, and what is wrong."""
    board = Board()
    pids = [forked(lambda: cloud_process(folder / "cloud", board))]
    rows: list[dict[str, Any]] = []
    begun = time.monotonic()
    try:
        while not board["port"]:
            time.sleep(0.05)
        pids.append(forked(lambda: agent_process(folder, board, hours, frames_a_second)))
        while not board["is_done"] and time.monotonic() - begun < longest_s:
            time.sleep(0.1)
            _check_alive(pids)
            if board["cloud_hour"] > len(rows):
                cloud, agent = (round(resident_mib(pid), 1) for pid in pids)
                row = {
                    "hour": len(rows) + 1,
                    "wall_s": round(time.monotonic() - begun),
                    "frames": board["frames"],
                    "addresses": board["addresses"],
                }
                memory = {"agent_mib": agent, "cloud_mib": cloud, "cloud_peak_mib": peak_mib(pids[0])}
                rows.append({**row, **memory, **sizes(folder)})
                print(json.dumps(rows[-1]), flush=True)
        if not board["is_done"]:
            return rows, [f"stopped after {longest_s:.0f} s, before the end"]
        board["hour"] += 1
        while board["cloud_hour"] < board["hour"]:
            _check_alive(pids)
            time.sleep(0.1)
        return rows, account(folder, board)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _check_alive(pids: list[int]) -> None:
    for pid in pids:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            raise RuntimeError("a process of the soak has ended by itself")


def main() -> int:
    """The command."""
    words = argparse.ArgumentParser(prog="benchmarks.soak")
    words.add_argument("--hours", type=float, default=24.0)
    words.add_argument("--frames-per-second", type=float, default=200.0)
    words.add_argument("--longest-s", type=float, default=7200.0)
    words.add_argument("--write", type=Path)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="ivizone-soak-") as folder:
        rows, wrong = soak(Path(folder), asked.hours, asked.frames_per_second, asked.longest_s)
    settled = rows[len(rows) // 3 :]  # tables and caches fill in the first hours
    slopes = {
        name: round(slope([row[name] for row in settled]), 2)
        for name in ("agent_mib", "cloud_mib", "wal_mb", "stream_mb", "lake_mb", "lake_objects")
    }
    print(json.dumps({"growth_an_hour": slopes, "hours": len(rows), "wrong": wrong}), flush=True)
    if asked.write:
        asked.write.write_text(json.dumps({"rows": rows, "growth_an_hour": slopes, "wrong": wrong}, indent=1) + "\n")
    grows = [name for name in ("agent_mib", "cloud_mib") if len(settled) > 3 and slopes[name] > FLAT_MIB_AN_HOUR]
    return 1 if wrong or grows else 0


if __name__ == "__main__":
    sys.exit(main())
