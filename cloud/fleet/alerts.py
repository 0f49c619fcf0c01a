"""What somebody should look at (core): access points that are silent, hear little, lose frames, or do not know the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SILENT_MS = 15 * 60_000
NEVER_MS = 60 * 60_000
LOW_COVERAGE = 0.8
YOUNG_DAY_MS = 60 * 60_000
"""Of a day that has only begun nobody can say that little was heard."""
DROPS_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing. ``kind`` names its text, ``values`` fill it."""

    kind: str
    agent: str
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class AgentDay:
    """What is known of an access point today. Times in epoch ms; ``ledger`` is its row of today, None where there is none."""

    agent: str
    created_ms: int
    last_received_ms: int | None
    clock: str | None
    is_new: bool
    ledger: Mapping[str, Any] | None
    begun_ms: int
    """When the day began, or the access point came into being, whichever was later."""


def coverage_of(day: AgentDay, now_ms: int) -> float | None:
    """Share of the day so far that the access point listened; None where nothing is known of it."""
    elapsed_ms = now_ms - day.begun_ms
    if day.ledger is None or elapsed_ms <= 0:
        return None
    return min(1.0, float(day.ledger["listening_ms"]) / elapsed_ms)


def alerts_of(day: AgentDay, now_ms: int) -> list[Alert]:
    """What to look at, the most urgent first."""
    if day.last_received_ms is None:
        is_late = now_ms - day.created_ms > NEVER_MS
        return [Alert("never", day.agent, {"elapsed_ms": now_ms - day.created_ms})] if is_late else []
    found = []
    silent_ms = now_ms - day.last_received_ms
    if silent_ms > SILENT_MS:
        found.append(Alert("silent", day.agent, {"elapsed_ms": silent_ms}))
    coverage = coverage_of(day, now_ms)
    if coverage is not None and coverage < LOW_COVERAGE and now_ms - day.begun_ms >= YOUNG_DAY_MS:
        found.append(Alert("coverage", day.agent, {"share": coverage}))
    if day.clock not in (None, "synced"):
        found.append(Alert("clock", day.agent, {}))
    if day.ledger is not None:
        found += _losses(day.agent, day.ledger)
    return found


def _losses(agent: str, ledger: Mapping[str, Any]) -> list[Alert]:
    found = []
    if ledger["evicted_batches"]:
        found.append(Alert("evicted", agent, {"count": ledger["evicted_batches"]}))
    frames = ledger["frames"] + ledger["kernel_drops"]
    if frames and ledger["kernel_drops"] / frames > DROPS_SHARE:
        found.append(Alert("drops", agent, {"share": ledger["kernel_drops"] / frames}))
    return found
