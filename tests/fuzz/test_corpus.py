"""Every input of the corpus, and thousands of small changes to them that are the same each time, are answered or refused by name."""

from __future__ import annotations

from random import Random

import pytest
from fuzz import corpus
from fuzz.targets import TARGETS

SEEDS = corpus.seeds()
CHANGES = {"page": 60, "receipts": 500, "config": 150, "uci": 150, "air": 120, "capture": 800, "batch": 600}
USUAL_CHANGES = 2000


def changed(data: bytes, chance: Random, longest: int) -> bytes:
    """The input after one to four small accidents."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made) + 1)
        what = chance.randrange(5)
        if what == 0 and made:
            made[at % len(made)] ^= 1 << chance.randrange(8)
        elif what == 1:
            del made[at : at + chance.randint(1, 8)]
        elif what == 2:
            made[at:at] = chance.randbytes(chance.randint(1, 8))
        elif what == 3 and made:
            made[at % len(made)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        else:
            made = made[:at]
    return bytes(made[:longest])


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_and_its_neighbours_break_nothing(name: str):
    target, chance = TARGETS[name], Random(f"ivizone-fuzz/{name}")
    inputs = SEEDS[name] + corpus.found(name)
    for data in [b"", *inputs]:
        target.run(data[: target.longest])
    for _ in range(CHANGES.get(name, USUAL_CHANGES)):
        target.run(changed(chance.choice(inputs), chance, target.longest))


def test_there_is_something_to_begin_with_for_every_target():
    assert set(SEEDS) == set(TARGETS)
    assert all(any(len(data) > 4 for data in inputs) for inputs in SEEDS.values())
