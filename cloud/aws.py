"""The AWS composition root: Kinesis, S3, PostgreSQL, and DuckDB on copies of the lake's objects; each part may be a process of its own.

| process | `ivizone-cloud aws` | what it does |
| --- | --- | --- |
| web | `serve` | ingest behind the load balancer; as many as there is traffic |
| consumer | `kcl` | the Kinesis Client Library, which starts a `processor` for each shard; two or more |
| consumer | `consume` | one process that reads all shards itself, for small deployments without Java |
| analyst | `analyse` | days with new data -> figures; erases what is over; any number |
| once | `roles`, `hand-over` | SQL for the database's roles; the next secret of the receipts |

What an operator does to the schema, stores, access points, people and receipts is the `ivizone-cloud` of the embedded product, with
`--config FILE`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette

from cloud.analyst import Analyst
from cloud.aws_clients import make_client
from cloud.config import CloudConfig, CloudConfigError, load_cloud_config, require
from cloud.consumer.consumer import Consumer
from cloud.consumer.kcl import Processor, ShardBuffer, Thresholds
from cloud.consumer.kcl_daemon import daemon_command, find_jars, properties
from cloud.databases.postgres import (
    day_lock,
    house_lock,
    make_months,
    migrate_postgres,
    postgres_database,
    sql_of_roles,
    stream_lock,
)
from cloud.fleet.registry import Fleet
from cloud.log import kind_and_place
from cloud.portal.shoppers import Shoppers
from cloud.retention.receipts import Receipts, key_of
from cloud.retention.retention import Retention
from cloud.stores.base import StoreError
from cloud.stores.s3 import S3Store
from cloud.streams.base import StreamError
from cloud.streams.kinesis import KinesisWriter
from cloud.streams.kinesis_reader import KinesisReader
from cloud.streams.positions import Positions
from cloud.warehouse.base import EngineError
from cloud.warehouse.duckdb_engine import DuckDbEngine

log = structlog.get_logger()
OK = 0
RETRY_S = 5.0
LAG_S = 15.0
"""How often ingest looks how far behind the consumers are."""
FULL_SHARE = 0.75
"""Of the stream's retention: so far behind, records would be lost before they are read, and access points can keep them."""
NOTE_S = 30.0
LOOK_AGAIN_MS = 6 * 3_600_000
"""How long a closed day is looked at again: each look lists the bucket, for money. What came even later goes by the bucket's own rule."""
HOUSE_S = 15.0
"""How often an analyst asks the clock whether something is due: each time it reads every store's row."""
TROUBLES = (StreamError, StoreError, EngineError, SQLAlchemyError)


