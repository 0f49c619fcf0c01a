"""What a disk may hold after a power cut, given every call that changed it (recorded by shim.c).

The model, more pessimistic than the file systems that we know:

- Bytes of a file count as kept once the file was fsynced. Of what was written since, nothing, everything, the first part, or any set of
  4 KiB pages may be there, the last of them torn at a sector of 512 bytes; what is missing reads as zeros where the file is longer.
- A name (made, renamed, removed) counts as kept once its directory was fsynced; fsyncing the file does not keep its name. Of the
  changes of a directory since then, the first few may be there, each directory for itself. A rename is whole or not at all, also from
  one directory into another.
- An fsync that answered with an error kept nothing.

Not modelled: sectors that come back with other bytes (see ``flip_bits``), disks that confirm a flush and forget it.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

ENTRY = struct.Struct("<IIIIQq")
PAGE, SECTOR = 4096, 512


@dataclass(frozen=True)
class Change:
    """One recorded call. ``first`` and ``second`` are paths, or the bytes that were written."""

    kind: str
    inode: int
    offset: int
    first: bytes
    second: bytes


@dataclass
class Inode:
    """A file: what is durable of it, and what was written since."""

    is_folder: bool = False
    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, bytes), or (size, None) for a truncation."""

    def now(self) -> bytes:
        """The content as the running system sees it."""
        return _laid(self.durable, self.pending)

    def sync(self) -> None:
        self.durable, self.pending = self.now(), []


def read_record(path: Path) -> Iterator[Change]:
    """The calls, in order; a last one that was not written whole is left out."""
    data = path.read_bytes() if path.exists() else b""
    at = 0
    while at + ENTRY.size <= len(data):
        kind, a, b, _, inode, offset = ENTRY.unpack_from(data, at)
        at += ENTRY.size
        if at + a + b > len(data):
            return
        yield Change(chr(kind), inode, offset, data[at : at + a], data[at + a : at + a + b])
        at += a + b


class Disk:
    """The folder ``root``, durable as it is now; ``replay`` what is done to it, ``cut`` the power, ``lay`` what is left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._inodes: dict[int, Inode] = {}
        self._names: dict[str, int] = {}
        """Path -> inode, as durable."""
        self._changes: list[tuple[tuple[str, ...], str, str, int]] = []
        """Name changes not yet durable: (directories, removed path, added path, inode)."""
        for folder, folders, files in os.walk(root):
            for name in folders + files:
                path = os.path.join(folder, name)
                number = os.stat(path).st_ino
                is_folder = os.path.isdir(path)
                self._names[path] = number
                self._inodes[number] = Inode(is_folder, b"" if is_folder else Path(path).read_bytes())

    def replay(self, record: Path) -> None:
        """Everything that was recorded."""
        for change in read_record(record):
            self._take(change)

    def _take(self, change: Change) -> None:
        if change.kind in "CM":
            self._inodes[change.inode] = Inode(change.kind == "M")
            self._rename("", change.first.decode(), change.inode)
        elif change.kind == "R":
            old, new = change.first.decode(), change.second.decode()
            self._rename(old, new, self._seen().get(old, 0))
        elif change.kind in "UX":
            self._rename(change.first.decode(), "", 0)
        elif change.kind == "D":
            self._keep(change.first.decode())
        elif change.inode in self._inodes:
            inode = self._inodes[change.inode]
            if change.kind == "S":
                inode.sync()
            else:
                inode.pending.append((change.offset, change.first if change.kind == "W" else None))

    def _rename(self, old: str, new: str, inode: int) -> None:
        folders = tuple({os.path.dirname(path) for path in (old, new) if path})
        self._changes.append((folders, old, new, inode))

    def _seen(self) -> dict[str, int]:
        names = dict(self._names)
        for _, old, new, inode in self._changes:
            _apply(names, old, new, inode)
        return names

    def _keep(self, folder: str) -> None:
        """The directory was fsynced: its changes are durable, and those of others that came with them in one rename."""
        left = []
        for change in self._changes:
            if folder in change[0]:
                _apply(self._names, *change[1:])
            else:
                left.append(change)
        self._changes = left

    def cut(self, chance: Random) -> None:
        """The power goes: of what was not durable, chance decides."""
        bold = chance.choice((0.0, 0.1, 0.5, 1.0))
        stopped: set[str] = set()
        for folders, old, new, inode in self._changes:
            if stopped.intersection(folders) or chance.random() > bold:
                stopped.update(folders)
            else:
                _apply(self._names, old, new, inode)
        self._changes = []
        for inode in self._inodes.values():
            if inode.pending:
                inode.durable, inode.pending = _left_of(inode, chance), []

    def lay(self) -> None:
        """Put what is left onto the real disk, in the place of what is there."""
        shutil.rmtree(self.root)
        self.root.mkdir()
        for path, number in sorted(self._names.items()):
            inode = self._inodes.get(number)
            if inode is None or not os.path.isdir(os.path.dirname(path)):
                continue  # a name whose directory did not survive
            if inode.is_folder:
                os.mkdir(path)
            else:
                Path(path).write_bytes(inode.durable)
                os.chmod(path, 0o600)


def flip_bits(path: Path, chance: Random) -> None:
    """One to eight bits of a file come back as others."""
    data = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def _apply(names: dict[str, int], old: str, new: str, inode: int) -> None:
    if old:
        moved = names.pop(old, None)
        inode = inode or moved or 0
    if new and inode:
        names[new] = inode


def _laid(content: bytes, writes: list[tuple[int, bytes | None]]) -> bytes:
    laid = bytearray(content)
    for offset, data in writes:
        if data is None:
            del laid[offset:]
            laid.extend(bytes(offset - len(laid)))
        else:
            laid.extend(bytes(max(0, offset - len(laid))))
            laid[offset : offset + len(data)] = data
    return bytes(laid)


def _left_of(inode: Inode, chance: Random) -> bytes:
    """One thing that may be there of a file that was not fsynced."""
    way = chance.choice(("nothing", "everything", "beginning", "pages"))
    if way == "nothing":
        return inode.durable
    if way == "everything":
        return inode.now()
    if way == "beginning":
        kept = inode.pending[: chance.randrange(len(inode.pending) + 1)]
        return _torn(_laid(inode.durable, kept), len(inode.durable), chance)
    kept = []
    for offset, data in inode.pending:
        if data is None:
            kept.append((offset, data))
            continue
        ends = [*range(PAGE - offset % PAGE, len(data), PAGE), len(data)]
        starts = [0, *ends[:-1]]
        kept += [(offset + a, data[a:b]) for a, b in zip(starts, ends, strict=True) if chance.random() < 0.5]
    return _torn(_laid(inode.durable, kept), len(inode.durable), chance)


def _torn(content: bytes, durable: int, chance: Random) -> bytes:
    """Cut what was added, half of the time, at a sector."""
    if len(content) <= durable or chance.random() < 0.5:
        return content
    return content[: max(durable, chance.randrange(durable, len(content)) // SECTOR * SECTOR)]
