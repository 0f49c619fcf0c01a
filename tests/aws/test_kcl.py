"""The real Kinesis Client Library reads our stream: both shards, a split and a merge, and a takeover after kill -9."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
import yaml
from support.aws import adapters, parts
from support.aws.composition import AwsCloud, embedded_figures, figures, in_thread, scene

if reason := parts.missing(
    "boto3", "aws_kinesis_agg", "kinesis-local", "moto", "psycopg", "postgres", "kcl", "haproxy"
):
    pytest.skip(reason, allow_module_level=True)

import boto3

WAIT_S = 150.0


def until(is_true: Callable[[], bool], what: str, within_s: float = WAIT_S) -> None:
    end = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < end, what
        time.sleep(0.2)


class Workers:
    """Worker processes of one application, as the operator starts them."""

    def __init__(self, cloud: AwsCloud) -> None:
        self._cloud = cloud
        settings = yaml.safe_load(cloud.file.read_text())
        settings["aws"]["kinesis_endpoint"] = parts.http2_front(parts.node_emulator("kinesis-local"))
        self._file = cloud.folder / "kcl.yaml"
        self._file.write_text(yaml.safe_dump(settings))
        self._table = settings["consumer"]["application"]
        self._dynamodb = boto3.client("dynamodb", endpoint_url=parts.moto(), **parts.CREDENTIALS)
        self.logs = []

    def start(self):
        log = (self._cloud.folder / f"kcl-{len(self.logs)}.log").open("w")
        self.logs.append(log.name)
        command = [sys.executable, "-m", "cloud", "aws", "kcl", "--config", str(self._file)]
        return parts.start(command, stdout=log, stderr=log, cwd=parts.CHECKOUT)

    def leases(self) -> dict[str, tuple[str, str]]:
        """Shard -> (who has it, how far it was read)."""
        try:
            items = self._dynamodb.scan(TableName=self._table)["Items"]
        except self._dynamodb.exceptions.ResourceNotFoundException:
            return {}
        return {
            item["leaseKey"]["S"]: (item.get("leaseOwner", {}).get("S", ""), item["checkpoint"]["S"])
            for item in items
            if item["leaseKey"]["S"].startswith("shardId")
        }

    def ready(self) -> int:
        """How many workers have said that they are there. The library gives a shard away by load; here is none."""
        try:
            return len(self._dynamodb.scan(TableName=f"{self._table}-WorkerMetricStats")["Items"])
        except self._dynamodb.exceptions.ResourceNotFoundException:
            return 0

    def owners(self) -> set[str]:
        return {owner for owner, _ in self.leases().values() if owner}


def open_shards(cloud: AwsCloud) -> list[dict]:
    shards = cloud.kinesis.list_shards(StreamName=cloud.stream)["Shards"]
    found = [shard for shard in shards if not shard["SequenceNumberRange"].get("EndingSequenceNumber")]
    return sorted(found, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))


def test_the_library_reads_both_shards_through_a_re_shard_and_a_takeover(tmp_path):
    batches = scene(sites=8, per_site=1, batches=6)
    truth = embedded_figures(tmp_path / "embedded", batches)
    cloud = AwsCloud(tmp_path, batches, dynamodb=parts.moto(), emulator="kinesis-local", seconds=0.5)
    workers, stop = Workers(cloud), []
    in_thread(analyse, cloud, stop)
    writer = cloud.aws.writer()

    def send(*numbers: int) -> None:
        cloud.send(tuple(sent for sent in batches if sent.name.batch in numbers), writer)

    send(0, 1)
    first = workers.start()
    cloud.wait_for_figures(WAIT_S, batches=16)
    both = set(workers.leases())
    assert both == {shard["ShardId"] for shard in open_shards(cloud)} and len(both) == 2
    names = cloud.aws.store.names("sightings/")
    assert all(any(shard in name for name in names) for shard in both), "objects of both shards lie in the lake"

    one, two = open_shards(cloud)
    middle = (int(one["HashKeyRange"]["StartingHashKey"]) + int(one["HashKeyRange"]["EndingHashKey"])) // 2
    cloud.kinesis.split_shard(StreamName=cloud.stream, ShardToSplit=one["ShardId"], NewStartingHashKey=str(middle))
    adapters.wait_active(cloud.kinesis, cloud.stream)
    send(2)
    _, right, two = open_shards(cloud)
    cloud.kinesis.merge_shards(
        StreamName=cloud.stream, ShardToMerge=right["ShardId"], AdjacentShardToMerge=two["ShardId"]
    )
    adapters.wait_active(cloud.kinesis, cloud.stream)
    send(3)
    cloud.wait_for_figures(WAIT_S, batches=32)

    (owner,) = workers.owners()
    second = workers.start()
    until(lambda: workers.ready() == 2, "the second worker is ready")
    sender = in_thread(send, 4, 5)
    parts.kill(first)
    sender.join(60)
    cloud.wait_for_figures(
        2 * WAIT_S
    )  # the library gives a dead leader's lock away after two minutes, and shards after that
    assert owner not in {o for o, checkpoint in workers.leases().values() if checkpoint != "SHARD_END"}
    stop.append(1)
    found = figures(cloud.aws.database)
    parts.kill(second)
    writer.close()
    cloud.close()

    assert found == truth


def analyse(cloud: AwsCloud, stop: list[int]) -> None:
    from cloud.aws import analyse as run

    run(cloud.aws, lambda: bool(stop))
