"""The AWS composition over the parts on this machine, and a scene of batches that the embedded cloud takes as well, to compare."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import SQLAlchemyError
from support.aws import adapters, parts, proxy
from support.batches import signed
from support.clouds import FIGURES, MIN_MS, PUBLIC_KEY, Clock, Cloud, heard, stay

from agent.wire.model import ClockState
from cloud.databases.tables import agents, dirty_days
from cloud.domain.site import Site
from cloud.streams.base import BatchName

BEGIN_MS = 1_700_038_800_000
"""2023-11-15 09:00 UTC: long over, so that figures are those of a whole day whenever the test runs."""


@dataclass(frozen=True)
class Sent:
    """One batch as it is sent."""

    name: BatchName
    site: str
    message: bytes


@functools.cache
def scene(sites: int = 3, per_site: int = 2, batches: int = 4) -> tuple[Sent, ...]:
    """A morning in several stores with several access points each, who hear the same shoppers."""
    made = []
    for site in range(sites):
        for agent in range(per_site):
            for number in range(batches):
                start_ms = BEGIN_MS + number * 15 * MIN_MS
                stays = [
                    stay(100 * site + n + 3 * number, start_ms + n * MIN_MS, 2 + 3 * n, 20 + 15 * n) for n in range(6)
                ]
                named = {"agent": f"ap-{site}-{agent}", "site": f"shop-{site}", "clock": ClockState.REPLAY}
                content = heard(number, *stays, start_ms=start_ms, end_ms=start_ms + 15 * MIN_MS, **named)
                name = BatchName(named["agent"], content.header.boot, number)
                made.append(Sent(name, named["site"], signed(content)))
    return tuple(made)


def people(fleet: Any, database: Engine, batches: tuple[Sent, ...]) -> None:
    """The stores and access points of a scene."""
    for site in sorted({sent.site for sent in batches}):
        fleet.add_site(Site(site, site, "UTC", "day", True))
    owners = sorted({(sent.name.agent, sent.site) for sent in batches})
    about = {"public_key": PUBLIC_KEY, "state": "active", "created_ms": 1, "software": "0.1.0"}
    rows = [{"agent": agent, "site": site, **about} for agent, site in owners]
    if rows:
        with database.begin() as connection:
            connection.execute(agents.insert(), rows)


def figures(database: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of figures but when it was computed, in order."""
    with database.connect() as connection:
        rows = {table.name: [dict(row._mapping) for row in connection.execute(select(table))] for table in FIGURES}
    for row in rows["day_figures"]:
        del row["computed_ms"]
    return {name: sorted(found, key=repr) for name, found in rows.items()}


def embedded_figures(folder: Path, batches: tuple[Sent, ...]) -> dict[str, list[dict[str, Any]]]:
    """What the embedded composition makes of a scene."""
    cloud = Cloud(folder, is_new=False)
    people(cloud.embedded.fleet, cloud.embedded.database, batches)
    for sent in batches:
        cloud.append(sent.message, sent.name, sent.site)
    cloud.embedded.work()
    found = figures(cloud.embedded.database)
    cloud.close()
    assert len(found["quarter_figures"]) > 100 and len(found["day_figures"]) > 10
    return found


@functools.cache
def _template(server: parts.Postgres) -> str:
    """A database with the newest schema, to copy."""
    from cloud.databases.postgres import migrate_postgres, postgres_database

    name = adapters.fresh("template")
    engine = postgres_database(server.create(name))
    migrate_postgres(engine, date(2023, 11, 15))
    engine.dispose()
    return name


