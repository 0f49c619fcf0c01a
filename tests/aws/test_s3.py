"""S3 as the lake, on moto behind our fault proxy: whole or not there, checked, listed by pages, copied for DuckDB and no more often than needed."""

from __future__ import annotations

import os
import time
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import pytest
from support.aws import adapters, parts, proxy

if reason := parts.missing("boto3", "moto"):
    pytest.skip(reason, allow_module_level=True)

from cloud.stores.base import StoreError
from cloud.stores.s3 import S3Store

PART = 5 << 20


@pytest.fixture
def bucket():
    name = adapters.fresh("lake")
    where = {"LocationConstraint": "eu-west-1"}
    adapters.client("s3", parts.moto(), path_style=True).create_bucket(Bucket=name, CreateBucketConfiguration=where)
    return name


def store_at(url: str, bucket: str, **options):
    return S3Store(adapters.client("s3", url, path_style=True, read_timeout=2), bucket, "lake/", **options)


@pytest.mark.parametrize("fault", ["throttle", "error", "drop", "error_after", "drop_after"])
def test_a_put_goes_on_through_faults_and_the_object_is_whole(bucket, fault):
    with proxy.faulty(parts.moto(), proxy.script(fault, fault, operation="PUT")) as bad:
        store_at(bad.url, bucket).put("a/1", b"x" * 100_000)

    assert store_at(parts.moto(), bucket).get("a/1") == b"x" * 100_000
    assert bad.faults[fault] == 2


def test_a_store_that_does_not_answer_is_an_error_of_the_store(bucket):
    with proxy.faulty(parts.moto(), lambda *_: "throttle") as bad:
        store = store_at(bad.url, bucket)
        for act in (
            lambda: store.put("a/1", b"x"),
            lambda: store.get("a/1"),
            lambda: store.names(""),
            lambda: store.remove("a/1"),
        ):
            with pytest.raises(StoreError, match=r"SlowDown|503"):
                act()


def test_a_large_object_goes_up_in_parts_and_comes_back_whole(bucket):
    data = os.urandom(3 * PART + 12_345)
    with proxy.faulty(parts.moto(), proxy.script(None, "error", "drop_after", operation="PUT")) as good:
        store_at(good.url, bucket, part_bytes=PART).put("a/large", data)

    assert store_at(parts.moto(), bucket).get("a/large") == data
    assert good.requests["PUT"] >= 4


def test_a_large_object_whose_parts_fail_is_not_there_and_leaves_nothing_unfinished(bucket):
    client = adapters.client("s3", parts.moto(), path_style=True)
    with (
        proxy.faulty(parts.moto(), lambda asked, _: "error" if asked == "PUT" else None) as bad,
        pytest.raises(StoreError),
    ):
        store_at(bad.url, bucket, part_bytes=PART).put("a/large", bytes(2 * PART))

    assert store_at(parts.moto(), bucket).names("") == []
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_every_put_bears_its_checksum_and_every_get_checks_it(bucket):
    """S3 refuses what arrives altered by the SHA-256 that comes with it (moto stores the sum and compares nothing); we do on the way back."""
    store_at(parts.moto(), bucket).put("a/1", b"x" * 1000)
    head = adapters.client("s3", parts.moto(), path_style=True).head_object(
        Bucket=bucket, Key="lake/a/1", ChecksumMode="ENABLED"
    )
    assert b64decode(head["ChecksumSHA256"]) == sha256(b"x" * 1000).digest()

    with proxy.faulty(parts.moto()) as between:
        forward = between._forward
        between._forward = lambda handler, body: (lambda got: (*got[:2], got[2][:-1] + b"?"))(forward(handler, body))
        with pytest.raises(StoreError, match="a/1"):
            store_at(between.url, bucket).get("a/1")


def test_names_come_from_all_pages(bucket):
    client = adapters.client("s3", parts.moto(), path_style=True)
    for number in range(1100):
        client.put_object(Bucket=bucket, Key=f"lake/t/{number:04d}", Body=b"")
    client.put_object(Bucket=bucket, Key="other/t/1", Body=b"")

    assert store_at(parts.moto(), bucket).names("t/") == [f"t/{number:04d}" for number in range(1100)]


def test_spark_gets_an_address_and_duckdb_a_file(bucket, tmp_path):
    plain, copying = store_at(parts.moto(), bucket), store_at(parts.moto(), bucket, copies=tmp_path / "copies")
    plain.put("a/1", b"one")

    assert plain.location("a/1") == f"s3://{bucket}/lake/a/1"
    assert Path(copying.location("a/1")).read_bytes() == b"one"


def test_a_copy_is_fetched_once_and_again_when_the_object_changed(bucket, tmp_path):
    with proxy.faulty(parts.moto()) as between:
        fetched = []
        answer = between._forward
        between._forward = lambda handler, body: (lambda got: (fetched.append(got[0]), got)[1])(answer(handler, body))
        store = store_at(between.url, bucket, copies=tmp_path / "copies")
        writer = store_at(parts.moto(), bucket)
        writer.put("a/1", b"one")
        first = [Path(store.location("a/1")).read_bytes() for _ in range(3)]
        writer.put("a/1", b"two")
        second = Path(store.location("a/1")).read_bytes()

    assert first == [b"one"] * 3 and second == b"two"
    assert fetched == [200, 304, 304, 200]


def test_an_object_that_is_gone_has_no_location(bucket, tmp_path):
    store = store_at(parts.moto(), bucket, copies=tmp_path / "copies")
    store.put("a/1", b"one")
    store.location("a/1")
    store.remove("a/1")

    with pytest.raises(StoreError, match="a/1"):
        store.location("a/1")


def test_copies_that_nobody_used_make_room(bucket, tmp_path):
    folder = tmp_path / "copies"
    store = store_at(parts.moto(), bucket, copies=folder, copies_limit_bytes=2500)
    for number in range(4):
        store.put(f"a/{number}", b"x" * 1000)
        path = store.location(f"a/{number}")
        if number < 2:
            os.utime(path, (time.time() - 7200 + number,) * 2)

    kept = sorted(path.stat().st_size for path in folder.glob("*.parquet"))
    assert len(kept) == 2, "the two that were used lately"
    assert Path(store.location("a/0")).read_bytes() == b"x" * 1000
