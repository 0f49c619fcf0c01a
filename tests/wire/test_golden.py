"""Golden vectors: what any other sensor or cloud must write and read. A released one is never edited.

``python tests/wire/test_golden.py NAME`` prints a new one, on purpose.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.batches import KEY, START_MS, batch, header, sighting, signed

from agent.wire.codec import decode_batch, inflate
from agent.wire.cose import open_message
from agent.wire.model import AddressKind, Batch, LedgerCounts, LegalMode, WindowEstimate, ZoneCount, plain

FOLDER = Path(__file__).parents[1] / "golden" / "wire"

BATCHES = {
    "empty": Batch(header(), LedgerCounts(0, 0)),
    "day": replace(
        batch(
            sighting(1),
            sighting(2, START_MS + 1, rssi_max_dbm=None, rssi_median_dbm=None, p_inside=None, channel=None),
            sighting(1, START_MS + 20_000, address_kind=AddressKind.GLOBAL, source="monitor", confidence=100),
            batch=41,
        ),
        ledger=LedgerCounts(100, 90, {"bad_fcs": 4, "not_probe_request": 6}, 3, 2, 1, {1: 10_000, 6: 19_000}, 1, 0),
        windows=(WindowEstimate(START_MS, 2.0, 1.9, 3.4),),
    ),
    "links": batch(
        sighting(1),
        sighting(2, START_MS + 1, link=bytes.fromhex("0000a1b2")),
        sighting(1, START_MS + 20_000, link=bytes.fromhex("00000003")),
        batch=42,
    ),
    "count": Batch(
        header(mode=LegalMode.COUNT, key_epoch=-1),
        LedgerCounts(12, 12, listening_ms={0: 30_000}),
        counts=(ZoneCount(START_MS, "inside", 3.0, 2.2, 4.1), ZoneCount(START_MS, "outside", 9.5, 7.0, 12.0)),
    ),
}


def vector(name: str) -> dict[str, object]:
    """The vector's file: ``message`` and ``payload`` (inflated) in hex, and ``reads``, what they say."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_is_written_as_the_vector_says(name: str):
    """Compared before deflating: which of the deflate streams of the same bytes is written depends on the zlib at hand."""
    written = open_message(signed(BATCHES[name]))

    assert inflate(written.payload).hex() == vector(name)["payload"]
    assert (written.agent, len(written.signature)) == ("ap-test", 64)


@pytest.mark.parametrize("name", BATCHES)
def test_the_vector_is_read_as_the_batch(name: str):
    """Key: Ed25519 seed 00 01 ... 1f."""
    opened = open_message(bytes.fromhex(vector(name)["message"]))
    KEY.public_key().verify(opened.signature, opened.to_be_signed)

    assert inflate(opened.payload).hex() == vector(name)["payload"]
    assert decode_batch(opened.payload) == BATCHES[name]
    assert plain(BATCHES[name]) == vector(name)["reads"]


def test_every_vector_has_its_batch():
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(BATCHES)


if __name__ == "__main__":
    content = signed(BATCHES[sys.argv[1]])
    about = {
        "about": f"wire version 1, batch '{sys.argv[1]}', signed with Ed25519 seed 00 01 ... 1f",
        "message": content.hex(),
        "payload": inflate(open_message(content).payload).hex(),
        "reads": plain(BATCHES[sys.argv[1]]),
    }
    print(yaml.safe_dump(about, sort_keys=False, width=120), end="")
