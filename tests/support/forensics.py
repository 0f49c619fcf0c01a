"""What somebody does who took an access point, still running, and knows every address: look for a key, or a trace, that names yesterday's pseudonyms.

An attacker's program, so it knows how our keys are made and leaves nothing out that is cheap to try: every place of the memory and of every
file as raw bytes, base32, base64 and hexadecimal; each as a day's key and as a link of the chain; and objects that point at both an
address and a pseudonym.
"""

from __future__ import annotations

import re
from base64 import b32decode, b64decode
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path

KEY_BYTES = 32
STEPS = 3
"""Days that a chain found is stepped forward."""
FEWEST_KINDS = 22
"""Different bytes among 32 of chance; fewer are seen once in a hundred million."""
UNUSUAL = bytes(byte not in (0x00, 0xFF) for byte in range(256))
FOUR = re.compile(rb"(?=\x01{4})")
NEAR_BYTES = 160
"""Two pointers so near one another belong to one object."""
BYTES_HEAD = 32
"""Of a bytes object of CPython, before what it holds."""
BASE32 = re.compile(rb"[A-Za-z2-7]{52,56}")
BASE64 = re.compile(rb"[A-Za-z0-9+/]{43}")
HEX = re.compile(rb"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Image:
    """Pieces of memory, or a file as one piece at 0."""

    pieces: tuple[tuple[int, bytes], ...]

    def size(self) -> int:
        return sum(len(data) for _, data in self.pieces)

    def holds(self, word: bytes) -> bool:
        return any(word in data for _, data in self.pieces)

    def objects(self, word: bytes) -> Iterator[int]:
        """Addresses of bytes objects that hold ``word``, or held it before they were freed: their length still stands before it."""
        for start, data in self.pieces:
            for place in Image(((start, data),)).places(word):
                at = place - start
                if data[at - BYTES_HEAD + 16 : at - BYTES_HEAD + 24] == len(word).to_bytes(8, "little"):
                    yield place - BYTES_HEAD

    def places(self, word: bytes) -> Iterator[int]:
        """Addresses at which ``word`` lies."""
        for start, data in self.pieces:
            at = data.find(word)
            while at >= 0:
                yield start + at
                at = data.find(word, at + 1)


def memory_of(process: int) -> Image:
    """Everything that a process can write to: heap, stacks, anonymous and private mappings, as a debugger saves it."""
    pieces = []
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if "r" not in rights or "w" not in rights:
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, OverflowError, ValueError):
                continue  # the kernel's own, such as vvar
            pieces.append((start, data))
    return Image(tuple(pieces))


def disk_of(*folders: Path) -> Image:
    """Every file, its name with it."""
    files = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    return Image(tuple((0, str(path).encode() + b"\0" + path.read_bytes()) for path in files))


def candidates(image: Image) -> set[bytes]:
    """Whatever could be a key of 32 bytes. Text and pointers are passed over: of random bytes, none looks like that in 2^30."""
    found: set[bytes] = set()
    for _, data in image.pieces:
        found.update(_raw(data))
        for match in BASE32.finditer(data):
            text = match[0].upper()
            found.add(b32decode(text + b"=" * (-len(text) % 8))[:KEY_BYTES]) if len(text) % 8 in (
                0,
                2,
                4,
                5,
                7,
            ) else None
        found.update(b64decode(match[0] + b"=")[:KEY_BYTES] for match in BASE64.finditer(data))
        found.update(bytes.fromhex(match[0].decode()) for match in HEX.finditer(data))
    return {key for key in found if len(key) == KEY_BYTES}


def _raw(data: bytes) -> Iterator[bytes]:
    for offset in (0, 4):
        part = data[offset : offset + (len(data) - offset) // 8 * 8]
        # A small number or a pointer has two equal bytes, 00 or ff, at its top; of four words in a row a key has none.
        tops = int.from_bytes(part[7::8].translate(UNUSUAL)) | int.from_bytes(part[6::8].translate(UNUSUAL))
        for match in FOUR.finditer(tops.to_bytes(len(part) // 8)):
            key = part[8 * match.start() : 8 * match.start() + KEY_BYTES]
            if not key.isascii() and len(set(key)) >= FEWEST_KINDS:
                yield key


def key_that_links(keys: Iterable[bytes], address: bytes, pseudonyms: set[bytes]) -> str:
    """How a pseudonym of ``address`` was made from one of ``keys``; empty where none does."""
    for key in keys:
        if blake2s(address, key=key).digest()[:8] in pseudonyms:
            return "a day's key"
        for step in range(STEPS):
            day_key = blake2s(key=key, person=b"ivz-day").digest()
            if blake2s(address, key=day_key).digest()[:8] in pseudonyms:
                return f"the chain, {step} days before"
            key = blake2s(key=key, person=b"ivz-next").digest()
    return ""


def objects_that_link(memory: Image, pairs: dict[bytes, bytes]) -> list[bytes]:
    """The addresses of ``pairs`` (address -> pseudonym) for which one object points at both, or both lie side by side."""
    places = {word: sorted(memory.places(word)) for word in {*pairs, *pairs.values()}}
    pointers = {
        word: [at for held in memory.objects(word) for at in memory.places(held.to_bytes(8, "little")) if at % 8 == 0]
        for word in places
    }
    return [
        address
        for address, pseudonym in pairs.items()
        if _are_near(pointers[address], pointers[pseudonym]) or _are_near(places[address], places[pseudonym])
    ]


def _are_near(some: list[int], others: list[int]) -> bool:
    others = sorted(others)
    for place in some:
        at = bisect_right(others, place)
        if any(abs(other - place) <= NEAR_BYTES for other in others[max(0, at - 1) : at + 1]):
            return True
    return False
