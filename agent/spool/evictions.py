"""Batches that made room, kept in mind until a batch on the disk tells of them (shell).

What an evicted batch told of goes with it, so it is told again. A note is the evicted file under another name; where the power fails
between two steps, the next start finds either the batch or the note, and a note whose teller is there is told already:

    <name>.evicted                 nobody has told of it
    <name>.evicted-<sequence>      the batch of that sequence does; it counts only where that batch never came
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

NOTE = re.compile(r"(\d{16})-[0-9a-f]{16}-\d{10}(?:-(\d{1,9}))?\.evicted(?:-(\d{16}))?")


class Evictions:
    """The notes of one directory. ``known`` are the sequences of the batches that lie there. Raises OSError, as all its methods do."""

    def __init__(self, directory: Path, known: set[int]) -> None:
        self._notes: list[tuple[Path, int]] = []
        """Each with the batches that it stands for: itself, and those that it told of."""
        self._told: list[Path] = []
        self.next_number = 0
        """No batch may bear a smaller sequence."""
        for path in sorted(directory.glob("*.evicted*")):
            match = NOTE.fullmatch(path.name)
            if match is None:
                continue
            teller = int(match[3]) if match[3] else None
            self.next_number = max(self.next_number, int(match[1]) + 1, (teller or 0) + 1)
            if teller in known:
                path.unlink()
            else:
                os.truncate(path, 0)  # of a batch whose day was over, nothing may stay
                self._notes.append((path, 1 + int(match[2] or 0)))
        self.lost_batches = sum(count for _, count in self._notes)
        """Given up in all, also what earlier starts left untold."""

    @property
    def untold(self) -> int:
        """How many batches nobody has told of yet."""
        return sum(count for _, count in self._notes)

    def note(self, path: Path, told: int, *, is_emptied: bool = False) -> None:
        """The batch ``path``, which told of ``told`` others, makes room; ``is_emptied``: at once, and not only when the note has to."""
        note = path.with_suffix(".evicted")
        path.rename(note)
        if is_emptied:
            os.truncate(note, 0)
        self._notes.append((note, 1 + told))
        self.lost_batches += 1 + told

    def tell(self, told: int, sequence: int) -> None:
        """The batch ``sequence``, not yet on the disk, tells of the ``told`` oldest."""
        for place, (path, count) in enumerate(self._notes):
            if count > told:
                return
            told -= count
            marked = path.with_name(f"{path.name.partition('.')[0]}.evicted-{sequence:016d}")
            path.rename(marked)
            self._notes[place] = (marked, count)
            self._told.append(marked)

    def is_told(self) -> None:
        """That batch is on the disk: its notes go, and the others need no room any more."""
        told, self._told = set(self._told), []
        kept = [note for note in self._notes if note[0] not in told]
        self._notes = kept
        with suppress(OSError):
            for path in told:
                path.unlink(missing_ok=True)
            for path, _ in kept:
                if path.stat().st_size:
                    os.truncate(path, 0)

    def is_not_told(self) -> None:
        """That batch could not be written; another will tell."""
        self._told = []
