"""A spool of two directories: RAM first, flash only when the cloud has been away for long (shell; docs/adr/0004-spool.md).

A batch each half minute would write 24 MB a day to a flash chip that bears a few thousand rewrites. So while the cloud answers,
batches wait in RAM for the second until they are acknowledged. Once it has been away for ``flash_after_s``, or the RAM directory is
full, what waits moves to flash and new batches go there too, until flash is empty again. What lies on flash is always older than
what lies in RAM, so the order holds; numbers are shared.

The price: a power cut loses what waits in RAM, at most ``flash_after_s`` of an outage. Without an outage that is one batch.
"""

from __future__ import annotations

from agent.spool.directory import Spool, SpoolEntry
from agent.spool.errors import SpoolUnwritable


class TieredSpool:
    """Used like ``Spool``; who sends tells it how long the cloud has been away."""

    def __init__(self, ram: Spool, flash: Spool, flash_after_s: float) -> None:
        self._ram = ram
        self._flash = flash
        self._flash_after_s = flash_after_s
        self._away_s = 0.0

    @property
    def limit_bytes(self) -> int:
        """What flash may hold; RAM is only on the way."""
        return self._flash.limit_bytes

    @property
    def pending_bytes(self) -> int:
        """Size of all that waits."""
        return self._ram.pending_bytes + self._flash.pending_bytes

    @property
    def evicted_batches(self) -> int:
        """Given up for want of room."""
        return self._ram.evicted_batches + self._flash.evicted_batches

    @property
    def lost_batches(self) -> int:
        """See ``Spool.lost_batches``."""
        return self._ram.lost_batches + self._flash.lost_batches

    @property
    def untold_batches(self) -> int:
        """See ``Spool.untold_batches``."""
        return self._ram.untold_batches + self._flash.untold_batches

    @property
    def held(self) -> SpoolEntry | None:
        """See ``Spool.held``."""
        return self._flash.held

    @held.setter
    def held(self, entry: SpoolEntry | None) -> None:
        self._ram.held = self._flash.held = entry

    def tell(self, told: int) -> None:
        """See ``Spool.tell``."""
        self._flash.tell(told)

    @property
    def refused_batches(self) -> int:
        """Set aside because the cloud will never take them."""
        return self._ram.refused_batches + self._flash.refused_batches

    @property
    def flash_bytes_written(self) -> int:
        """Since the start: what the budget of flash writes is held against."""
        return self._flash.flash_bytes_written

    def entries(self) -> list[SpoolEntry]:
        """What waits, oldest first."""
        return self._flash.entries() + self._ram.entries()

    def oldest(self) -> SpoolEntry | None:
        """The batch to send next."""
        return self._flash.oldest() or self._ram.oldest()

    def cloud_is_away(self, away_s: float) -> None:
        """The cloud has taken nothing for so long; 0 when it has."""
        self._away_s = away_s

    def append(self, boot: bytes, number: int, message: bytes, told: int = 0) -> SpoolEntry:
        """Keep a batch whose ledger tells of ``told`` lost ones. Raises SpoolUnwritable where neither directory takes it.

        One that tells goes to flash: there the notes of what it tells lie, and the power takes both or neither. From RAM it could have
        reached the cloud while the notes come back, and be told again.
        """
        self._ram.next_number = self._flash.next_number = max(self._ram.next_number, self._flash.next_number)
        has_room = self._ram.pending_bytes + len(message) <= self._ram.limit_bytes
        if has_room and not told and self._away_s < self._flash_after_s and self._flash.oldest() is None:
            return self._append_to_ram(boot, number, message, told)
        try:
            self._move_to_flash()
            return self._flash.append(boot, number, message, told)
        except SpoolUnwritable:
            if not has_room:
                raise
            return self._append_to_ram(
                boot, number, message, told
            )  # read-only flash; what it holds is older all the same

    def _append_to_ram(self, boot: bytes, number: int, message: bytes, told: int) -> SpoolEntry:
        entry = self._ram.append(boot, number, message, told)
        if told:
            self._flash.tell(told)  # the notes lie on flash: only flash evicts
        return entry

    def read(self, entry: SpoolEntry) -> bytes:
        """The batch's bytes. Raises SpoolUnwritable."""
        return self._of(entry).read(entry)

    def acknowledge(self, entry: SpoolEntry) -> None:
        """The cloud has it: forget it."""
        self._of(entry).acknowledge(entry)

    def refuse(self, entry: SpoolEntry) -> None:
        """The cloud will never take it: set it aside."""
        self._of(entry).refuse(entry)

    def give_up(self, over: list[SpoolEntry]) -> int:
        """See ``Spool.give_up``. What is told of later is noted on flash, so what lies in RAM goes there first; an outage of a day has
        brought it there long ago."""
        in_ram = {(entry.boot, entry.number) for entry in over if entry.path.parent == self._ram.directory}
        gone = self._flash.give_up([entry for entry in over if entry.path.parent != self._ram.directory])
        if in_ram and self._ram.held is None:
            self._move_to_flash()
            gone += self._flash.give_up([e for e in self._flash.entries() if (e.boot, e.number) in in_ram])
        return gone

    def set_aside(self) -> list[SpoolEntry]:
        """See ``Spool.set_aside``."""
        return self._flash.set_aside() + self._ram.set_aside()

    def remove_aside(self, entry: SpoolEntry) -> None:
        """See ``Spool.remove_aside``."""
        self._flash.remove_aside(entry)

    def _of(self, entry: SpoolEntry) -> Spool:
        return self._ram if entry.path.parent == self._ram.directory else self._flash

    def _move_to_flash(self) -> None:
        """Each batch is on flash before it leaves RAM: a crash between leaves it in both, and the cloud stores it once."""
        for entry in self._ram.entries():
            self._flash.append(entry.boot, entry.number, self._ram.read(entry), entry.told)
            self._ram.acknowledge(entry)
