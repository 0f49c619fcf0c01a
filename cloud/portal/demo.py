"""An offer for the demo: for everyone, with codes, in three languages."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from cloud.accounts.viewer import MAIN, of_role
from cloud.portal.offer_store import OfferStore
from cloud.portal.offers import A, CodeRule, Offer, Words

WORDS = {
    "en": Words("A coffee with every cake", "Any size, until the machine is cold."),
    "fr": Words("Un café pour tout gâteau acheté", "De toute taille, tant que la machine est chaude."),
    "pt": Words("Um café por cada bolo", "De qualquer tamanho, enquanto a máquina estiver quente."),
}


def write_demo_offer(database: Engine, now_ms: Callable[[], int], site: str) -> None:
    """Let it run at ``site``, a store of the merchant `main`."""
    offers, owner = OfferStore(database, now_ms), of_role(MAIN, "demo", "owner")
    kept = offers.save(owner, Offer("", MAIN, {A: WORDS}, frozenset({site}), codes=CodeRule(stock=100)))
    if kept is None:
        raise AssertionError("cannot happen: a new draft is always written")
    offers.start(owner, kept.offer)
