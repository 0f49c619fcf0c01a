"""The token of a visitor at the portal, made on the access point so that no address leaves it (core, key file at the end).

Two tokens, both keyed hashes of the address that the phone joined with (which is not the one it scans with):

    visit     of today: before the visitor agreed to anything, so that the portal can tell two phones apart
    visitor   lasts as long as the key: only after the visitor agreed, and only it can mean "returning"

The visit token cannot be turned into the visitor token without the key. The key is made here, never leaves, is not the
site key of the sensing (so no token can be tied to a pseudonym), and is replaced when it is `life_days` old: then every
token of before is an orphan. Hash: BLAKE2s keyed, RFC 7693.
"""

from __future__ import annotations

import os
import re
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path

from firmware_hooks.errors import HookError, KeyUnusable, NotAllowed

KEY_BYTES = 32
TOKEN_BYTES = 15
"""120 bits: nobody meets another visitor's token, and the base32 text has no padding (24 letters)."""
CONSENT_MODE = "consent"
LIFE_DAYS_ALLOWED = range(1, 401)
"""13 months at most, the CNIL's limit for a consented identifier of the audience-measuring kind."""
ADDRESS = re.compile(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}")
HEADING = "ivizone-visitor-key-1"


@dataclass(frozen=True, slots=True, repr=False)
class VisitorKey:
    """A key and the day (since 1970-01-01) on which it was made."""

    made_day: int
    key: bytes

    def __repr__(self) -> str:
        return f"VisitorKey(made_day={self.made_day})"

    def is_over(self, today: int, life_days: int) -> bool:
        """True when it must be replaced. A clock before the day of making is a clock that is not set yet: no."""
        return today >= self.made_day + life_days

    def to_text(self) -> str:
        """One line for the key file."""
        return f"{HEADING} {self.made_day} {self.key.hex()}\n"


def parse_key(text: str) -> VisitorKey:
    """`to_text` back. Raises KeyUnusable, never with the text."""
    words = text.split()
    try:
        made_day, key = int(words[1]), bytes.fromhex(words[2])
    except (IndexError, ValueError) as error:
        raise KeyUnusable("the visitors' key file is damaged; remove it and a new key is made") from error
    if words[0] != HEADING or len(key) != KEY_BYTES:
        raise KeyUnusable("the visitors' key file is of another kind or version; remove it and a new key is made")
    return VisitorKey(made_day, key)


def visit_token(key: VisitorKey, address: bytes, today: int) -> str:
    """The token of today's visit, 24 letters and digits."""
    day_key = blake2s(today.to_bytes(4, "big"), key=key.key, person=b"ivz-vday").digest()
    return _token(day_key, address)


def visitor_token(key: VisitorKey, address: bytes) -> str:
    """The token of a visitor who agreed, 24 letters and digits."""
    return _token(blake2s(b"", key=key.key, person=b"ivz-vstr").digest(), address)


def _token(key: bytes, address: bytes) -> str:
    return b32encode(blake2s(address, key=key, digest_size=TOKEN_BYTES).digest()).decode().lower()


def parse_address(text: str) -> bytes:
    """Six bytes of an address as openNDS gives it. Raises HookError, never with the text."""
    if not ADDRESS.fullmatch(text.strip()):
        raise HookError("no address on standard input; give one line such as openNDS's $clientmac")
    return bytes.fromhex(re.sub("[:-]", "", text.strip()))


def check_allowed(mode: str, life_days: int) -> None:
    """Raises NotAllowed unless the legal mode is consent and the life is one that may be promised."""
    if mode != CONSENT_MODE:
        raise NotAllowed(
            f"privacy.mode is {mode!r}: visitors get tokens in mode 'consent' only; set it, or leave the portal hook out"
        )
    if life_days not in LIFE_DAYS_ALLOWED:
        last = LIFE_DAYS_ALLOWED[-1]
        raise NotAllowed(f"portal.visitor_key_days is {life_days}; use 1 to {last}")


def load_or_make(path: Path, today: int, life_days: int, random: Callable[[int], bytes] = os.urandom) -> VisitorKey:
    """The key that is valid today; a new one is written where there is none or the old one is over. Raises KeyUnusable."""
    try:
        key = parse_key(path.read_text())
        if not key.is_over(today, life_days):
            return key
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not text'}); run as root"
        ) from error
    made = VisitorKey(today, random(KEY_BYTES))
    _write_secret(path, made.to_text())
    return made


def _write_secret(path: Path, text: str) -> None:
    """Readable by its owner only, whole or not at all; writing over the old key is what ends it."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise KeyUnusable(f"{path}: cannot be written ({error.strerror}); run as root") from error