@dataclass
class AwsCloud:
    """A stream, a bucket and a database of its own, each behind a proxy of its own where it has one."""

    folder: Path
    batches: tuple[Sent, ...] = field(default_factory=scene)
    shards: int = 2
    server: parts.Postgres = field(default_factory=parts.postgres)
    dynamodb: str = ""
    emulator: str = "kinesalite"
    seconds: float = 0.2

    def __post_init__(self) -> None:
        import psycopg

        from cloud.aws import Aws
        from cloud.config import parse_cloud_config

        self.kinesis = adapters.client("kinesis", parts.node_emulator(self.emulator), read_timeout=20)
        self.stream = adapters.make_stream(self.kinesis, self.shards)
        self.bucket = adapters.fresh("lake")
        adapters.client("s3", parts.moto(), path_style=True).create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        self.database_name = adapters.fresh("ivizone")
        template = _template(self.server)
        with psycopg.connect(host="127.0.0.1", port=self.server.port, user="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self.database_name}" TEMPLATE "{template}"')
        self.kinesis_proxy = proxy.Proxy(parts.node_emulator(self.emulator), proxy.never)
        self.s3_proxy = proxy.Proxy(parts.moto(), proxy.never)
        self.file = self.folder / "cloud.yaml"
        self.file.write_text(yaml.safe_dump(self._settings()))
        self.aws: Any = Aws(parse_cloud_config(self.file.read_text(), "cloud.yaml", {}), Clock())
        people(self.aws.fleet, self.aws.database, self.batches)

    def _settings(self) -> dict[str, Any]:
        return {
            "aws": {
                "region": "eu-west-1",
                "kinesis_endpoint": self.kinesis_proxy.url,
                "s3_endpoint": self.s3_proxy.url,
                "dynamodb_endpoint": self.dynamodb,
            },
            "stream": {"name": self.stream},
            "store": {"bucket": self.bucket},
            "database": {"url": self.server.url(self.database_name)},
            "consumer": {
                "application": f"app-{self.stream}",
                "seconds": self.seconds,
                "failover_s": 3,
                "metrics": "NONE",
            },
            "retention": {"receipts_secret": "a secret of the tests, and of nothing else"},
            "analytics": {"copies_directory": str(self.folder / "copies"), "look_s": 0.1},
        }

    def send(self, batches: tuple[Sent, ...], writer: Any, pause_s: float = 0.02) -> None:
        """As access points do: each its own in order, each batch until it is acknowledged."""
        from cloud.streams.base import StreamError

        # Our clock stands in 2026 and that of processes does not: by either, what comes now came less than a day ago and may be kept.
        came_ms = max(self.aws.now_ms(), time.time_ns() // 1_000_000)

        async def agent(mine: list[Sent]) -> None:
            for sent in mine:
                while True:
                    try:
                        await writer.append(sent.name, sent.site, came_ms, sent.message)
                        break
                    except StreamError:
                        await asyncio.sleep(pause_s)

        async def all_agents() -> None:
            by_agent: dict[str, list[Sent]] = {}
            for sent in batches:
                by_agent.setdefault(sent.name.agent, []).append(sent)
            await asyncio.gather(*map(agent, by_agent.values()))

        asyncio.run(all_agents())

    def is_clean(self) -> bool:
        """True where no day waits for its figures."""
        with self.aws.database.connect() as connection:
            return connection.execute(select(dirty_days.c.site).limit(1)).first() is None

    def agents_heard(self) -> int:
        """How many batches stand in the ledger of the figures."""
        with self.aws.database.connect() as connection:
            return int(connection.execute(text("SELECT COALESCE(SUM(batches), 0) FROM ledger_days")).scalar_one())

    def is_read(self) -> bool:
        """True where nothing lies behind the checkpoints in the database, or where they are kept elsewhere.

        A consumer that died between two objects left a ledger without its sightings, and an analyst may have seen just that: only its
        successor's checkpoint says that both are there.
        """
        if not any(place for place, _ in self.aws.positions.load().values()):
            return True
        return self.aws.reader().waiting() == 0

    def wait_for_figures(self, within_s: float = 90.0, batches: int | None = None) -> None:
        """Until every batch of the scene is in the figures."""
        from cloud.streams.base import StreamError

        wanted, until = len(self.batches) if batches is None else batches, time.monotonic() + within_s
        while True:
            try:
                if (
                    self.agents_heard() == wanted
                    and self.is_read()
                    and self.is_clean()
                    and self.agents_heard() == wanted
                ):
                    return
            except (SQLAlchemyError, StreamError):
                pass
            if time.monotonic() > until:
                raise AssertionError(f"{self.agents_heard()} of {wanted} batches are in the figures")
            time.sleep(0.1)

    def cut_connections(self) -> None:
        """End every connection to the database, in the middle of whatever it does."""
        import psycopg

        with psycopg.connect(host="127.0.0.1", port=self.server.port, user="postgres", autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self.database_name,)
            )

    def close(self) -> None:
        self.kinesis.delete_stream(StreamName=self.stream)
        self.aws.close()
        self.kinesis_proxy.close()
        self.s3_proxy.close()


class Process:
    """One of our processes, which the operator starts again whenever it died."""

    def __init__(self, cloud: AwsCloud, *words: str) -> None:
        self._cloud, self._words = cloud, words
        self._log = (cloud.folder / f"{words[0]}-{len(list(cloud.folder.iterdir()))}.log").open("w")
        self.start()

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "cloud",
            "aws",
            *self._words,
            "--config",
            str(self._cloud.file),
            "--log-level",
            "info",
        ]
        self.process = parts.start(command, stdout=subprocess.PIPE, stderr=self._log, cwd=parts.CHECKOUT, text=True)

    def url(self) -> str:
        return self.process.stdout.readline().strip().rstrip("/")

    def kill(self) -> None:
        parts.kill(self.process)


def in_thread(act: Any, *arguments: Any) -> threading.Thread:
    """Run beside the test; its death would show, as what it should do is not done."""
    thread = threading.Thread(target=act, args=arguments, daemon=True)
    thread.start()
    return thread
