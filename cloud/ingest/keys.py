"""What ingest remembers of the access points: a verified key costs a database query once in minutes, and not once a batch.

What is remembered holds until the fleet says that it changed: it is asked every few seconds, in one query for all. A query for each batch
would be dearer than all else that ingest does with it, for an access point sends one in 30 s. Who is not known is looked up together with
all who come meanwhile, or a process that starts in front of thousands would not get through.

The crate ed25519-zebra, which checks the signatures (``cloud.ingest.checker``), follows ZIP 215 and takes keys of small order too, under which
a signature can hold for any message; libsodium sorts these out when a key is looked up. Source: RFC 8032, 5.1.7.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from nacl.bindings import crypto_core_ed25519_is_valid_point
from starlette.concurrency import run_in_threadpool

from agent.wire.cbor import decode
from agent.wire.codec import peek_header
from agent.wire.errors import WireError
from agent.wire.limits import MAX_CLOCK_AHEAD_S
from cloud.domain.site import Site
from cloud.fleet.registry import AgentRecord, Fleet
from cloud.signatures import is_signature

CHANGES_S = 3.0
"""The fleet is asked so often: a revoked access point is turned away after this at the latest."""
OVERLAP_MS = 60_000
"""Changes of so long before are asked for again: a transaction is seen when it ends, and clocks of instances differ."""
KEPT_S = 1800.0
"""Looked up again after this whatever the fleet says: whether a former key still counts goes by the clock."""
AGENTS_KEPT = 200_000
"""Behind a balancer every process meets all access points. 130 MB."""
NAMES_AT_ONCE = 1000
"""In one question: after a start all are strangers."""


@dataclass(frozen=True, slots=True)
class KnownAgent:
    """An access point, and whether its key is one that only its holder can sign under."""

    record: AgentRecord
    is_sound: bool

    def had_signed(self, signature: bytes, signed: bytes) -> bool:
        """True where ``signature`` (64 bytes) is by this access point's former key and ``signed`` a batch of that key's time: what waited
        in a spool while the key was changed. Asked only where the key of now did not sign."""
        if not self.record.takes_former:
            return False
        former, until_ms = self.record.former_key, self.record.rekeyed_ms + MAX_CLOCK_AHEAD_S * 1000
        if former is None or not is_signature(former, signature, signed):
            return False
        begins_ms = _window_start_ms(signed)
        return begins_ms is not None and begins_ms <= until_ms


def _window_start_ms(signed: bytes) -> int | None:
    """When the batch begins whose Sig_structure (RFC 9052, 4.4) was signed; None for what is none, such as a request."""
    try:
        structure = decode(signed)
        return peek_header(structure[3]).window_start_ms if isinstance(structure, list) else None
    except (WireError, IndexError, TypeError):
        return None


class KnownAgents:
    """A cache in front of the fleet. Unknown names are not kept, so they cannot fill it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._known: dict[str, tuple[float, KnownAgent]] = {}
        self._sites: dict[str, Site] = {}
        """One for all access points of a store."""
        self._asked_ms = time.time_ns() // 1_000_000
        self._asked_s = -CHANGES_S  # by the monotonic clock
        self._asking: asyncio.Task[None] | None = None
        self._wanted: dict[str, asyncio.Future[KnownAgent | None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def get(self, name: str) -> KnownAgent | None:
        """The access point, looked up beside the event loop where it must be. None for a stranger; raises SQLAlchemyError."""
        if time.monotonic() - self._asked_s >= CHANGES_S:
            self._asking = self._asking or asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
        kept = self._known.get(name)
        if kept and kept[0] > time.monotonic():
            return kept[1]
        return await self._looked_up(name)

    def look_up(self, names: Sequence[str]) -> dict[str, KnownAgent]:
        """Ask the database. Blocks; strangers are not in the answer. Raises SQLAlchemyError."""
        found = {}
        for name, record in self.fleet.agents_named(names).items():
            site = self._sites.get(record.site)
            if site != record.site_then:
                site = self._sites[record.site] = record.site_then
            known = KnownAgent(replace(record, site_then=site), crypto_core_ed25519_is_valid_point(record.public_key))
            found[name] = known
            if len(self._known) >= AGENTS_KEPT:
                self._known.clear()
                self._sites.clear()
            self._known[name] = (time.monotonic() + KEPT_S, known)
        return found

    async def _looked_up(self, name: str) -> KnownAgent | None:
        waits = self._wanted.get(name)
        if waits is None:
            waits = self._wanted[name] = asyncio.get_running_loop().create_future()
            self._looking = self._looking or asyncio.create_task(self._look_up_wanted())
        return await asyncio.shield(waits)

    async def _look_up_wanted(self) -> None:
        """One question at a time; who comes meanwhile is in the next one."""
        try:
            while asked := dict(islice(self._wanted.items(), NAMES_AT_ONCE)):
                for name in asked:
                    del self._wanted[name]
                try:
                    found = await run_in_threadpool(self.look_up, list(asked))
                except Exception as error:  # of the database, or of ours: whoever waits must hear of it
                    for waits in asked.values():
                        waits.set_exception(error)
                else:
                    for name, waits in asked.items():
                        waits.set_result(found.get(name))
        finally:
            self._looking = None

    async def _ask(self) -> None:
        """Forget what changed since the last time. All who wait for it share its answer, also where the database gives none."""
        now_ms, now_s = time.time_ns() // 1_000_000, time.monotonic()
        try:
            for name in await run_in_threadpool(self.fleet.changed_since, self._asked_ms - OVERLAP_MS):
                self._known.pop(name, None)
            self._asked_ms, self._asked_s = now_ms, now_s
        finally:
            self._asking = None
