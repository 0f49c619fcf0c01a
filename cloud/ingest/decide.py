"""What to answer to a batch (core). Source: agent/wire/SPEC.md, sections 6 and 7."""

from __future__ import annotations

from dataclasses import dataclass

from agent.wire.errors import MessageTooLarge, WireError
from agent.wire.limits import MAX_CLOCK_AHEAD_S, MAX_CLOCK_BEHIND_S
from agent.wire.model import ClockState, Header, LegalMode
from cloud.domain.retention import FORMER_KEY_MS

REQUEST_CLOCK_S = 300
"""How far the time of a signed request may lie from the cloud's."""
ALLOWED_MODES = {
    "count": frozenset({LegalMode.COUNT}),
    "day": frozenset({LegalMode.COUNT, LegalMode.DAY}),
    "consent": frozenset({LegalMode.COUNT, LegalMode.DAY, LegalMode.CONSENT}),
}
"""Legal mode of a site -> modes of batches that it takes."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A status code, and one line that says what, got, allowed."""

    status: int
    reason: str


def reject_message(error: WireError) -> Rejected:
    """The answer to a message that cannot be opened."""
    return Rejected(413 if isinstance(error, MessageTooLarge) else 400, str(error))


def decide_header(
    header: Header, *, agent: str, site: str, legal_mode: str, allows_replay: bool, now_ms: int
) -> Rejected | None:
    """None for a batch that may be stored. ``agent`` signed it; ``site``, ``legal_mode`` and ``allows_replay`` are its site's."""
    if header.agent != agent:
        return Rejected(400, "the batch names another agent than the one that signed it")
    if header.site != site:
        return Rejected(
            422, f"the batch is of site {header.site!r}, this agent belongs to {site!r}; enrol the agent again"
        )
    if header.mode not in ALLOWED_MODES[legal_mode]:
        return Rejected(
            422,
            f"the batch is of mode '{header.mode.name.lower()}', the site's legal mode is '{legal_mode}'; set privacy.mode",
        )
    if header.clock is ClockState.REPLAY:
        return (
            None
            if allows_replay
            else Rejected(422, f"site {site!r} takes no replays; add a site with --allow-replay for them")
        )
    ahead_s = (header.window_end_ms - now_ms) / 1000
    if ahead_s > MAX_CLOCK_AHEAD_S:
        return Rejected(
            422, f"the window ends {ahead_s:.0f} s in the future, at most {MAX_CLOCK_AHEAD_S} s; set the agent's clock"
        )
    if -ahead_s > MAX_CLOCK_BEHIND_S:
        return Rejected(
            422, f"the window ended {-ahead_s:.0f} s ago, at most {MAX_CLOCK_BEHIND_S} s; set the agent's clock"
        )
    return None


def decide_key_change(
    *, current: bytes, former: bytes | None, rekeyed_ms: int, old: bytes, new: bytes, asked_s: int, now_ms: int
) -> Rejected | None:
    """None where ``new`` may take the place of ``old``, or has taken it and the answer was lost. Both signatures are checked elsewhere.

    A second change within the overlap would orphan what waits in the spool under the first key.
    """
    if abs(asked_s - now_ms / 1000) > REQUEST_CLOCK_S:
        return Rejected(
            401, f"the change is dated {asked_s}, more than {REQUEST_CLOCK_S} s from now; set the agent's clock"
        )
    if new == current and old == former:
        return None
    if old != current:
        return Rejected(401, "the old key is not this agent's key; enrol the agent again")
    if new in (current, former):
        return Rejected(400, "the new key was in use before; make another")
    if former is not None and now_ms - rekeyed_ms < FORMER_KEY_MS:
        days = (rekeyed_ms + FORMER_KEY_MS - now_ms) / 86_400_000
        return Rejected(
            409,
            f"the key before this one is still taken for {days:.1f} days; change it then, or revoke the agent and enrol it again",
        )
    return None
