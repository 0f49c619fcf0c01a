"""One file for each batch: written under another name, fsynced, renamed, the directory fsynced (shell).

So a file under its own name is whole, whenever the power fails. Acknowledged means removed. File names begin with a
number that only grows, so the order of names is the order of making, over restarts too.

    0000000000000042-<boot>-<batch>.cose    waiting; with one more number where its ledger tells of so many evicted batches
    *.part                                  unfinished; removed at the next start
    *.evicted*                              made room, and nobody has told the cloud yet (``evictions``)
    refused/<the same name>                 the cloud will never take it; kept for `ivizone-agent spool`, at most 100
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agent.spool.errors import SpoolUnwritable
from agent.spool.evictions import Evictions

FILE_NAME = re.compile(r"(\d{16})-([0-9a-f]{16})-(\d{10})(?:-(\d{1,9}))?\.cose")
REFUSED_KEPT = 100


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """A waiting batch."""

    path: Path
    sequence: int
    boot: bytes
    number: int
    size_bytes: int
    told: int = 0
    """Evicted batches that its ledger tells of."""


class Spool:
    """A directory of batches. Not for two processes at once; the caller sees to one thread at a time.

    ``limit_bytes`` bounds what waits: beyond it the oldest make room, and ``evicted_batches`` counts them. Only the very oldest never
    does: it is the one that is with the cloud, or was and got no answer, and could be stored and told as given up.
    ``is_ours`` is False for who only looks while an agent runs: its unfinished file is then left alone, and a directory that is missing is
    not made (by root, it would be closed to the agent).
    Raises SpoolUnwritable if the directory cannot be made or read.
    """

    def __init__(self, directory: Path, limit_bytes: int, *, is_ours: bool = True) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self.evicted_batches = 0
        self.refused_batches = 0
        self.flash_bytes_written = 0
        """Since the start."""
        self.held: SpoolEntry | None = None
        """The batch that is with the cloud just now: it is not given up, or it could be stored and told as given up."""
        try:
            if not directory.is_dir() and (is_ours or directory.exists()):
                directory.mkdir(parents=True, exist_ok=True)
                _sync(directory.parent)  # or a power cut takes the directory, and all that was kept in it
            for leftover in directory.glob("*.part") if is_ours else ():
                leftover.unlink()
            self._entries = {entry.sequence: entry for entry in self._read()}
            refused = [match for path in self._refused() if (match := FILE_NAME.fullmatch(path.name))]
            known = {*self._entries, *(int(match[1]) for match in refused)}
            self._evictions = Evictions(directory if is_ours else Path(os.devnull), known)
        except OSError as error:
            raise self._unwritable("opened", error) from error
        self.pending_bytes = sum(entry.size_bytes for entry in self._entries.values())
        """Size of all that waits."""
        self.next_number = max(max(known, default=-1) + 1, self._evictions.next_number)
        """Of the next batch; may be raised, never lowered."""

    def entries(self) -> list[SpoolEntry]:
        """What waits, oldest first."""
        return list(self._entries.values())

    def oldest(self) -> SpoolEntry | None:
        """The batch to send next."""
        return next(iter(self._entries.values()), None)

    @property
    def lost_batches(self) -> int:
        """Given up and to be told of in a ledger: those evicted, and those that they told of; also what earlier starts left untold."""
        return self._evictions.lost_batches

    @property
    def untold_batches(self) -> int:
        """Those of them that no batch on the disk tells of yet."""
        return self._evictions.untold

    def tell(self, told: int) -> None:
        """A batch that never lay here has told the cloud of ``told`` lost ones."""
        with suppress(OSError):
            self._evictions.tell(told, self.next_number)
        self._evictions.is_told()

    def append(self, boot: bytes, number: int, message: bytes, told: int = 0) -> SpoolEntry:
        """Keep a batch whose ledger tells of ``told`` lost ones; it is durable when this returns. Raises SpoolUnwritable, and then
        nothing of it is kept.

        (Unless the disk takes back nothing either; then a restart may find it, whole, and the cloud stores it once.)
        """
        self._make_room(len(message))
        sequence = self.next_number
        self.next_number += 1  # also of one that fails: no two files ever bear one number
        name = f"{sequence:016d}-{boot.hex()}-{number:010d}{f'-{told}' if told else ''}.cose"
        path, part = self.directory / name, self.directory / f"{name}.part"
        try:
            self._evictions.tell(told, sequence)
            with open(part, "wb") as file:
                file.write(message)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
            _sync(self.directory)
        except OSError as error:
            self._evictions.is_not_told()
            for leftover in (part, path):
                with suppress(OSError):
                    leftover.unlink()
            raise self._unwritable("written", error) from error
        self._evictions.is_told()
        entry = self._entries[sequence] = SpoolEntry(path, sequence, boot, number, len(message), told)
        self.pending_bytes += len(message)
        self.flash_bytes_written += len(message)
        return entry

    def cloud_is_away(self, away_s: float) -> None:
        """How long the cloud has taken nothing (s); a spool of one directory has nowhere else to go."""

    def read(self, entry: SpoolEntry) -> bytes:
        """The batch's bytes. Raises SpoolUnwritable where the disk does not give them back."""
        try:
            return entry.path.read_bytes()
        except OSError as error:
            raise self._unwritable("read", error) from error

    def acknowledge(self, entry: SpoolEntry) -> None:
        """The cloud has it: forget it. Raises SpoolUnwritable where the disk keeps it; it is forgotten all the same, until the next start."""
        self._forget(entry)
        self._unlink(entry)

    def refuse(self, entry: SpoolEntry) -> None:
        """The cloud will never take it: set it aside, so that it does not hold up the others.

        Raises SpoolUnwritable where the disk does not do it; it holds up nobody all the same, until the next start.
        """
        if entry.sequence not in self._entries:
            return  # it was given up while the cloud looked at it
        self._forget(entry)
        self.refused_batches += 1
        aside = self.directory / "refused"
        try:
            aside.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # somebody removed it: there is nothing to set aside, and nothing to send
                entry.path.rename(aside / entry.path.name)
            for old in self._refused()[:-REFUSED_KEPT]:
                old.unlink()
        except OSError as error:
            raise self._unwritable("moved", error) from error

    def _make_room(self, size: int) -> None:
        while self.pending_bytes + size > self.limit_bytes and len(self._entries) > 1:
            _, second = islice(self._entries.values(), 2)
            self._give_up(second)

    def _give_up(self, entry: SpoolEntry, *, is_emptied: bool = False) -> None:
        try:
            self._evictions.note(entry.path, entry.told, is_emptied=is_emptied)
        except FileNotFoundError:  # somebody removed it
            pass
        except OSError as error:
            raise self._unwritable("removed", error) from error
        self._forget(entry)
        self.evicted_batches += 1

    def give_up(self, over: list[SpoolEntry]) -> int:
        """Remove batches that may wait no longer, as if they made room; the one that is with the cloud just now has its turn later. Gives
        how many. Raises SpoolUnwritable."""
        gone = [entry for entry in over if entry.sequence in self._entries and entry is not self.held]
        for entry in gone:
            self._give_up(entry, is_emptied=True)
        return len(gone)

    def set_aside(self) -> list[SpoolEntry]:
        """What the cloud will never take, oldest first. Raises SpoolUnwritable."""
        try:
            return [entry for path in self._refused() if (entry := _entry_of(path))]
        except OSError as error:
            raise self._unwritable("read", error) from error

    def remove_aside(self, entry: SpoolEntry) -> None:
        """Remove one of those. Raises SpoolUnwritable."""
        self._unlink(entry)

    def _refused(self) -> list[Path]:
        return sorted((self.directory / "refused").glob("*.cose"))

    def _read(self) -> list[SpoolEntry]:
        found: list[SpoolEntry] = []
        for path in sorted(self.directory.iterdir()) if self.directory.exists() else ():
            with suppress(FileNotFoundError):  # sent by the agent that runs while somebody looks
                if entry := _entry_of(path):
                    found.append(entry)
        return found

    def _unlink(self, entry: SpoolEntry) -> None:
        try:
            entry.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable("removed", error) from error

    def _forget(self, entry: SpoolEntry) -> None:
        if self._entries.pop(entry.sequence, None):
            self.pending_bytes -= entry.size_bytes

    def _unwritable(self, verb: str, error: OSError) -> SpoolUnwritable:
        advice = "free space or set spool.directory to another disk"
        return SpoolUnwritable(f"spool {self.directory}: a batch cannot be {verb} ({error.strerror}); {advice}")


def _entry_of(path: Path) -> SpoolEntry | None:
    """The batch in a file; None for another file. Raises OSError."""
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        return None
    told = int(match[4] or 0)
    return SpoolEntry(path, int(match[1]), bytes.fromhex(match[2]), int(match[3]), path.stat().st_size, told)


def _sync(directory: Path) -> None:
    """Keep the names in a directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
