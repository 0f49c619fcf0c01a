"""Receipts of deletion: a chain of signed lines that an auditor can check without us (core; imports nothing of ours).

One line is one JSON object, keys sorted, no blanks, ASCII: {"receipt": {...}, "signature": "BASE64"}. The receipt holds

    number    1, 2, 3 ... without a gap          at_ms    when, epoch ms
    previous  SHA-256 of the line before, hexadecimal; 64 zeros in the first
    by        who erased: an access point's name, or "cloud"
    key       whose signature this is: Ed25519, 32 bytes, base64 (RFC 8032)
    what      what was erased, a word            about    site, date, counts; never an address, a pseudonym or a key

and the signature is over the receipt's own canonical JSON. A receipt proves that whoever holds the key said, at that place of the chain,
that this was erased, and that no line before it was altered, removed or put elsewhere since. It does not prove that no copy exists, nor
that the clock was right; and lines cut off at the end are missed only where the auditor kept an earlier end ("head").
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

FIRST_PREVIOUS = "0" * 64
FIELDS = frozenset({"number", "at_ms", "previous", "by", "key", "what", "about"})
MAX_LINE_BYTES = 16_384
KEY_BYTES = 32
LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""
HAND_OVER_MS = 24 * 3_600_000
"""How long after a hand-over a former key may still sign beside the next: processes take the next one up one after the other."""


class ReceiptError(Exception):
    """The chain does not hold; the message says where and how."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: how many receipts, and the hash of the last line."""

    number: int = 0
    line_hash: str = FIRST_PREVIOUS

    @classmethod
    def of(cls, line: str) -> Head:
        """The chain that ends with ``line``."""
        return cls(json.loads(line)["receipt"]["number"], line_hash(line))


def canonical(value: Any) -> str:
    """The one way in which a value is written."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def line_hash(line: str) -> str:
    """SHA-256 of a line without its end, hexadecimal: `printf %s "$line" | sha256sum` gives the same."""
    return hashlib.sha256(line.strip().encode()).hexdigest()


def make_receipt(
    head: Head, *, at_ms: int, by: str, key: bytes, what: str, about: dict[str, Any], sign: Callable[[bytes], bytes]
) -> str:
    """The next line. ``key`` is the public key (32 bytes), ``sign`` gives the Ed25519 signature (64 bytes) of its argument."""
    receipt = {
        "number": head.number + 1,
        "at_ms": at_ms,
        "previous": head.line_hash,
        "by": by,
        "key": b64encode(key).decode(),
        "what": what,
        "about": about,
    }
    signature = sign(canonical(receipt).encode())
    return canonical({"receipt": receipt, "signature": b64encode(signature).decode()})


def verify_chain(
    lines: Iterable[str], verify: Callable[[bytes, bytes, bytes], bool], *, trusted: frozenset[bytes] = frozenset()
) -> list[dict[str, Any]]:
    """Check a chain from its first line; gives the receipts. ``verify(key, signature, signed)`` checks an Ed25519 signature.

    ``trusted``: the keys that may have signed; where none is named, the first line's key and whatever keys it hands over to
    (a receipt "key_changed" names the next one). Once that one has signed a receipt a day later, the keys before it are out: whoever stole
    one cannot go on with it. Raises ReceiptError with the first thing that does not hold.
    """
    head, found = Head(), []
    keys, handed_over = set(trusted), dict[bytes, int]()
    for place, line in enumerate((line for line in lines if line.strip()), 1):
        receipt, signature = _parts(line, place)
        key = _bytes(receipt["key"], place)
        if not keys:
            keys = {key}
        if receipt["number"] != place:
            raise ReceiptError(
                f"line {place} bears number {receipt['number']!r}: a receipt was removed or put elsewhere"
            )
        if receipt["previous"] != head.line_hash:
            raise ReceiptError(
                f"receipt {place} does not follow the line before it: one of them was altered or removed"
            )
        if key not in keys:
            raise ReceiptError(f"receipt {place} is signed by a key that is not trusted; it may be forged")
        if not verify(key, signature, canonical(receipt).encode()):
            raise ReceiptError(f"receipt {place} does not bear the signature of its key: it was altered or forged")
        if receipt["at_ms"] > handed_over.get(key, LAST_MS) + HAND_OVER_MS:
            keys, handed_over = {key}, {}
        if receipt["what"] == "key_changed":
            following = _bytes(receipt["about"].get("next_key"), place)
            if len(following) != KEY_BYTES:
                raise ReceiptError(f"receipt {place} hands over to no key")
            keys.add(following)
            handed_over[following] = receipt["at_ms"]
        head = Head(place, line_hash(line))
        found.append(receipt)
    return found


def _parts(line: str, place: int) -> tuple[dict[str, Any], bytes]:
    try:
        value: Any = json.loads(line) if len(line) <= MAX_LINE_BYTES else None
        receipt = value["receipt"]
        is_whole = (
            set(value) == {"receipt", "signature"}
            and set(receipt) == FIELDS
            and isinstance(receipt["about"], dict)
            and all(type(receipt[name]) is int and 0 <= receipt[name] <= LAST_MS for name in ("number", "at_ms"))
            and all(isinstance(receipt[name], str) and receipt[name].isprintable() for name in ("by", "what"))
        )
        if not is_whole or canonical(value) != line.strip():
            raise ReceiptError(f"line {place} is no receipt as agent/wire/receipts.py writes it")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReceiptError(f"line {place} is no receipt as agent/wire/receipts.py writes it") from error
    return receipt, _bytes(value["signature"], place)


def _bytes(text: object, place: int) -> bytes:
    try:
        return b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError as error:
        raise ReceiptError(f"receipt {place} holds a key or signature that is no base64") from error
