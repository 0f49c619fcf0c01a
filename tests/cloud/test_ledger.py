"""Every frame, batch and sighting of a day is somewhere, or the ledger says how many are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.batches import signed
from support.clouds import DATE, HOUR_MS, MIN_MS, NOON_MS, Cloud, heard, served, stay

from agent.wire.model import Batch
from cloud.retention.ledger import AgentLedger, day_ledger

MIDNIGHT_MS = NOON_MS + 12 * HOUR_MS
BEGIN_MS = NOON_MS - 6 * HOUR_MS


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path, allows_replay=False)
    yield made
    made.close()


def minute(
    number: int, sightings: int = 2, evicted: int = 0, boot: bytes = b"bootboot", begin_ms: int = BEGIN_MS
) -> Batch:
    """The batch of a minute."""
    start_ms = begin_ms + number * MIN_MS
    made = heard(
        number,
        *(stay(n, start_ms + n, 0.1) for n in range(sightings)),
        start_ms=start_ms,
        end_ms=start_ms + MIN_MS,
        boot=boot,
    )
    return replace(made, ledger=replace(made.ledger, evicted_batches=evicted))


def ledger_of(cloud: Cloud, date: str = DATE) -> AgentLedger:
    (found,) = day_ledger(cloud.embedded.store, cloud.embedded.database, cloud.site, date)
    return found


def test_a_day_on_which_nothing_was_lost_closes(cloud):
    cloud.take(*(minute(n) for n in range(5)))

    ledger = ledger_of(cloud)

    assert ledger.remainders() == (0, 0, 0)
    assert (ledger.frames, ledger.probe_requests, ledger.skipped) == (500, 450, {"bad_fcs": 50})
    assert (ledger.made, ledger.stored, ledger.sightings_in, ledger.rows) == (5, 5, 10, 10)


def test_what_a_full_spool_gave_up_is_explained_and_what_nobody_speaks_of_is_not(cloud):
    cloud.take(minute(0), minute(4, evicted=2), minute(5))

    ledger = ledger_of(cloud)

    assert (ledger.made, ledger.stored, ledger.evicted) == (6, 3, 2)
    assert ledger.remainders() == (0, 1, 0), "one of the three that are missing"


def test_evictions_told_by_a_later_boot_explain_the_gap_of_an_earlier_one(cloud):
    cloud.take(minute(0), minute(2))
    cloud.take(replace_number(minute(30, evicted=1, boot=b"nextboot"), 0))

    assert ledger_of(cloud).remainders() == (0, 0, 0)


def replace_number(batch: Batch, number: int) -> Batch:
    return replace(batch, header=replace(batch.header, batch=number))


def test_a_refused_batch_is_missing_for_a_reason(cloud):
    cloud.append(minute(0))
    cloud.append(minute(2))
    strange = replace(minute(1), header=replace(minute(1).header, site="another"))
    with served(cloud.embedded.app(works=False)) as client:
        assert client.post("/v1/batches", content=signed(strange)).status_code == 422
        cloud.embedded.work()
        ledger = ledger_of(cloud)

    assert (ledger.made, ledger.stored, ledger.refused) == (3, 2, 1)
    assert ledger.remainders() == (0, 0, 0)


def test_the_ledger_of_an_erased_day_says_what_it_was_made_of(cloud):
    cloud.take(*(minute(n) for n in range(3)))
    before = ledger_of(cloud).as_dict()
    cloud.clock.ms = MIDNIGHT_MS + 24 * HOUR_MS
    cloud.embedded.retention.run()
    assert ledger_of(cloud).as_dict() == before

    cloud.take(minute(3))

    after = ledger_of(cloud)
    assert (after.rows, after.withheld) == (6, 2)
    assert after.remainders() == (0, 0, 0)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["arrives", "is evicted", "is delivered twice"]), st.integers(0, 3)),
        min_size=1,
        max_size=9,
    )
)
def test_whatever_becomes_of_batches_the_ledger_closes(tmp_path_factory, fates):
    cloud = Cloud(tmp_path_factory.mktemp("ledger"), allows_replay=False)
    try:
        evicted = 0
        for number, (fate, sightings) in enumerate(fates):
            if fate == "is evicted":
                evicted += 1
                continue
            made = minute(number, sightings, evicted)
            evicted = 0
            cloud.append(made)
            if fate == "is delivered twice":
                cloud.append(made)
        cloud.take(minute(len(fates), 1, evicted))

        ledger = ledger_of(cloud)

        assert ledger.remainders() == (0, 0, 0)
        assert ledger.made == len(fates) + 1
    finally:
        cloud.close()
