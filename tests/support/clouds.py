"""An embedded cloud for tests, on a clock that stands still until it is told otherwise, and batches to put into it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select
from support.batches import KEY, batch, sighting, signed

from agent.wire.model import Batch, ClockState, LedgerCounts, LegalMode, WindowEstimate, ZoneCount
from cloud.databases.tables import agents, day_figures, dwell_buckets, ledger_days, quarter_figures
from cloud.domain.site import Site, parse_hours
from cloud.embedded import Embedded
from cloud.server import ServerThread, listen
from cloud.streams.base import BatchName

DATE = "2026-11-20"
NOON_MS = 1_795_176_000_000
"""2026-11-20 12:00 UTC, a Friday."""
MIN_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FIGURES = (day_figures, quarter_figures, dwell_buckets, ledger_days)
PUBLIC_KEY = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


@contextmanager
def served(app: Any) -> Iterator[httpx.Client]:
    """A client of ``app`` behind the real server, on a free port of this machine."""
    with ServerThread(app, listen("127.0.0.1", 0)) as server, httpx.Client(base_url=server.url, timeout=20) as client:
        yield client


@dataclass
class Clock:
    """A clock that is set by hand; epoch ms."""

    ms: int = NOON_MS

    def __call__(self) -> int:
        return self.ms


@dataclass
class Cloud:
    """An embedded cloud in a folder with one site and one agent, which signs with KEY."""

    folder: Path
    time_zone: str = "UTC"
    mode: str = "day"
    hours: str = ""
    allows_replay: bool = True
    name: str = "The shop"
    clock: Clock = field(default_factory=Clock)
    agent: str = "ap-test"
    is_new: bool = True
    """False opens what is in the folder: another life of the same cloud."""

    def __post_init__(self) -> None:
        self.embedded = Embedded(self.folder, self.clock)
        self.site = Site(
            "shop",
            self.name,
            self.time_zone,
            self.mode,
            self.allows_replay,
            parse_hours(self.hours) if self.hours else {},
        )
        if self.is_new:
            self.embedded.fleet.add_site(self.site)
            self.add_agent(self.agent)

    def add_agent(self, name: str, public_key: bytes = PUBLIC_KEY, site: str = "shop", state: str = "active") -> None:
        """An access point of that name; enrolment would draw one."""
        row = {
            "agent": name,
            "site": site,
            "public_key": public_key,
            "state": state,
            "created_ms": self.clock.ms,
            "software": "0.1.0",
        }
        with self.embedded.database.begin() as connection:
            connection.execute(agents.insert(), row)

    def append(self, content: Batch | bytes, name: BatchName | None = None, site: str = "shop") -> bool:
        """Put a batch straight into the stream."""
        message = content if isinstance(content, bytes) else signed(content)
        if name is None:
            header = content.header
            name = BatchName(header.agent, header.boot, header.batch)
        return asyncio.run(self.embedded.stream.append(name, site, self.clock.ms, message))

    def take(self, *contents: Batch) -> None:
        """Batches into the stream, and all the way into the figures."""
        for content in contents:
            self.append(content)
        self.embedded.work()

    def figures(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table of figures but when it was computed, in order."""
        with self.embedded.database.connect() as connection:
            rows = {table.name: [dict(row._mapping) for row in connection.execute(select(table))] for table in FIGURES}
        for row in rows["day_figures"]:
            del row["computed_ms"]
        return {name: sorted(found, key=lambda row: json.dumps(row)) for name, found in rows.items()}

    def day(self, date: str = DATE, preset: str = "ivizone") -> dict[str, dict[str, Any]]:
        """Metric -> figure of a day."""
        rows = self.figures()["day_figures"]
        return {row["metric"]: row for row in rows if row["date"] == date and row["preset"] == preset}

    def quarters(self, metric: str, date: str = DATE, preset: str = "ivizone") -> dict[int, dict[str, Any]]:
        """Begin of a quarter-hour (ms) -> one metric's figure."""
        rows = self.figures()["quarter_figures"]
        return {r["start_ms"]: r for r in rows if (r["date"], r["preset"], r["metric"]) == (date, preset, metric)}

    def close(self) -> None:
        self.embedded.close()


def stay(number: int, start_ms: int, minutes: float, p_inside: int = 90, **changes: Any) -> Any:
    """A sighting of device ``number`` that lasts."""
    return sighting(number, start_ms, last_ms=start_ms + round(minutes * MIN_MS), p_inside=p_inside, **changes)


def heard(
    number: int,
    *stays: Any,
    start_ms: int = NOON_MS - HOUR_MS,
    end_ms: int = NOON_MS,
    listened: float = 1.0,
    error: float = 0.0,
    **changes: Any,
) -> Batch:
    """Batch ``number`` of an hour, with these sightings, listened to that share of it; estimates reach ``error`` to both sides."""
    named = {
        "batch": number,
        "window_start_ms": start_ms,
        "window_end_ms": end_ms,
        "clock": ClockState.SYNCED,
        **changes,
    }
    usual = batch(*sorted(stays, key=lambda s: s.first_ms), **named)
    many = float(max(1, len(stays)))
    windows = (WindowEstimate(start_ms, many, round(many * (1 - error), 1), round(many * (1 + error), 1)),)
    ledger = LedgerCounts(
        100,
        90,
        {"bad_fcs": 10},
        kernel_drops=1,
        listening_ms={0: round(listened * (end_ms - start_ms))},
        evicted_batches=1,
    )
    return Batch(usual.header, ledger, windows, usual.sightings)


def counted(number: int, *counts: tuple[str, float], start_ms: int = NOON_MS - HOUR_MS, end_ms: int = NOON_MS) -> Batch:
    """A batch of mode ``count``: (zone, devices) for a window at ``start_ms``."""
    usual = heard(number, start_ms=start_ms, end_ms=end_ms, mode=LegalMode.COUNT)
    zones = tuple(ZoneCount(start_ms, zone, devices, max(0.0, devices - 1), devices + 2) for zone, devices in counts)
    return Batch(usual.header, usual.ledger, (), (), zones)


def busy_hour(first: int = 0, visitors: int = 12, passers_by: int = 20, start_ms: int = NOON_MS - HOUR_MS) -> list[Any]:
    """An hour's sightings: visitors of 6 to 28 minutes, passers-by of a minute."""
    inside = [stay(first + n, start_ms + n * MIN_MS, 6 + 2 * n) for n in range(visitors)]
    return inside + [stay(first + 1000 + n, start_ms + 2 * n * MIN_MS, 1, 10) for n in range(passers_by)]
