"""Whoever takes a running access point after midnight, with its disk and its memory, cannot name yesterday's devices."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from support.agent_state import enrolled
from support.forensics import Image, candidates, disk_of, key_that_links, memory_of, objects_that_link
from support.frames import heard

from agent.clock import WallClock
from agent.compose import LiveKeys, SiteKeyFile
from agent.dot11.captured import CapturedFrame, Tick
from agent.pipeline import Pipeline, PipelineSettings
from agent.privacy.pseudonym import Pseudonymiser
from agent.privacy.ratchet import DayRatchet, SiteKey
from agent.spool import Spool
from agent.wire.codec import decode_batch
from agent.wire.cose import open_message
from agent.wire.model import ClockState, LegalMode

TESTS = Path(__file__).parents[2]
DAY = 20_800
CHANCE = random.Random(7)
PHONES = [b"\x00\x00\x5e\x00\x53" + bytes((n,)) for n in range(1, 40)]
"""Addresses that stay, so that each has a pseudonym of its own."""
GONE = b"\x00\x00\x5e\x00\x53\xff"
SITE_KEY = SiteKey(DAY - 3, CHANCE.randbytes(32))


class Agent:
    """A running agent, told what it hears."""

    def __init__(self, folder: Path, mode: str = "day") -> None:
        self.folder = folder
        config = enrolled(
            folder,
            "http://127.0.0.1:9",
            source={"name": "told"},
            privacy={"mode": mode},
            batch={"window_s": 10, "max_age_s": 10},
        )
        SiteKeyFile(folder / "site.key").save(SITE_KEY)
        environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.rotating_agent", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def tell(self, *words: str) -> None:
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def hear(self, phones: list[bytes], times: int = 3) -> None:
        for number in range(times):
            self.tell("hear", *(heard(phone, sequence=n + number).hex() for n, phone in enumerate(phones)))
            self.tell("pass", "12")

    def pseudonyms(self) -> set[bytes]:
        """What the cloud has of it."""
        spool = Spool(self.folder / "spool", 10**7, is_ours=False)
        batches = [decode_batch(open_message(spool.read(entry)).payload) for entry in spool.entries()]
        return {sighting.pseudonym for batch in batches for sighting in batch.sightings}

    def image(self) -> Image:
        """All of its memory, and its whole disk."""
        return Image(memory_of(self.process.pid).pieces + disk_of(self.folder).pieces)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path / "state")
    yield made
    made.close()


def pairs_of(day: int) -> dict[bytes, bytes]:
    """Address -> pseudonym of a day, as only the site key tells them."""
    named = Pseudonymiser(DayRatchet(SITE_KEY).key_of(day))
    return {phone: named.pseudonym(phone) for phone in PHONES}


def some(pairs: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Three of them: each costs a search of the whole memory."""
    return dict(list(pairs.items())[:3])


def links(image: Image, pairs: dict[bytes, bytes]) -> str:
    """How the attacker names a pseudonym, empty where they cannot."""
    how = key_that_links(candidates(image), PHONES[0], set(pairs.values()))
    objects = objects_that_link(image, some(pairs))
    return how or (f"{len(objects)} objects" if objects else "")


def test_after_midnight_neither_disk_nor_memory_names_yesterdays_pseudonyms(agent: Agent):
    """The control comes first: before midnight the same program names them, so it would find what was left behind."""
    agent.hear(PHONES)
    pairs = pairs_of(DAY)
    assert agent.pseudonyms() == set(pairs.values())
    before = agent.image()
    assert key_that_links(candidates(before), PHONES[0], set(pairs.values()))
    assert objects_that_link(before, some(pairs))

    agent.tell("midnight")

    assert links(agent.image(), pairs) == "", "at once, not only when something else was written over it"
    agent.hear(PHONES[:3])
    assert agent.pseudonyms() > set(pairs.values()), "the attacker has yesterday's pseudonyms"
    image = agent.image()
    assert all(image.holds(phone) for phone in PHONES[:3]), "and knows who is there"
    assert links(image, pairs) == ""
    assert links(image, pairs_of(DAY + 1)) != "", "today's can be named, until tomorrow"


def test_in_mode_count_there_is_no_key_in_memory_nor_a_pseudonym_to_name(tmp_path: Path):
    """A site key lies on the disk here, from when the store ran in another mode: nothing reads it."""
    agent = Agent(tmp_path / "state", mode="count")
    try:
        agent.hear(PHONES)
        (agent.folder / "site.key").unlink()
        assert agent.pseudonyms() == set()
        assert key_that_links(candidates(agent.image()), PHONES[0], set(pairs_of(DAY).values())) == ""
    finally:
        agent.close()


def reachable(root: object) -> set[bytes]:
    """Every bytes object that can be reached from ``root``."""
    seen: set[int] = set()
    found: set[bytes] = set()
    waiting = [root]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType | FunctionType):
            continue
        seen.add(id(thing))
        if isinstance(thing, bytes):
            found.add(thing)
        waiting += gc.get_referents(thing)
    return found


@pytest.mark.parametrize("window_s", [30, 300])
def test_in_mode_count_no_address_is_known_for_longer_than_five_minutes(window_s: int):
    """The longest window there is ends after 300 s, and with it everything that could join two frames of one device."""
    pipeline = counting_pipeline(window_s)
    begin_us = DAY * 86_400_000_000
    longest_s = 0.0
    for second in range(0, 800, 4):
        phone = PHONES[second // 4 % len(PHONES)] if second < 400 else GONE
        pipeline.feed(CapturedFrame(heard(phone), begin_us + second * 1_000_000, 127, 0, False))
        pipeline.feed(Tick(begin_us + second * 1_000_000 + 900_000, ((6, 1000),)))
        if second >= 400 and reachable(pipeline) & set(PHONES):
            longest_s = second - 396
    assert 0 < longest_s <= window_s <= 300


def counting_pipeline(window_s: int) -> Pipeline:
    settings = PipelineSettings(
        "ap", "shop", bytes(8), "monitor", ClockState.SYNCED, LegalMode.COUNT, bytes(8), "0", window_s=window_s
    )
    return Pipeline(settings, lambda payload: payload, lambda day: None)


def test_access_points_of_one_store_agree_without_a_cloud_and_those_of_another_do_not(tmp_path: Path):
    """One key, handed over on paper on two different days; neither ever hears of the other."""
    clock = WallClock(lambda: True, lambda: 0, lambda: 0, 0)
    first, second, other = (SiteKeyFile(tmp_path / name) for name in ("first", "second", "other"))
    first.save(SITE_KEY)
    other.save(SiteKey(DAY - 3, CHANCE.randbytes(32)))
    for day in (DAY - 2, DAY - 1):
        LiveKeys(first, clock).pseudonymiser_for(day)
    second.save(SiteKey.from_text(first.load().to_text()))

    named = [
        LiveKeys(keeper, clock).pseudonymiser_for(DAY + 2).pseudonym(PHONES[0]) for keeper in (second, first, other)
    ]

    assert named[0] == named[1] != named[2]
