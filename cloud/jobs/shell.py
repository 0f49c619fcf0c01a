"""What the two jobs share: their words, where the parts are, and how they end (shell, composition root of the cluster).

The lake is S3 or a folder, the database PostgreSQL, the engine Spark. Exit codes: 0 ok, 2 usage, 3 configuration, 5 a part does not answer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from cloud.config import CloudConfig, CloudConfigError, load_cloud_config, require
from cloud.databases.base import DatabaseError
from cloud.databases.postgres import make_months, postgres_database
from cloud.fleet.registry import Fleet
from cloud.jobs.analyst import GROUP_DAYS, ClusterAnalyst
from cloud.log import LEVELS, configure
from cloud.stores.base import ObjectStore, StoreError
from cloud.stores.local_dir import LocalDirStore
from cloud.warehouse.base import EngineError

OK, CONFIGURATION, AWAY = 0, 3, 5
URL_VARIABLE = "IVIZONE_DATABASE_URL"


def wall_clock_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """The words that both jobs know."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML; IVIZONE_SECTION_OPTION wins over it")
    parser.add_argument("--database-secret", metavar="ID", help="secret with the database's URL, in Secrets Manager")
    parser.add_argument("--lake", type=Path, metavar="DIR", help="a folder in the place of the bucket")
    parser.add_argument("--master", help="such as local[2] (default: what spark-submit says)")
    parser.add_argument("--group-days", type=int, default=GROUP_DAYS, help=f"days in one run (default {GROUP_DAYS})")
    parser.add_argument("--log-level", choices=LEVELS, default="info")
    parser.add_argument("--log-json", action="store_true", help="log JSON")


def run(parser: argparse.ArgumentParser, job: Callable[[argparse.Namespace, Parts], int], arguments: Any) -> int:
    """Run a job; gives its exit code. Every error is one clear message on stderr."""
    options = parser.parse_args(arguments)
    configure(options.log_level, as_json=options.log_json)
    parts = None
    try:
        parts = Parts(options, os.environ)
        return job(options, parts)
    except (CloudConfigError, DatabaseError) as error:
        return _fail(parser, error, CONFIGURATION)
    except SQLAlchemyError as error:
        said = getattr(error, "orig", None) or type(error).__name__
        return _fail(parser, f"the database does not answer: {said}", AWAY)
    except (StoreError, EngineError) as error:
        return _fail(parser, error, AWAY)
    finally:
        if parts:
            parts.close()


def _fail(parser: argparse.ArgumentParser, error: object, code: int) -> int:
    print(f"{parser.prog}: {error}", file=sys.stderr)
    return code


class Parts:
    """Database, lake and Spark, as the options and the environment say."""

    def __init__(self, options: argparse.Namespace, environment: Mapping[str, str]) -> None:
        self._options = options
        if options.database_secret:
            region = environment.get("IVIZONE_AWS_REGION", "")
            environment = {**environment, URL_VARIABLE: read_secret(options.database_secret, region)}
        self.config: CloudConfig = load_cloud_config(options.config, environment)
        require(self.config, "database.url")
        self.database = postgres_database(self.config.database.url, pool_size=self.config.database.pool_size)
        self.fleet = Fleet(self.database, wall_clock_ms)
        self.store, self.root = self._lake()
        self._spark: Any = None

    def _lake(self) -> tuple[ObjectStore, str]:
        """The store, and its root as Spark writes it."""
        if self._options.lake:
            folder = self._options.lake.absolute()
            folder.mkdir(parents=True, exist_ok=True)
            return LocalDirStore(folder), folder.as_uri()
        from cloud.aws_clients import make_client
        from cloud.stores.s3 import S3Store

        require(self.config, "store.bucket")
        bucket, prefix = self.config.store.bucket, self.config.store.prefix
        client = make_client("s3", self.config.aws.region, self.config.aws.s3_endpoint)
        return S3Store(client, bucket, prefix), f"s3://{bucket}/{prefix}".rstrip("/")

    def spark(self, name: str) -> Any:
        """The session."""
        from cloud.jobs.session import make_session

        self._spark = make_session(name, self._options.master)
        return self._spark

    def close(self) -> None:
        """Let go of Spark and the database."""
        if self._spark:
            self._spark.stop()
        self.database.dispose()

    def analyst(self, spark: Any) -> ClusterAnalyst:
        """Figures by Spark."""
        from cloud.warehouse.spark_engine import SparkEngine

        made: set[str] = set()

        def prepare(day: str) -> None:
            if day[:7] not in made:
                make_months(self.database, date.fromisoformat(day), 1)
                made.add(day[:7])

        return ClusterAnalyst(
            SparkEngine(spark), self.store, self.database, self.fleet, wall_clock_ms, prepare, self._options.group_days
        )


def read_secret(name: str, region: str) -> str:
    """The database's URL, from Secrets Manager. Raises CloudConfigError."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = boto3.client("secretsmanager", region_name=region or None).get_secret_value(SecretId=name)
    except (BotoCoreError, ClientError) as error:
        raise CloudConfigError(
            f"--database-secret cannot be read ({type(error).__name__}); check its name and the job's role"
        ) from None
    return url_of_secret(str(answer.get("SecretString", "")))


def url_of_secret(text: str) -> str:
    """The database's URL from a secret: the URL itself, or the JSON that RDS and Secrets Manager write. Raises CloudConfigError."""
    if text.startswith("postgresql"):
        return text
    try:
        known = json.loads(text)
        where = {
            "host": known["host"],
            "port": int(known.get("port", 5432)),
            "database": known.get("dbname", "ivizone"),
        }
        url = URL.create("postgresql", known["username"], known["password"], **where, query={"sslmode": "verify-full"})
    except (ValueError, KeyError, TypeError) as error:
        raise CloudConfigError(
            "the secret of --database-secret is neither postgresql://... nor JSON with username, password and host; write one of them"
        ) from error
    return url.render_as_string(hide_password=False)
