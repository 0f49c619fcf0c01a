"""One file for each batch: written under another name, fsynced, renamed, the directory fsynced (shell).

So a file under its own name is whole, whenever the power fails. Acknowledged means removed. File names begin with a
number that only grows, so the order of names is the order of making, over restarts too.

    0000000000000042-<boot>-<batch>.cose    waiting
    *.part                                  unfinished; removed at the next start
    refused/<the same name>                 the cloud will never take it; kept for `ivizone-agent spool`, at most 100
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.spool.errors import SpoolUnwritable

FILE_NAME = re.compile(r"(\d{16})-([0-9a-f]{16})-(\d{10})\.cose")
REFUSED_KEPT = 100


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """A waiting batch."""

    path: Path
    sequence: int
    boot: bytes
    number: int
    size_bytes: int


class Spool:
    """A directory of batches. Not for two processes at once; the caller sees to one thread at a time.

    ``limit_bytes`` bounds what waits: beyond it the oldest make room, and ``evicted_batches`` counts them.
    ``is_ours`` is False for who only looks while an agent runs: its unfinished file is then left alone.
    Raises SpoolUnwritable if the directory cannot be made or read.
    """

    def __init__(self, directory: Path, limit_bytes: int, *, is_ours: bool = True) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self.evicted_batches = 0
        self.refused_batches = 0
        self.flash_bytes_written = 0
        """Since the start."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for leftover in directory.glob("*.part") if is_ours else ():
                leftover.unlink()
            self._entries = {entry.sequence: entry for entry in self._read()}
        except OSError as error:
            raise self._unwritable("opened", error) from error
        self.pending_bytes = sum(entry.size_bytes for entry in self._entries.values())
        """Size of all that waits."""
        self.next_number = max(self._entries, default=-1) + 1
        """Of the next batch; may be raised, never lowered."""
        refused = [match for path in self._refused() if (match := FILE_NAME.fullmatch(path.name))]
        self.next_number = max([self.next_number, *(int(match[1]) + 1 for match in refused)])

    def entries(self) -> list[SpoolEntry]:
        """What waits, oldest first."""
        return list(self._entries.values())

    def oldest(self) -> SpoolEntry | None:
        """The batch to send next."""
        return next(iter(self._entries.values()), None)

    def append(self, boot: bytes, number: int, message: bytes) -> SpoolEntry:
        """Keep a batch; it is durable when this returns. Raises SpoolUnwritable, and then nothing of it is kept.

        (Unless the disk takes back nothing either; then a restart may find it, whole, and the cloud stores it once.)
        """
        while self._entries and self.pending_bytes + len(message) > self.limit_bytes:
            oldest = next(iter(self._entries.values()))
            self._unlink(oldest)
            self._forget(oldest)
            self.evicted_batches += 1
        sequence = self.next_number
        self.next_number += 1  # also of one that fails: no two files ever bear one number
        name = f"{sequence:016d}-{boot.hex()}-{number:010d}.cose"
        path, part = self.directory / name, self.directory / f"{name}.part"
        try:
            with open(part, "wb") as file:
                file.write(message)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
            self._sync_directory()
        except OSError as error:
            for leftover in (part, path):
                with suppress(OSError):
                    leftover.unlink()
            raise self._unwritable("written", error) from error
        entry = self._entries[sequence] = SpoolEntry(path, sequence, boot, number, len(message))
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
            return  # it made room while the cloud looked at it
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

    def _refused(self) -> list[Path]:
        return sorted((self.directory / "refused").glob("*.cose"))

    def _read(self) -> list[SpoolEntry]:
        found = []
        for path in sorted(self.directory.iterdir()):
            match = FILE_NAME.fullmatch(path.name)
            if match:
                with suppress(FileNotFoundError):  # sent by the agent that runs while somebody looks
                    found.append(
                        SpoolEntry(path, int(match[1]), bytes.fromhex(match[2]), int(match[3]), path.stat().st_size)
                    )
        return found

    def _unlink(self, entry: SpoolEntry) -> None:
        try:
            entry.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable("removed", error) from error

    def _forget(self, entry: SpoolEntry) -> None:
        if self._entries.pop(entry.sequence, None):
            self.pending_bytes -= entry.size_bytes

    def _sync_directory(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unwritable(self, verb: str, error: OSError) -> SpoolUnwritable:
        advice = "free space or set spool.directory to another disk"
        return SpoolUnwritable(f"spool {self.directory}: a batch cannot be {verb} ({error.strerror}); {advice}")
