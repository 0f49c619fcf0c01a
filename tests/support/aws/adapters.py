"""The AWS adapters over the parts on this machine, each in a stream, bucket or database of its own."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from support.aws import parts

_numbers = itertools.count()


def fresh(word: str) -> str:
    """A name that nobody used before."""
    return f"{word}-{os.getpid()}-{next(_numbers)}"


def client(service: str, url: str, **options: Any) -> Any:
    """A boto3 client of a service on this machine, with the timeouts and retries of the product."""
    import boto3

    from cloud.aws_clients import client_config

    settings = client_config(service, **options)
    return boto3.client(service, endpoint_url=url, config=settings, **parts.CREDENTIALS)


def make_stream(kinesis: Any, shards: int = 1, name: str | None = None) -> str:
    """A new stream, ready."""
    name = name or fresh("stream")
    kinesis.create_stream(StreamName=name, ShardCount=shards)
    wait_active(kinesis, name)
    return name


def wait_active(kinesis: Any, name: str) -> None:
    """Until a stream that was made or re-sharded can be used."""
    until = time.monotonic() + 20
    while kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamStatus"] != "ACTIVE":
        assert time.monotonic() < until, "the stream does not become active"
        time.sleep(0.02)


def kinesis_stream(folder: Path, **_limits: Any) -> Any:
    """The stream of a folder: the same one for every process that opens it."""
    known = folder / "kinesis.json"
    if not known.exists():
        if reason := parts.missing("boto3", "aws_kinesis_agg", "kinesalite"):
            pytest.skip(reason)
        url = parts.node_emulator("kinesalite")
        known.write_text(json.dumps({"url": url, "stream": make_stream(client("kinesis", url))}))
    where = json.loads(known.read_text())
    return open_kinesis(where["url"], where["stream"], folder)


def open_kinesis(url: str, name: str, folder: Path, **options: Any) -> Any:
    """A stream whose checkpoints lie in a SQLite file of the folder."""
    from cloud.databases.base import migrate
    from cloud.databases.sqlite import sqlite_database
    from cloud.streams.kinesis import KinesisStream, KinesisWriter
    from cloud.streams.kinesis_reader import KinesisReader
    from cloud.streams.positions import Positions

    database = sqlite_database(folder / "positions.sqlite")
    migrate(database)
    reader = KinesisReader(client("kinesis", url), name, Positions(database, name, lambda: 0), gap_s=0, list_s=0)
    return KinesisStream(KinesisWriter(client("kinesis", url), name, **options), reader)


def s3_store(_folder: Path | None = None, **options: Any) -> Any:
    """A store in a bucket of its own."""
    if reason := parts.missing("boto3", "moto"):
        pytest.skip(reason)
    from cloud.stores.s3 import S3Store

    s3 = client("s3", parts.moto())
    bucket = fresh("lake")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return S3Store(s3, bucket, "lake/", **options)


def postgres(_folder: Path | None = None) -> Any:
    """An engine on an empty database."""
    if reason := parts.missing("psycopg", "postgres"):
        pytest.skip(reason)
    from cloud.databases.postgres import postgres_database

    return postgres_database(parts.postgres().create(fresh("ivizone")))
