"""What speaks of single devices is gone a day after its day closed, from every store; the figures stay, and a receipt says so."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from support.clouds import DATE, DAY_MS, HOUR_MS, NOON_MS, Cloud, busy_hour, counted, heard, stay

from agent.wire.receipts import verify_chain
from cloud.databases.privacy_tables import held_days, set_aside
from cloud.databases.tables import audit
from cloud.domain.retention import NAMES_MS
from cloud.signatures import is_signature

MIDNIGHT_MS = NOON_MS + 12 * HOUR_MS


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path, hours="10:00-19:00", allows_replay=False)
    yield made
    made.close()


def objects(cloud: Cloud, *tables: str) -> list[str]:
    return [name for table in tables for name in cloud.embedded.store.names(f"{table}/")]


def shown(cloud: Cloud) -> dict:
    """Figures of the day, but for the ledger, which goes on."""
    return {name: rows for name, rows in cloud.figures().items() if name != "ledger_days"}


def files_with(folder: Path, word: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and word in path.read_bytes()]


def test_a_day_is_erased_a_day_after_it_closed_and_not_before(cloud):
    cloud.take(heard(0, *busy_hour()))
    before = shown(cloud)
    cloud.clock.ms = MIDNIGHT_MS + 24 * HOUR_MS - 1
    cloud.embedded.work()
    assert objects(cloud, "sightings", "messages")

    cloud.clock.ms += 1
    cloud.embedded.retention.run()

    assert objects(cloud, "sightings", "messages") == []
    assert objects(cloud, "ledger", "windows")
    assert {row["metric"] for row in shown(cloud)["day_figures"]} == {row["metric"] for row in before["day_figures"]}
    assert cloud.day()["visitors"]["value"] == 12


def test_a_late_batch_of_an_erased_day_changes_no_figure_and_is_counted(cloud):
    cloud.take(heard(0, *busy_hour()))
    cloud.clock.ms = MIDNIGHT_MS + 25 * HOUR_MS
    cloud.embedded.retention.run()
    before = shown(cloud)

    cloud.take(heard(1, stay(500, NOON_MS, 20), stay(501, NOON_MS, 20), start_ms=NOON_MS, end_ms=NOON_MS + HOUR_MS))

    assert shown(cloud) == before
    assert objects(cloud, "sightings", "messages") == []
    with cloud.embedded.database.connect() as connection:
        row = connection.execute(select(set_aside)).one()
    assert (row.kind, row.batch, row.sightings, row.reason) == (
        "withheld",
        1,
        2,
        "its day was over for more than 24 h",
    )


def test_nothing_of_the_message_stays_in_the_streams_file(cloud):
    batch = heard(0, *busy_hour())
    cloud.append(batch)
    message = cloud.embedded.stream.read(1)[0].message
    assert files_with(cloud.folder, message[40:104]), "the control: it is there while it waits"

    cloud.embedded.work()
    cloud.clock.ms = MIDNIGHT_MS + 24 * HOUR_MS
    cloud.embedded.retention.run()

    assert files_with(cloud.folder, message[40:104]) == []


def test_names_of_batches_are_forgotten_after_30_days(cloud):
    cloud.take(heard(0, *busy_hour()), heard(1))
    cloud.clock.ms += NAMES_MS + DAY_MS

    assert cloud.embedded.retention.run().names == 1, "the last one keeps the count of records going"
    assert cloud.embedded.retention.run().names == 0


def test_a_message_that_cannot_be_read_is_erased_after_a_day_and_its_reason_stays_counted(cloud):
    cloud.append(b"no message at all", name=_name(), site="shop")
    cloud.embedded.work()
    assert len(objects(cloud, "quarantine")) == 2

    cloud.clock.ms += DAY_MS
    cloud.embedded.retention.run()

    assert objects(cloud, "quarantine") == []
    with cloud.embedded.database.connect() as connection:
        assert connection.execute(select(set_aside.c.kind)).scalars().all() == ["quarantined"]


def _name():
    from cloud.streams.base import BatchName

    return BatchName("ap-test", b"12345678", 9)


def test_receipts_say_what_was_erased_and_hold_together(cloud):
    cloud.take(heard(0, *busy_hour()))
    cloud.clock.ms = MIDNIGHT_MS + 24 * HOUR_MS
    cloud.embedded.retention.run()
    cloud.embedded.retention.run()

    (receipt,) = verify_chain(cloud.embedded.receipts.lines(), is_signature)

    assert receipt["what"] == "day_erased"
    assert receipt["about"]["rows"] == {"sightings": 32, "messages": 1}
    assert (receipt["about"]["site"], receipt["about"]["date"]) == ("shop", DATE)
    assert b64decode(receipt["key"]) == cloud.embedded.receipts.public_key


def test_a_run_that_was_killed_after_closing_a_day_is_ended_by_the_next(cloud, monkeypatch):
    cloud.take(heard(0, *busy_hour()))
    cloud.clock.ms = MIDNIGHT_MS + 24 * HOUR_MS

    def killed(name: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cloud.embedded.store, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            cloud.embedded.retention.run()
    assert objects(cloud, "sightings")

    cloud.embedded.retention.run()

    assert objects(cloud, "sightings", "messages") == []
    assert cloud.day()["visitors"]["value"] == 12


# --- another mode -------------------------------------------------------------------------------------------------------


def test_a_store_told_to_count_only_loses_what_today_has_of_devices_at_once(cloud):
    cloud.take(heard(0, *busy_hour()))
    assert cloud.day()["visitors"]["value"] == 12

    cloud.embedded.fleet.set_mode("shop", "count")
    cloud.embedded.work()
    cloud.clock.ms += HOUR_MS
    cloud.take(counted(1, ("inside", 7.0), start_ms=NOON_MS, end_ms=NOON_MS + HOUR_MS))

    assert objects(cloud, "sightings") == [] and len(objects(cloud, "messages")) == 1, "that of the counts"
    assert cloud.day() == {}
    assert [row["value"] for row in cloud.quarters("heard_inside").values()] == [7.0]


def test_counting_only_leaves_earlier_days_as_they_were_read(cloud):
    cloud.take(heard(0, *busy_hour()))
    cloud.clock.ms += DAY_MS
    cloud.embedded.work()
    before = cloud.day()

    cloud.embedded.fleet.set_mode("shop", "count")
    cloud.embedded.work()

    assert cloud.day() == before


def test_the_day_on_which_counting_only_ends_keeps_no_device(tmp_path):
    cloud = Cloud(tmp_path, mode="count", allows_replay=False)
    try:
        cloud.embedded.fleet.set_mode("shop", "day")
        cloud.take(heard(0, *busy_hour()))
        assert objects(cloud, "sightings") == [] and cloud.day() == {}

        cloud.clock.ms += DAY_MS
        next_noon = [stay(n, NOON_MS + DAY_MS - HOUR_MS, 20) for n in range(9)]
        cloud.take(heard(1, *next_noon, start_ms=NOON_MS + DAY_MS - HOUR_MS, end_ms=NOON_MS + DAY_MS))

        assert cloud.day("2026-11-21")["visitors"]["value"] == 9
        assert cloud.day() == {}
    finally:
        cloud.close()


# --- the audit ------------------------------------------------------------------------------------------------------------


def test_the_audit_only_grows(cloud):
    entry = {"merchant": "main", "login": "operator", "at_ms": NOON_MS, "action": "site_added", "subject": "shop"}
    with cloud.embedded.database.begin() as connection:
        connection.execute(text("UPDATE merchants SET name = 'x' WHERE merchant = 'main'"))
        connection.execute(insert(audit), entry)

    for statement in (update(audit).values(subject="another"), delete(audit)):
        with pytest.raises(DBAPIError, match="only grows"), cloud.embedded.database.begin() as connection:
            connection.execute(statement)


def test_a_day_is_held_from_before_its_first_object(cloud, monkeypatch):
    """Killed between the two, an object that nobody knows of would never be erased."""

    def full(name: str, data: bytes) -> None:
        raise KeyboardInterrupt

    cloud.append(heard(0, *busy_hour()))
    monkeypatch.setattr(cloud.embedded.store, "put", full)
    with pytest.raises(KeyboardInterrupt):
        cloud.embedded.work()

    with cloud.embedded.database.connect() as connection:
        assert connection.execute(select(held_days.c.date)).scalars().all() == [DATE]
