"""Under which keys ingest believes signatures: RFC 8032's own, and none under which anybody could sign."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError
from support.clouds import Clock, Cloud
from support.ed25519 import RFC_8032_7_1, SMALL_ORDER

from cloud.domain.site import Site
from cloud.fleet.registry import AgentRecord
from cloud.ingest import keys
from cloud.ingest.keys import KnownAgents


class OneAgent:
    """A fleet of one access point with a given key."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def agents_named(self, names):
        return {name: AgentRecord(name, "shop", self._public_key, False, Site("shop", "Shop", "UTC")) for name in names}


def is_sound(public_key: str) -> bool:
    return KnownAgents(OneAgent(bytes.fromhex(public_key))).look_up(["ap-test"])["ap-test"].is_sound


@pytest.mark.parametrize("public_key", [key for key, _, _ in RFC_8032_7_1])
def test_keys_of_the_standards_examples_are_sound(public_key):
    assert is_sound(public_key)


@pytest.mark.parametrize("public_key", SMALL_ORDER)
def test_a_key_under_which_anybody_can_sign_is_not_sound(public_key):
    """That ingest believes nothing under such a key is asked over HTTP in test_batches."""
    assert not is_sound(public_key)


# --- what is remembered, and until when ---------------------------------------------------------------------------------


class Counting:
    """A fleet that says how often it was asked, and is away while ``is_away``."""

    def __init__(self, fleet) -> None:
        self.asked: list = []
        self.is_away = False
        self._fleet = fleet

    def agents_named(self, names):
        return self._ask(("agents_named", *sorted(names)), names)

    def changed_since(self, since_ms: int):
        return self._ask("changed_since", since_ms)

    def _ask(self, said, word):
        what = said if isinstance(said, str) else said[0]
        self.asked.append(said)
        if self.is_away:
            raise OperationalError("SELECT", {}, OSError("away"))
        return getattr(self._fleet, what)(word)


@pytest.fixture
def fleet(tmp_path):
    cloud = Cloud(tmp_path, clock=Clock(1_795_132_800_000))
    for number in range(3):
        cloud.add_agent(f"ap-{number}")
    yield Counting(cloud.embedded.fleet), cloud
    cloud.close()


def ask(known: KnownAgents, *names: str):
    async def run():
        return await asyncio.gather(*(known.get(name) for name in names))

    return asyncio.run(run())


def test_who_is_known_is_not_looked_up_again_and_changes_are_asked_for_once_for_all(fleet, monkeypatch):
    counting, _ = fleet
    monkeypatch.setattr(keys, "OVERLAP_MS", -60_000)  # they were all made just now
    known = KnownAgents(counting)
    ask(known, "ap-0", "ap-1", "ap-2")
    assert counting.asked == ["changed_since", ("agents_named", "ap-0", "ap-1", "ap-2")], "one question for all"

    counting.asked.clear()
    monkeypatch.setattr(keys, "CHANGES_S", 0.0)
    for _ in range(5):
        ask(known, "ap-0", "ap-1", "ap-2")
    assert counting.asked == ["changed_since"] * 5


@pytest.mark.parametrize(
    "change",
    [
        lambda cloud: cloud.embedded.fleet.revoke("ap-1"),
        lambda cloud: cloud.embedded.fleet.set_mode("shop", "count"),
        lambda cloud: cloud.embedded.fleet.change_key("ap-1", cloud.embedded.fleet.agent("ap-1").public_key, bytes(32)),
    ],
    ids=["revoked", "mode", "key"],
)
def test_a_change_is_known_at_the_next_question(fleet, monkeypatch, change):
    counting, cloud = fleet
    monkeypatch.setattr(keys, "CHANGES_S", 0.0)
    known = KnownAgents(counting)
    (before,) = ask(known, "ap-1")
    change(cloud)
    (after,) = ask(known, "ap-1")
    assert after.record == cloud.embedded.fleet.agent("ap-1") != before.record


def test_what_the_consumer_notes_of_an_access_point_changes_nothing_for_ingest(fleet):
    counting, cloud = fleet
    from cloud.consumer.consumer import _note_agents

    before = counting.changed_since(0)
    with cloud.embedded.database.begin() as connection:
        _note_agents(connection, {"ap-1": {"software": "9.9", "last_received_ms": 1}})
    assert counting.changed_since(0) == before == set()


def test_while_the_database_is_away_nobody_is_believed_for_longer_than_the_promise(fleet, monkeypatch):
    counting, _ = fleet
    monkeypatch.setattr(keys, "CHANGES_S", 0.0)
    known = KnownAgents(counting)
    ask(known, "ap-0")
    counting.is_away = True
    counting.asked.clear()

    async def run():
        return await asyncio.gather(*(known.get("ap-0") for _ in range(50)), return_exceptions=True)

    answers = asyncio.run(run())
    assert {type(answer) for answer in answers} == {OperationalError}
    assert counting.asked == ["changed_since"], "one question for all who wait"
    counting.is_away = False
    assert ask(known, "ap-0")[0].record.agent == "ap-0"


def test_after_minutes_it_is_looked_up_whatever_the_fleet_says(fleet, monkeypatch):
    counting, _ = fleet
    known = KnownAgents(counting)
    ask(known, "ap-0")
    known._known = {name: (0.0, replace(kept)) for name, (_, kept) in known._known.items()}
    counting.asked.clear()
    ask(known, "ap-0")
    assert counting.asked == [("agents_named", "ap-0")]


def test_who_comes_during_a_question_is_in_the_next_one_and_a_stranger_is_none(fleet):
    counting, _ = fleet
    known = KnownAgents(counting)
    ask(known, "ap-0")
    counting.asked.clear()

    async def run():
        first = asyncio.create_task(known.get("ap-1"))
        while known._looking is None or known._wanted:
            await asyncio.sleep(0)
        rest = await asyncio.gather(*(known.get(name) for name in ("ap-2", "ap-none", "ap-2", "ap-0")))
        return [await first, *rest]

    found = asyncio.run(run())
    assert [one and one.record.agent for one in found] == ["ap-1", "ap-2", None, "ap-2", "ap-0"]
    assert counting.asked == [("agents_named", "ap-1"), ("agents_named", "ap-2", "ap-none")]
    assert found[0].record.site_then is found[1].record.site_then is found[-1].record.site_then


def test_a_question_that_fails_is_told_to_all_who_wait_and_asked_again_by_the_next(fleet):
    counting, _ = fleet
    known = KnownAgents(counting)
    ask(known, "ap-0")
    counting.is_away = True

    async def run():
        return await asyncio.gather(*(known.get(f"ap-{n % 3}") for n in range(6)), return_exceptions=True)

    answers = asyncio.run(run())
    assert [type(answer).__name__ for answer in answers] == ["KnownAgent", "OperationalError", "OperationalError"] * 2
    counting.is_away = False
    assert [one.record.agent for one in ask(known, "ap-1", "ap-2")] == ["ap-1", "ap-2"]
