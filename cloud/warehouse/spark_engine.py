"""Spark: the engine of days that are many or large, on EMR or on one machine. pyspark is an extra: pip install ivizone[emr].

All days of a run go through the same plan, so what Spark spends on each query is spent once for a thousand stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from cloud.stores.lake import LAKE, QUERIED, duckdb_columns
from cloud.warehouse.base import (
    PARAMETERS,
    RESULTS,
    TABLES,
    DayInput,
    EngineError,
    Results,
    columns_of_parameter,
    rows_of_parameter,
    split_days,
    text,
)

_ARROW = {"VARCHAR": pa.string(), "INTEGER": pa.int32(), "BIGINT": pa.int64(), "DOUBLE": pa.float64()}
TOGETHER = {"joined": ["day_no", "pseudonym"]}
"""Where a device's sightings lie on one executor before each is taken once for every preset, a sixth of the bytes is shuffled."""


class SparkEngine:
    """See ``Engine``. Runs may be parallel: each has its own names for its views."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def run(self, days: Sequence[DayInput]) -> list[Results]:
        """See ``Engine.run``."""
        session = self._spark.newSession()
        kept: list[DataFrame] = []
        try:
            _open(session, days)
            for name in TABLES:
                kept.append(frame := _computed(session, name))
                frame.createOrReplaceTempView(name)
            found = {name: [row.asDict() for row in session.sql(text(name)).collect()] for name in RESULTS}
            return split_days(found, len(days))
        except (PySparkException, Py4JError) as error:
            raise EngineError(f"Spark could not run the shared SQL: {_said(error)}") from error
        finally:
            for frame in kept:
                _forget(frame)


def _computed(session: SparkSession, name: str) -> DataFrame:
    """A text's rows, computed once for all who read them.

    A local checkpoint rather than a cache: a cached table is still its whole plan to whoever reads it, and of texts that read each other
    several times that plan grows to where planning takes longer than computing. An executor that is lost takes its rows along; then
    the run fails and is asked again.
    """
    frame = session.sql(text(name))
    if name in TOGETHER:
        frame = frame.repartition(*TOGETHER[name])
    return frame.localCheckpoint(eager=False)


def _forget(frame: DataFrame) -> None:
    """Let go of the rows now: Spark would with the next collection of garbage, and a stream runs for weeks."""
    plan: Any = frame._jdf.queryExecution().logical()
    with suppress(Py4JError, AttributeError):
        plan.rdd().unpersist(False)


def _open(session: SparkSession, days: Sequence[DayInput]) -> None:
    """Everything that the texts read, as views."""
    for table in QUERIED:
        _open_table(session, table, [day.objects.get(table, ()) for day in days])
    _fill(session, "days", {"day_no": "INTEGER"}, [(day_no,) for day_no in range(len(days))])
    for name in PARAMETERS:
        _fill(session, name, columns_of_parameter(name), rows_of_parameter(name, days))


def _open_table(session: SparkSession, table: str, by_day: Sequence[Sequence[str]]) -> None:
    """A view over the table's objects of every day; which day an object is of stands beside its address."""
    days = {location: day_no for day_no, locations in enumerate(by_day) for location in locations}
    if not days:
        kinds = {field.name: field.type for field in LAKE[table]}
        empty = pa.schema({"day_no": pa.int32(), **kinds}).empty_table()
        session.createDataFrame(empty).createOrReplaceTempView(table)
        return
    # Objects are named one by one: a folder may have got more meanwhile, and its name may hold what Spark takes for a pattern.
    reader = session.read.schema(duckdb_columns(table).replace("VARCHAR", "STRING")).option("__globPaths__", "false")
    objects = reader.parquet(*days).withColumn("place", f.col("_metadata.file_path"))
    places = pa.table({"place": _addresses(session, days), "day_no": pa.array(days.values(), pa.int32())})
    joined = objects.join(f.broadcast(session.createDataFrame(places)), "place", "left")
    # Should Spark ever write an address otherwise than we do, its rows would be of no day: better no figures than figures without them.
    lost = f.raise_error(f.concat(f.lit("an object of no day: "), f.col("place")))
    joined = joined.withColumn("day_no", f.coalesce("day_no", lost)).drop("place")
    joined.createOrReplaceTempView(table)


def _addresses(session: SparkSession, locations: Iterable[str]) -> list[str]:
    """Locations as Spark itself writes them beside each row: absolute, with their file system, percent-encoded."""
    path: Any = session._jvm.org.apache.hadoop.fs.Path
    configuration = session._jsc.hadoopConfiguration()
    made = []
    for location in locations:
        qualified = path(location).getFileSystem(configuration).makeQualified(path(location))
        # Through text once more: a qualified path begins with file:///, Spark's with file:/.
        made.append(path(qualified.toString()).toUri().toString())
    return made


def _fill(session: SparkSession, name: str, columns: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    schema = pa.schema({column: _ARROW[kind] for column, kind in columns.items()})
    table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], schema)
    session.createDataFrame(table).createOrReplaceTempView(name)


def _said(error: Exception) -> str:
    """The first line that says something: Spark's messages go on with its stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if line.startswith(("Caused by:", "["))), "")
    return (reason or (lines[0] if lines else type(error).__name__))[:300]
