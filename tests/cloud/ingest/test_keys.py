"""Under which keys ingest believes signatures: RFC 8032's own, and none under which anybody could sign."""

from __future__ import annotations

import pytest
from support.ed25519 import RFC_8032_7_1, SMALL_ORDER

from cloud.domain.site import Site
from cloud.fleet.registry import AgentRecord
from cloud.ingest.keys import KnownAgents


class OneAgent:
    """A fleet of one access point with a given key."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def agent(self, name: str) -> AgentRecord:
        return AgentRecord(name, "shop", self._public_key, False, Site("shop", "Shop", "UTC"))


def is_sound(public_key: str) -> bool:
    return KnownAgents(OneAgent(bytes.fromhex(public_key))).look_up("ap-test").is_sound


@pytest.mark.parametrize("public_key", [key for key, _, _ in RFC_8032_7_1])
def test_keys_of_the_standards_examples_are_sound(public_key):
    assert is_sound(public_key)


@pytest.mark.parametrize("public_key", SMALL_ORDER)
def test_a_key_under_which_anybody_can_sign_is_not_sound(public_key):
    """That ingest believes nothing under such a key is asked over HTTP in test_batches."""
    assert not is_sound(public_key)
