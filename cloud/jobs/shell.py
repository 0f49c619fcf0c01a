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
URL_VARIABLE, PASSWORD_VARIABLE = "IVIZONE_DATABASE_URL", "IVIZONE_DATABASE_PASSWORD"
WRITER_LOGIN = "ivizone_app"
"""docs/operations.md, Deploy, step 5."""
VERIFIED = {"sslmode": "verify-full", "sslrootcert": "environment/rds-global-bundle.pem"}
"""RDS's authorities are in no system's own list; the packed environment brings them (docs/emr.md) into the job's folder."""


def wall_clock_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """The words that both jobs know."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML; IVIZONE_SECTION_OPTION wins over it")
    parser.add_argument(
        "--database-host", metavar="HOST", help="PostgreSQL on RDS, as ivizone_app; the secret is its password"
    )
    parser.add_argument(
        "--database-secret",
        metavar="ID",
        help="of Secrets Manager: the database's URL, what RDS writes, or only the password",
    )
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
        if options.database_host:
            environment = {**environment, URL_VARIABLE: url_of_host(options.database_host)}
        if options.database_secret:
            region = environment.get("IVIZONE_AWS_REGION", "") or environment.get("AWS_REGION", "")
            environment = {
                **environment,
                **settings_of_secret(read_secret(options.database_secret, region), environment),
            }
        self.config: CloudConfig = load_cloud_config(options.config, environment)
        require(self.config, "database.url")
        database = self.config.database
        self.database = postgres_database(database.url, password=database.password, pool_size=database.pool_size)
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
    """A secret's text, from Secrets Manager. Raises CloudConfigError."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = boto3.client("secretsmanager", region_name=region or None).get_secret_value(SecretId=name)
    except (BotoCoreError, ClientError) as error:
        raise CloudConfigError(
            f"--database-secret cannot be read ({type(error).__name__}); check its name, the region and the job's role"
        ) from None
    return str(answer.get("SecretString", ""))


def settings_of_secret(text: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What the secret says of the database, as variables: all of it, or where the URL is known already, the password. Raises CloudConfigError."""
    if URL_VARIABLE in environment and text and not text.startswith(("postgresql", "{")):
        return {PASSWORD_VARIABLE: text}
    return {URL_VARIABLE: url_of_secret(text)}


def url_of_host(host: str) -> str:
    """The database of deploy/aws/stack.yaml, without a password."""
    return URL.create("postgresql", WRITER_LOGIN, host=host, database="ivizone", query=VERIFIED).render_as_string()


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
        url = URL.create("postgresql", known["username"], known["password"], **where, query=VERIFIED)
    except (ValueError, KeyError, TypeError) as error:
        raise CloudConfigError(
            "the secret of --database-secret is neither postgresql://... nor JSON with username, password and host; write one of them, "
            "or only the password beside --database-host"
        ) from error
    return url.render_as_string(hide_password=False)