def wall_clock_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Aws:
    """The parts over one configuration, each made when it is first asked for."""

    def __init__(self, config: CloudConfig, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self.config = config
        self.now_ms = now_ms

    @cached_property
    def database(self) -> Database:
        require(self.config, "database.url")
        options = self.config.database
        return postgres_database(options.url, password=options.password, pool_size=options.pool_size)

    @cached_property
    def fleet(self) -> Fleet:
        return Fleet(self.database, self.now_ms)

    @cached_property
    def store(self) -> S3Store:
        """The lake, for consumers."""
        return self._store(None)

    @cached_property
    def positions(self) -> Positions:
        return Positions(self.database, self.config.stream.name, self.now_ms)

    def writer(self, why_full: Callable[[], str | None] = lambda: None) -> KinesisWriter:
        """The stream, for ingest."""
        options = self.config.stream
        return KinesisWriter(
            self._kinesis(), options.name, lanes=options.lanes, append_s=options.append_s, why_full=why_full
        )

    def reader(self) -> KinesisReader:
        """The stream, for the one consumer that does without the Kinesis Client Library."""
        options = self.config
        return KinesisReader(self._kinesis(), options.stream.name, self.positions, count_limit=options.consumer.records)

    def consumer(self, stream: Any) -> Consumer:
        """The same consumer as the embedded one, on a stream or on one shard of it."""
        limits = {"max_records": self.config.consumer.records, "max_bytes": self.config.consumer.bytes}
        return Consumer(stream, self.store, self.database, self.fleet, self.now_ms, is_alone=False, **limits)

    @cached_property
    def copies(self) -> S3Store:
        """The lake, for DuckDB: with copies of its objects."""
        return self._store(Path(self.config.analytics.copies_directory))

    @cached_property
    def receipts(self) -> Receipts:
        """The chain of deletion receipts. Raises CloudConfigError."""
        require(self.config, "retention.receipts_secret")
        try:
            key = key_of(self.config.retention.receipts_secret)
        except ValueError as error:
            raise CloudConfigError(f"retention.receipts_secret cannot be used: {error}") from error
        return Receipts(self.database, key, self.now_ms)

    def retention(self, analyst: Analyst) -> Retention:
        """What erases; the stream forgets by itself. Raises CloudConfigError."""
        return Retention(
            self.database,
            self.copies,
            None,
            self.fleet,
            self.receipts,
            self.now_ms,
            analyst.analyse,
            lock=lambda site, day: day_lock(self.database, site, day),
            again_ms=LOOK_AGAIN_MS,
        )

    def analyst(self) -> Analyst:
        """Figures by DuckDB, on copies of the objects."""
        return Analyst(
            DuckDbEngine(Path(self.config.analytics.copies_directory).with_name("scratch")),
            self.copies,
            self.database,
            self.fleet,
            self.now_ms,
            lock=lambda site, day: day_lock(self.database, site, day),
            prepare=_Months(self.database),
        )

    def thresholds(self) -> Thresholds:
        """What a consumer gathers."""
        options = self.config.consumer
        return Thresholds(options.records, options.bytes, options.seconds)

    def app(self) -> Starlette:
        """Ingest, the merchant's pages and the store's, as the load balancer sees them."""
        from cloud.web import application

        watch = LagWatch(self.positions, round(self.config.stream.retention_h * 3_600_000 * FULL_SHARE))
        writer = self.writer(watch.why_full)

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> Any:
            watch.start()
            yield
            watch.stop()
            writer.close()
            self.close()

        return application(writer, self.database, self.fleet, self.now_ms, lifespan=lifespan)

    def close(self) -> None:
        """Let go of the database."""
        if "database" in self.__dict__:
            self.database.dispose()

    def _kinesis(self) -> Any:
        return make_client("kinesis", self.config.aws.region, self.config.aws.kinesis_endpoint)

    def _store(self, copies: Path | None) -> S3Store:
        require(self.config, "store.bucket")
        client = make_client("s3", self.config.aws.region, self.config.aws.s3_endpoint)
        limit_bytes = round(self.config.analytics.copies_limit_gb * 1e9)
        return S3Store(client, self.config.store.bucket, self.config.store.prefix, copies, limit_bytes)


class _Months:
    """Sees to it that a date's rows have their partitions, once for each month."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made: set[str] = set()

    def __call__(self, day: str) -> None:
        if day[:7] not in self._made:
            make_months(self._database, date.fromisoformat(day), 1)
            self._made.add(day[:7])


class LagWatch:
    """Looks how far behind the consumers are, in a thread of its own: ingest must not wait for the database to answer a batch."""

    def __init__(self, positions: Positions, limit_ms: int) -> None:
        self._positions = positions
        self._limit_ms = limit_ms
        self._why: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ivizone-lag", daemon=True)

    def why_full(self) -> str | None:
        """Why nothing more may be taken, None where it may."""
        return self._why

    def look(self) -> None:
        """Look once. Where the database does not answer, what was known holds."""
        try:
            behind_ms = self._positions.behind_ms()
        except StreamError as error:
            log.warning("lag_unknown", error=str(error))
            return
        hours, limit_h = behind_ms / 3_600_000, self._limit_ms / 3_600_000
        full = behind_ms > self._limit_ms
        self._why = (
            f"the consumers are {hours:.1f} h behind, the limit is {limit_h:.1f} h; start consumers" if full else None
        )

    def start(self) -> None:
        """Look now and then."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.look()
            if self._stopping.wait(LAG_S):
                return


# --- processes --------------------------------------------------------------------------------------------------------


def consume(aws: Aws, should_stop: Callable[[], bool], sleep: Callable[[float], None] = time.sleep) -> None:
    """Read all shards into the lake until told to stop, while no other process does."""
    while not should_stop():
        try:
            with stream_lock(aws.database, aws.config.stream.name) as is_mine:
                if is_mine:
                    _consume(aws, should_stop, sleep)
        except TROUBLES as error:
            log.error("worker_failed", error=str(error), retry_in_s=RETRY_S)
        if not should_stop():
            sleep(RETRY_S)


def _consume(aws: Aws, should_stop: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    reader = aws.reader()
    consumer = aws.consumer(reader)
    thresholds, since_s, noted_s = aws.thresholds(), time.monotonic(), -1e9
    while not should_stop():
        waiting = reader.waiting()
        since_s = since_s if waiting else time.monotonic()
        if thresholds.are_reached(waiting, reader.waiting_bytes(), time.monotonic() - since_s):
            consumer.drain(should_stop)
            since_s = time.monotonic()
        if time.monotonic() - noted_s > NOTE_S:
            reader.note()
            noted_s = time.monotonic()
        sleep(min(1.0, aws.config.analytics.look_s))


class Housekeeping:
    """What the clock brings about rather than a batch: modes that begin today, quarter-hours that pass, what is to be erased."""

    def __init__(self, aws: Aws, analyst: Analyst, now_s: Callable[[], float] = time.monotonic) -> None:
        self._aws = aws
        self._analyst = analyst
        self._retention = aws.retention(analyst)
        self._now_s = now_s
        self._ran_s = -1e9

    def run_when_due(self) -> None:
        """Do it, where the last time was HOUSE_S ago. Raises StoreError, SQLAlchemyError."""
        if self._now_s() - self._ran_s < HOUSE_S:
            return
        self._ran_s = self._now_s()
        self._aws.fleet.apply_modes()
        self._analyst.mark_elapsed(Shoppers(self._aws.database, self._aws.now_ms).purge)
        self._aws.copies.forget_copies()
        with house_lock(self._aws.database) as is_mine:  # else another process erases
            if is_mine:
                self._retention.run_when_due()


def analyse(aws: Aws, should_stop: Callable[[], bool], sleep: Callable[[float], None] = time.sleep) -> None:
    """Compute days with new data, and erase what is over, until told to stop."""
    analyst = aws.analyst()
    house = Housekeeping(aws, analyst)
    while not should_stop():
        done = [_try(house.run_when_due), _try(lambda: analyst.analyse_dirty(should_stop))]
        sleep(aws.config.analytics.look_s if all(done) else RETRY_S)


def _try(work: Callable[[], object]) -> bool:
    """False where it failed, whatever it was: an analyst that is gone would show old figures for ever."""
    try:
        work()
    except Exception as error:
        said = str(error) if isinstance(error, TROUBLES) else kind_and_place(error)
        log.error("worker_failed", error=said, retry_in_s=RETRY_S)
        return False
    return True


def run_processor(aws: Aws) -> None:
    """One shard's record processor, over the pipes of the MultiLangDaemon."""
    from amazon_kclpy.kcl import KCLProcess

    buffer = ShardBuffer()
    KCLProcess(Processor(buffer, aws.consumer(buffer), aws.thresholds(), aws.positions)).run()


def run_kcl(aws: Aws, config_path: Path | None) -> int:
    """Become the MultiLangDaemon."""
    require(aws.config, "database.url", "store.bucket")
    arguments = ["--config", str(config_path.absolute())] if config_path else []
    folder = Path(tempfile.mkdtemp(prefix="ivizone-kcl-"))
    file = folder / "kcl.properties"
    file.write_text(properties(aws.config, [sys.executable, "-m", "cloud", "aws", "processor", *arguments]))
    command = daemon_command(aws.config, find_jars(), file)
    os.execvp(command[0], command)  # noqa: S606  the operator's Java, no shell between


def run_command(options: argparse.Namespace) -> int:
    """One of the words of ``cloud.aws_commands``; gives the exit code. Raises CloudConfigError, SQLAlchemyError and errors of the parts."""
    aws = Aws(load_cloud_config(options.config, os.environ))
    if options.command == "serve":
        return _serve(aws, options.host, options.port)
    if options.command == "kcl":
        return run_kcl(aws, options.config)
    if options.command == "processor":
        run_processor(aws)
    elif options.command == "consume":
        consume(aws, _stop_on_signal())
    elif options.command == "analyse":
        analyse(aws, _stop_on_signal())
    elif options.command == "roles":
        print(sql_of_roles(options.database), end="")
    elif options.command == "hand-over":
        hand_over(aws, sys.stdin.readline().strip())
    return OK


def hand_over(aws: Aws, secret: str) -> None:
    """The last receipt under the secret of the configuration says whose key is next. Raises CloudConfigError."""
    try:
        key = key_of(secret).public_key().public_bytes_raw()
    except ValueError as error:
        raise CloudConfigError(f"the next secret cannot be used: {error}") from error
    aws.receipts.add("key_changed", {"next_key": b64encode(key).decode()})
    print(
        "Now put it into the secret and restart every process within a day: after that no receipt under this one holds."
    )


def migrated(database: Database) -> str:
    """Bring a PostgreSQL database to the newest schema; gives what is said of it."""
    before, after = migrate_postgres(database, datetime.now(UTC).date())
    return f"schema {after}, nothing to do" if before == after else f"schema {before or 'empty'} -> {after}"


def _serve(aws: Aws, host: str, port: int) -> int:
    from cloud.server import listen, run_server

    require(aws.config, "database.url")
    socket = listen(host, port)
    if socket is None:
        raise CloudConfigError(f"port {port} on {host} cannot be had; choose others with --port and --host")
    print(f"http://{host}:{socket.getsockname()[1]}/", flush=True)
    run_server(aws.app(), socket)
    return OK


def _stop_on_signal() -> Callable[[], bool]:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop.is_set
