"""The one-way ratchet that makes each day's key and forgets the last one's (core). Source: RFC 7693 (BLAKE2s, keyed, personalised).

    chain(day + 1) = BLAKE2s(key = chain(day), person = "ivz-next")
    key(day)       = BLAKE2s(key = chain(day), person = "ivz-day")
    replays        = BLAKE2s(key = chain(day), person = "ivz-rply"): a replay never yields a live pseudonym

Whoever takes the access point finds the chain of today: from it tomorrow follows, yesterday does not. Access points that
were given the same site key on any day agree on every day after, without asking anybody.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from dataclasses import dataclass
from hashlib import blake2s

from agent.privacy.errors import KeyErased, SiteKeyMalformed

KEY_BYTES = 32
CHECK_BYTES = 2
TEXT_PREFIX = "ivz1"
FURTHEST_DAYS = 20_000
"""No clock is wrong by more than 50 years, and stepping further would take seconds on an access point."""


@dataclass(frozen=True, slots=True)
class SiteKey:
    """The chain's state as it is kept and exported: it makes the keys of ``day`` and of every day after. Never logged or sent."""

    day: int
    """Days since 1970-01-01."""
    chain: bytes
    """32 bytes."""

    def __repr__(self) -> str:
        return f"SiteKey(day={self.day})"  # a key must not reach a traceback

    def to_text(self) -> str:
        """For paper and copy-and-paste: ``ivz1-<day>-<base32>``, with a check sum."""
        check = blake2s(self.chain, digest_size=CHECK_BYTES, person=b"ivz-chk").digest()
        return f"{TEXT_PREFIX}-{self.day}-{b32encode(self.chain + check).decode().rstrip('=')}"

    @classmethod
    def from_text(cls, text: str) -> SiteKey:
        """Read ``to_text`` again; case and spaces do not matter. Raises SiteKeyMalformed (the message holds no part of the key)."""
        parts = "".join(text.split()).split("-")
        shape = f"a site key reads {TEXT_PREFIX}-DAY-LETTERS"
        if len(parts) != 3 or parts[0].lower() != TEXT_PREFIX or not parts[1].isdecimal():
            raise SiteKeyMalformed(
                f"{shape}; this text does not begin so. Export it again with: ivizone-agent site-key export"
            )
        try:
            packed = b32decode(parts[2].upper() + "=" * (-len(parts[2]) % 8))
        except Base32Error as error:
            raise SiteKeyMalformed(f"{shape}; its letters are A-Z and 2-7. Copy it again, whole") from error
        chain, check = packed[:KEY_BYTES], packed[KEY_BYTES:]
        if len(chain) != KEY_BYTES or blake2s(chain, digest_size=CHECK_BYTES, person=b"ivz-chk").digest() != check:
            raise SiteKeyMalformed(
                f"{shape}; the check sum does not fit, so a letter is wrong or missing. Copy it again, whole"
            )
        return cls(int(parts[1]), chain)


class DayRatchet:
    """Walks a chain forward, day by day, and erases what it leaves behind."""

    def __init__(self, site_key: SiteKey) -> None:
        self.day = site_key.day
        self._chain = bytearray(site_key.chain)

    def key_of(self, day: int) -> bytes:
        """The 32-byte key of ``day``, after stepping the chain to it. Raises KeyErased for a day before the chain's."""
        if day < self.day:
            raise KeyErased(f"the key of day {day} is erased; the oldest there is belongs to day {self.day}")
        if day - self.day > FURTHEST_DAYS:
            raise KeyErased(
                f"day {day} is {day - self.day} days ahead of the key, at most {FURTHEST_DAYS} are stepped; set the clock or make a new site key"
            )
        while self.day < day:
            following = blake2s(key=self._chain, person=b"ivz-next").digest()
            self._chain[:] = bytes(KEY_BYTES)  # in place: no old link stays behind in memory
            self._chain[:] = following
            self.day += 1
        return blake2s(key=self._chain, person=b"ivz-day").digest()

    def state(self) -> SiteKey:
        """What must be kept to go on after a restart."""
        return SiteKey(self.day, bytes(self._chain))

    def forget(self) -> None:
        """Erase the chain itself; nothing is to be asked of it any more."""
        self._chain[:] = bytes(KEY_BYTES)


def replay_ratchet(site_key: SiteKey, first_day: int) -> DayRatchet:
    """A chain of its own for a replay that begins on ``first_day``: it depends on the site key and on no clock."""
    chain = blake2s(first_day.to_bytes(8, "big", signed=True), key=site_key.chain, person=b"ivz-rply").digest()
    return DayRatchet(SiteKey(first_day, chain))
