"""One file whose bits have flipped is set aside and counted, and holds up nobody; an agent that the cloud does not know keeps everything."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.batches import KEY, batch, signed
from support.stand_in_cloud import Answer, stand_in_cloud

from agent.delivery import SpoolDelivery
from agent.spool import Spool
from agent.upload.backoff import Backoff
from agent.upload.https import Connection
from agent.upload.own_signature import is_signed_by
from agent.upload.uploader import Uploader

MESSAGE = signed(batch())


def key_file(folder: Path, key: Ed25519PrivateKey = KEY) -> Path:
    path = folder / "agent.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_a_message_is_ours_until_any_bit_of_it_flips(tmp_path: Path):
    path = key_file(tmp_path)
    assert is_signed_by("ap-test", path, MESSAGE)

    for bit in range(0, 8 * len(MESSAGE), 5):
        flipped = bytearray(MESSAGE)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not is_signed_by("ap-test", path, bytes(flipped)), bit


@pytest.mark.parametrize(
    ("agent", "key"), [("ap-other", KEY), ("ap-test", Ed25519PrivateKey.generate())], ids=["name", "key"]
)
def test_a_message_of_an_earlier_enrolment_is_not_ours(tmp_path: Path, agent: str, key: Ed25519PrivateKey):
    assert not is_signed_by(agent, key_file(tmp_path, key), MESSAGE)


def test_without_a_key_nothing_is_thrown_away(tmp_path: Path):
    assert is_signed_by("ap-test", tmp_path / "none", MESSAGE)


@pytest.mark.parametrize("is_flipped", [True, False])
def test_a_flipped_file_is_set_aside_and_the_next_one_sent(tmp_path: Path, is_flipped: bool):
    spool = Spool(tmp_path / "spool", 100_000)
    spool.append(b"bootboot", 0, MESSAGE[:-1] + bytes((MESSAGE[-1] ^ is_flipped,)))
    spool.append(b"bootboot", 1, signed(batch(batch=1)))
    is_ours = partial(is_signed_by, "ap-test", key_file(tmp_path))
    with stand_in_cloud(Answer(401), Answer(202)) as cloud:
        uploader = Uploader(Connection(cloud.url, timeout_s=2), is_ours)
        delivery = SpoolDelivery(spool, uploader, Backoff(0.01, 0.01, random.random), waits_for_room=False)
        delivery.finish(5)

    assert (delivery.left, spool.refused_batches, uploader.counts.acknowledged) == (
        (0, 1, 1) if is_flipped else (2, 0, 0)
    )
