"""The Spark session of our jobs and tests (shell)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from pyspark.sql import SparkSession

SETTINGS = {
    # Times are epoch milliseconds; nothing may hang on where a cluster stands.
    "spark.sql.session.timeZone": "UTC",
    # A store called 0042 is not the number 42.
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.adaptive.enabled": "true",
}
LOCAL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
"""On one machine: nobody else reaches it."""


def make_session(name: str, master: str | None = None, settings: Mapping[str, str] | None = None) -> SparkSession:
    """The process's session. ``master`` such as local[2]; None is what spark-submit says."""
    # Else executors would look for a python3 of their own and, on one machine, wait for it in silence.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(name)
    if master:
        builder = builder.master(master)
    local = LOCAL if (master or "").startswith("local") else {}
    for key, value in {**SETTINGS, **local, **(settings or {})}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
