"""Near-real-time figures: new objects of the lake -> affected (site, local date) -> the shared SQL -> PostgreSQL.

Spark's file source says what is new and keeps in its checkpoint what it has said. A micro-batch marks its days and computes what is
marked; only then does Spark call it done. Killed before, it comes again and finds the same days: they are computed whole from the lake and
replaced, so doing it again changes nothing. An object that is written again under its name, as after a consumer was killed, is not new to
Spark, but its day was marked by the consumer, and the marks are looked at every few seconds as well.

    spark-submit stream.py --checkpoint s3://BUCKET/emr/checkpoint --database-secret ID
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud.consumer.consumer import COMPACTED
from cloud.jobs.analyst import ClusterAnalyst, Day
from cloud.jobs.shell import AWAY, OK, Parts, add_options, run
from cloud.stores.base import StoreError
from cloud.stores.lake import QUERIED
from cloud.warehouse.base import EngineError

log = structlog.get_logger()
_OBJECT = re.compile(rf"/(?:{'|'.join(QUERIED)})/site=([^/]+)/date=(\d{{4}}-\d\d-\d\d)/([^/]+)\.parquet$")
_SCHEMA = "path STRING, modificationTime TIMESTAMP, length LONG, content BINARY"
"""Spark's own for this format; a stream must be told."""
OBJECTS_AT_ONCE = 20_000
"""Of one micro-batch: a start over a full lake comes in pieces."""
RETRY_S = 5.0


def days_of(objects: Iterable[str]) -> set[Day]:
    """The days that objects of the lake are of. A compacted one says nothing new."""
    found = (_OBJECT.search(name) for name in objects)
    return {(match[1], match[2]) for match in found if match and not match[3].startswith(f"{COMPACTED}-")}


def new_objects(spark: Any, root: str) -> Any:
    """A stream of the addresses of objects below ``root``; nothing of their content is read."""
    reader = spark.readStream.format("binaryFile").schema(_SCHEMA).option("pathGlobFilter", "*.parquet")
    options = {"recursiveFileLookup": "true", "maxFilesPerTrigger": OBJECTS_AT_ONCE, "maxFileAge": "3650d"}
    return reader.options(**options).load(f"{root}/{{{','.join(QUERIED)}}}").select("path")


class Work:
    """Marks and computes, one thread at a time: Spark's calls, and the clock's."""

    def __init__(self, analyst: ClusterAnalyst, should_stop: Callable[[], bool]) -> None:
        self._analyst = analyst
        self._should_stop = should_stop
        self._turn = threading.Lock()

    def take(self, frame: Any, _batch: int) -> None:
        """One micro-batch. Raises SQLAlchemyError where its days could not be marked: then Spark must bring it again."""
        self._analyst.mark(days_of(row.path for row in frame.collect()))
        self.compute()

    def compute(self) -> bool:
        """Compute what is marked. What cannot be stays marked, is logged, and False is given."""
        with self._turn:
            try:
                self._analyst.mark_elapsed()
                self._analyst.analyse_dirty(self._should_stop)
            except (EngineError, StoreError, SQLAlchemyError) as error:
                log.error("worker_failed", error=str(error), retry_in_s=RETRY_S)
                return False
        return True


def stream(options: argparse.Namespace, parts: Parts, stopping: threading.Event) -> int:
    """Run until told to stop; with --once until everything that is there is in the figures."""
    spark = parts.spark("ivizone-stream")
    work = Work(parts.analyst(spark), stopping.is_set)
    when = {"availableNow": True} if options.once else {"processingTime": f"{options.every_s} seconds"}
    writer = new_objects(spark, parts.root).writeStream.foreachBatch(work.take)
    query = writer.option("checkpointLocation", options.checkpoint).trigger(**when).start()
    is_done = True
    while query.isActive and not stopping.is_set():
        query.awaitTermination(options.every_s)
        if not options.once:
            is_done = work.compute()
    query.stop()
    if error := query.exception():
        raise EngineError(f"the stream of objects broke: {str(error).splitlines()[0][:300]}; start the job again")
    if options.once:
        is_done = work.compute()
    return OK if is_done or stopping.is_set() else AWAY


def _stop_on_signal() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopping.set())
    return stopping


def main(arguments: Sequence[str] | None = None) -> int:
    """The job; gives the exit code."""
    parser = argparse.ArgumentParser(prog="stream.py", description="Figures from new objects of the lake, by Spark.")
    parser.add_argument(
        "--checkpoint", required=True, metavar="URL", help="where Spark keeps which objects it has seen"
    )
    parser.add_argument("--every-s", type=float, default=5.0, help="how often to look for new objects (default 5)")
    parser.add_argument("--once", action="store_true", help="stop when what is there is done")
    add_options(parser)
    return run(parser, lambda options, parts: stream(options, parts, _stop_on_signal()), arguments)


if __name__ == "__main__":
    sys.exit(main())
