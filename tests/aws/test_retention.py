"""Retention on AWS: objects of S3 and rows of PostgreSQL are really gone, copies for DuckDB too, and receipts say so."""

from __future__ import annotations

import os
import time

import pytest
from sqlalchemy import select, text
from support.aws import parts
from support.aws.composition import AwsCloud, scene

if reason := parts.missing("boto3", "aws_kinesis_agg", "kinesalite", "moto", "psycopg", "postgres"):
    pytest.skip(reason, allow_module_level=True)

from agent.wire.receipts import verify_chain
from cloud.aws import Housekeeping
from cloud.config import CloudConfigError
from cloud.databases.postgres import day_lock, house_lock
from cloud.databases.privacy_tables import held_days
from cloud.databases.tables import day_figures
from cloud.retention.receipts import key_of
from cloud.signatures import is_signature

HOUR_MS = 3_600_000
DEVICES = ("sightings/", "messages/")


@pytest.fixture
def cloud(tmp_path):
    """A morning of one store, consumed and analysed; its stores allow captures, so it counts from when they came."""
    made = AwsCloud(tmp_path, scene(sites=1, per_site=1, batches=3))
    writer = made.aws.writer()
    made.send(made.batches, writer)
    writer.close()
    made.aws.consumer(made.aws.reader()).drain()
    made.analyst = made.aws.analyst()
    made.analyst.analyse_dirty()
    yield made
    made.close()


def keys(cloud: AwsCloud, *tables: str) -> list[str]:
    """What S3 itself lists."""
    return [name for table in tables for name in cloud.aws.store.names(table)]


def copies(cloud: AwsCloud) -> list[str]:
    return [path.name for path in (cloud.folder / "copies").glob("*.parquet")]


def pass_a_day(cloud: AwsCloud) -> None:
    """A day after the last of it came."""
    with cloud.aws.database.connect() as connection:
        came_ms = connection.execute(select(held_days.c.received_ms)).scalar_one()
    cloud.aws.now_ms.ms = max(came_ms, 1_700_092_800_000) + 24 * HOUR_MS


def test_single_devices_are_gone_from_the_bucket_and_from_the_copies_and_figures_stay(cloud):
    before, copied = keys(cloud, *DEVICES), copies(cloud)
    retention = cloud.aws.retention(cloud.analyst)
    assert before
    assert retention.run().days == 0, "not before its time"

    pass_a_day(cloud)
    erased = retention.run()

    assert (erased.days, erased.objects) == (1, len(before))
    assert keys(cloud, *DEVICES) == []
    assert keys(cloud, "ledger/", "windows/")
    assert len(copies(cloud)) == len(copied) - 1, "the copy of the sightings is as good as the sightings"
    with cloud.aws.database.connect() as connection:
        assert connection.execute(select(day_figures)).first() is not None


def test_the_receipt_holds_under_the_key_that_all_processes_make_of_the_secret(cloud):
    pass_a_day(cloud)
    cloud.aws.retention(cloud.analyst).run()

    key = key_of(cloud.aws.config.retention.receipts_secret).public_key().public_bytes_raw()
    (receipt,) = verify_chain(cloud.aws.receipts.lines(), is_signature, trusted=frozenset({key}))
    assert (receipt["what"], receipt["about"]["site"], receipt["about"]["rows"]["messages"]) == (
        "day_erased",
        "shop-0",
        3,
    )


def test_a_day_that_another_process_computes_waits_for_the_next_run(cloud):
    pass_a_day(cloud)
    retention = cloud.aws.retention(cloud.analyst)
    with day_lock(cloud.aws.database, "shop-0", "2023-11-15"):
        assert retention.run().days == 0
    assert retention.run().days == 1


def test_of_two_analysts_one_erases(cloud):
    pass_a_day(cloud)
    with house_lock(cloud.aws.database):
        Housekeeping(cloud.aws, cloud.analyst).run_when_due()
        assert keys(cloud, *DEVICES)
    Housekeeping(cloud.aws, cloud.analyst).run_when_due()
    assert keys(cloud, *DEVICES) == []


def test_a_mode_that_begins_today_is_in_the_table_after_the_next_look(cloud):
    house = Housekeeping(cloud.aws, cloud.analyst, now_s=iter((0.0, 1.0, 20.0, 20.0)).__next__)
    cloud.aws.fleet.set_mode("shop-0", "consent")
    cloud.aws.now_ms.ms += 48 * HOUR_MS
    house.run_when_due()
    with cloud.aws.database.connect() as connection:
        assert connection.execute(text("SELECT legal_mode FROM sites")).scalar_one() == "consent"


def test_old_figures_and_the_objects_of_their_days_go_together(cloud):
    retention = cloud.aws.retention(cloud.analyst)
    with cloud.aws.database.begin() as connection:
        connection.execute(text("UPDATE sites SET allows_replay = false"))
    cloud.aws.now_ms.ms += 800 * 24 * HOUR_MS
    assert keys(cloud, "ledger/")

    assert retention.run().figures > 0

    assert keys(cloud, "") == []
    with cloud.aws.database.connect() as connection:
        assert connection.execute(select(day_figures)).first() is None
        assert connection.execute(select(held_days)).first() is None


def test_copies_that_nobody_used_for_an_hour_are_removed(cloud):
    for path in (cloud.folder / "copies").glob("*.parquet"):
        os.utime(path, (time.time() - 3700, time.time() - 3700))
    assert cloud.aws.copies.forget_copies() > 0
    assert copies(cloud) == []


def test_a_secret_that_is_missing_or_short_is_named_before_anything_is_erased(cloud):
    cloud.file.write_text(cloud.file.read_text().replace("a secret of the tests, and of nothing else", "short"))
    from cloud.aws import Aws
    from cloud.config import load_cloud_config

    with pytest.raises(CloudConfigError, match="5 characters; use 32"):
        _ = Aws(load_cloud_config(cloud.file, {})).receipts
    with pytest.raises(CloudConfigError, match="IVIZONE_RETENTION_RECEIPTS_SECRET"):
        _ = Aws(load_cloud_config(None, {"IVIZONE_DATABASE_URL": "postgresql://x/y"})).receipts


def test_the_chain_goes_on_under_the_next_secret_once_it_was_handed_over(cloud):
    from dataclasses import replace

    from cloud.aws import Aws, hand_over

    following = "another secret of the tests, and of nothing else"
    pass_a_day(cloud)
    cloud.aws.retention(cloud.analyst).run()
    hand_over(cloud.aws, following)
    config = replace(cloud.aws.config, retention=replace(cloud.aws.config.retention, receipts_secret=following))
    after = Aws(config, cloud.aws.now_ms)
    after.receipts.add("figures_erased", {"rows": 0})

    assert [found["what"] for found in verify_chain(after.receipts.lines(), is_signature)] == [
        "day_erased",
        "key_changed",
        "figures_erased",
    ]
    with pytest.raises(CloudConfigError, match="use 32"):
        hand_over(cloud.aws, "short")
    after.close()
