"""Fifty seeded schedules of faults: the AWS composition makes the same tables of the same batches as the embedded one, row for row.

In each, Kinesis throttles, fails single records, answers 500, hangs and loses acknowledgements; S3 does likewise; database connections
are cut; the consumer dies at any of its calls and another begins at the checkpoint; shards are split and merged meanwhile.
"""

from __future__ import annotations

import time
from random import Random

import pytest
from support.aws import adapters, parts, proxy
from support.aws.composition import AwsCloud, embedded_figures, figures, in_thread, scene

if reason := parts.missing("boto3", "aws_kinesis_agg", "kinesalite", "moto", "psycopg", "postgres"):
    pytest.skip(reason, allow_module_level=True)

from cloud.aws import TROUBLES

SEEDS = range(50)
S3_KINDS = ("throttle", "error", "error_after", "drop", "drop_after")


class Killed(Exception):
    """The consumer's process ends here."""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return embedded_figures(tmp_path_factory.mktemp("embedded"), scene())


class Consumers:
    """Consumers one after the other, each killed at a call that the seed draws: before it is done, or after."""

    def __init__(self, cloud: AwsCloud, seed: int) -> None:
        self._cloud = cloud
        self._chance = Random(seed)
        self.deaths = 0
        self.is_stopping = False

    def run(self) -> None:
        while not self.is_stopping:
            reader = self._cloud.aws.reader()
            reader._gap_s, reader._list_s = 0, 0.2
            consumer = self._cloud.aws.consumer(reader)
            consumer._store = _Mortal(self._cloud.aws.store, ("put",), self)
            reader._positions = _Mortal(self._cloud.aws.positions, ("save", "finish"), self)
            try:
                while not self.is_stopping:
                    consumer.drain()
                    time.sleep(0.02)
            except Killed:
                self.deaths += 1
            except TROUBLES:
                time.sleep(0.02)

    def may_die(self) -> None:
        if self.deaths < 8 and self._chance.random() < 0.08:
            raise Killed


class _Mortal:
    """A part whose user may die before or after each call."""

    def __init__(self, part, methods, consumers: Consumers) -> None:
        self._part, self._methods, self._consumers = part, methods, consumers

    def __getattr__(self, name):
        method = getattr(self._part, name)
        if name not in self._methods:
            return method

        def mortal(*arguments):
            self._consumers.may_die()
            done = method(*arguments)
            self._consumers.may_die()
            return done

        return mortal


def re_shard(cloud: AwsCloud, chance: Random) -> None:
    """Split a shard, or merge two neighbours."""
    shards = cloud.kinesis.list_shards(StreamName=cloud.stream)["Shards"]
    open_now = sorted(
        (s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]),
        key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]),
    )
    if len(open_now) > 1 and chance.random() < 0.5:
        one, two = open_now[:2]
        cloud.kinesis.merge_shards(
            StreamName=cloud.stream, ShardToMerge=one["ShardId"], AdjacentShardToMerge=two["ShardId"]
        )
    else:
        one = chance.choice(open_now)
        start, end = (int(one["HashKeyRange"][key]) for key in ("StartingHashKey", "EndingHashKey"))
        cloud.kinesis.split_shard(
            StreamName=cloud.stream, ShardToSplit=one["ShardId"], NewStartingHashKey=str((start + end) // 2)
        )
    adapters.wait_active(cloud.kinesis, cloud.stream)


def analyse_until(cloud: AwsCloud, stop: list[int]) -> None:
    analyst = cloud.aws.analyst()
    while not stop:
        try:
            analyst.analyse_dirty()
        except Exception:  # as the process's loop does: whatever it is, again
            time.sleep(0.02)
        time.sleep(0.3)  # days that get more meanwhile are computed once and not at every object


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_fails_the_tables_are_those_of_the_embedded_composition(tmp_path, truth, seed):
    cloud = AwsCloud(tmp_path)
    chance = Random(seed)
    cloud.kinesis_proxy.choose = proxy.drawn(seed, 0.25, most=25)
    cloud.s3_proxy.choose = proxy.drawn(seed + 1000, 0.1, S3_KINDS, most=25)
    writer = cloud.aws.writer()
    consumers, stop = Consumers(cloud, seed), []
    threads = [in_thread(consumers.run), in_thread(analyse_until, cloud, stop)]
    sender = in_thread(cloud.send, cloud.batches, writer)
    for _ in range(chance.randint(1, 3)):
        time.sleep(chance.random() * 0.3)
        chance.choice([cloud.cut_connections, lambda: re_shard(cloud, chance)])()
    sender.join(60)
    assert not sender.is_alive(), "every access point got rid of its batches"
    cloud.wait_for_figures()
    consumers.is_stopping = True
    stop.append(1)
    for thread in threads:
        thread.join(30)
    found = figures(cloud.aws.database)
    writer.close()
    cloud.close()

    assert found == truth
    assert cloud.kinesis_proxy.faults, "something did fail"


def test_without_the_fault_proxy_nothing_fails(tmp_path, truth):
    """So that the schedules above show what faults do, and not what a broken proxy does."""
    cloud = AwsCloud(tmp_path)
    writer = cloud.aws.writer()
    cloud.send(cloud.batches, writer)
    cloud.aws.consumer(cloud.aws.reader()).drain()
    cloud.aws.analyst().analyse_dirty()
    found = figures(cloud.aws.database)
    writer.close()
    cloud.close()

    assert found == truth
    assert not cloud.kinesis_proxy.faults and not cloud.s3_proxy.faults
