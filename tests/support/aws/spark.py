"""Spark on two cores of this machine: one session for all tests of a process, started when it is first asked for."""

from __future__ import annotations

import functools
import shutil
from typing import Any

import pytest
from support.aws import parts

SMALL = {
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.driver.memory": "1g",
    "spark.sql.adaptive.enabled": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",  # compiling costs more than it saves on a few hundred rows
    "spark.log.level": "ERROR",
}


def missing() -> str | None:
    """Why Spark cannot run here, None where it can."""
    if reason := parts.missing("pyspark"):
        return reason
    return None if shutil.which("java") else f"java is not installed; {parts.HOW}"


@functools.cache
def session() -> Any:
    """The session."""
    from cloud.jobs.session import make_session

    return make_session("ivizone-tests", "local[2]", SMALL)


def engine() -> Any:
    """The engine on it; skips where there is none."""
    if reason := missing():
        pytest.skip(reason)
    from cloud.warehouse.spark_engine import SparkEngine

    return SparkEngine(session())
