"""What the cloud's answer to a batch means (core). Source: agent/wire/SPEC.md, section 7."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_RETRY_AFTER_S = 3600.0


class Verdict(Enum):
    """What to do with the batch."""

    ACKNOWLEDGED = "acknowledged"
    """Stored, now or earlier: forget it."""
    DEFERRED = "deferred"
    """Keep it and ask again; the batches behind it wait, so that their order holds."""
    REFUSED = "refused"
    """The cloud will never take this one: set it aside and go on."""
    LOCKED_OUT = "locked_out"
    """The cloud does not know us, or no longer: keep everything, ask rarely, tell somebody."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decided answer. ``retry_after_s`` is the cloud's own wish, None where it has none."""

    verdict: Verdict
    retry_after_s: float | None = None


def decide(status: int, retry_after: str | None) -> Answer:
    """Read a status code and a Retry-After header (seconds; a date counts as absent)."""
    if status in (200, 202):
        return Answer(Verdict.ACKNOWLEDGED)
    if status in (400, 413, 415, 422):
        return Answer(Verdict.REFUSED)
    if status in (401, 403):
        return Answer(Verdict.LOCKED_OUT)
    # 408, 429, 5xx, and anything that SPEC.md does not name: a proxy's page is no reason to lose a batch.
    wish = None
    if retry_after is not None and retry_after.strip().isdecimal():
        wish = min(float(retry_after), MAX_RETRY_AFTER_S)
    return Answer(Verdict.DEFERRED, wish)
