"""What goes wrong in one schedule, drawn from its seed and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from faults.network import KINDS

AGENT_CALLS, CLOUD_CALLS = 110, 900
"""About how many calls change the disk in a life that nothing disturbs: a kill is drawn among them."""
STORIES = (
    "agent_killed",
    "agent_loses_power",
    "cloud_killed",
    "cloud_loses_power",
    "line",
    "agent_disk",
    "cloud_disk",
    "outage",
    "flipped",
    "memory",
    "clock",
    "evicted",
    "everything",
)
"""One for each seed, in turn."""


@dataclass(frozen=True)
class Life:
    """One process. ``kill_at``: the call below its folder at which it dies; ``disk_fault``: (kind, first call, call behind the last)."""

    kill_at: int | None = None
    phase: str = "before"
    loses_power: bool = False
    disk_fault: tuple[str, int, int] | None = None
    memory_mib: int | None = None


CALM = Life()


@dataclass(frozen=True)
class Plan:
    """A schedule. The last agent and the last cloud are never disturbed: what can be mended must then be mended."""

    seed: int
    story: str
    agents: tuple[Life, ...] = (CALM,)
    clouds: tuple[Life, ...] = (CALM,)
    is_live: bool = False
    """Each of the agent's lives hears the next part of the day; otherwise each plays the whole capture again."""
    line_share: float = 0.0
    line_most: int = 0
    line_kinds: tuple[str, ...] = KINDS
    starts_cloud_late: bool = False
    """There is no cloud until the agent's last life begins."""
    flips: int = 0
    spool_bytes: int = 10_000_000
    ram_bytes: int = 0
    flash_after_s: float = 0.0
    jumps: tuple[tuple[int, int], ...] = ()
    """(percent of the frames, seconds by which the clock is set)."""
    pace_s: float = 0.0
    gather_s: float = 1.0
    """How long the cloud waits for more before it computes."""
    notes: dict[str, Any] = field(default_factory=dict, compare=False)


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    chance = Random(f"ivizone-faults/{seed}")
    story = STORIES[seed % len(STORIES)]
    plan = globals()[f"_{story}"](seed, story, chance)
    return replace(plan, gather_s=0.05) if chance.random() < 0.2 else plan


def _deaths(chance: Random, calls: int, most: int, *, power: bool) -> tuple[Life, ...]:
    """One to ``most`` lives that end at a call, then one that does not."""
    lives = [
        Life(chance.randrange(calls), chance.choice(("before", "half", "after")), loses_power=power)
        for _ in range(chance.randint(1, most))
    ]
    return (*lives, CALM)


def _agent_killed(seed: int, story: str, chance: Random) -> Plan:
    return Plan(seed, story, _deaths(chance, AGENT_CALLS, 3, power=False), is_live=chance.random() < 0.4)


def _agent_loses_power(seed: int, story: str, chance: Random) -> Plan:
    tiers = {"ram_bytes": 20_000, "flash_after_s": chance.choice((0.0, 0.05, 3600.0))} if chance.random() < 0.4 else {}
    lives, is_live = _deaths(chance, AGENT_CALLS, 2, power=True), chance.random() < 0.5
    return Plan(seed, story, lives, is_live=is_live, starts_cloud_late=chance.random() < 0.5, **tiers)


def _cloud_killed(seed: int, story: str, chance: Random) -> Plan:
    return Plan(seed, story, clouds=_deaths(chance, CLOUD_CALLS // 2, 2, power=False))


def _cloud_loses_power(seed: int, story: str, chance: Random) -> Plan:
    return Plan(seed, story, clouds=_deaths(chance, CLOUD_CALLS // 2, 2, power=True))


def _line(seed: int, story: str, chance: Random) -> Plan:
    kinds = KINDS if chance.random() < 0.5 else tuple(chance.sample(KINDS, 3))
    return Plan(
        seed, story, line_share=chance.uniform(0.2, 0.8), line_most=chance.randint(5, 25), line_kinds=kinds,
        is_live=chance.random() < 0.3,
    )  # fmt: skip


def _disk_faults(chance: Random, calls: int) -> tuple[Life, ...]:
    begin = chance.randrange(calls)
    kind = chance.choice(("full", "full", "read_only", "broken"))
    return (Life(disk_fault=(kind, begin, begin + chance.choice((1, 3, 20, 100)))), CALM)


def _agent_disk(seed: int, story: str, chance: Random) -> Plan:
    return Plan(seed, story, _disk_faults(chance, AGENT_CALLS), is_live=chance.random() < 0.5)


def _cloud_disk(seed: int, story: str, chance: Random) -> Plan:
    return Plan(seed, story, clouds=_disk_faults(chance, CLOUD_CALLS // 2))


def _outage(seed: int, story: str, chance: Random) -> Plan:
    """The whole day passes without a cloud."""
    tiers = {"ram_bytes": 3_000, "flash_after_s": 0.02} if chance.random() < 0.5 else {}
    return Plan(seed, story, (CALM, CALM), is_live=chance.random() < 0.5, starts_cloud_late=True, **tiers)


def _flipped(seed: int, story: str, chance: Random) -> Plan:
    is_live = chance.random() < 0.6
    return Plan(seed, story, (CALM, CALM), is_live=is_live, starts_cloud_late=True, flips=chance.randint(1, 4))


def _memory(seed: int, story: str, chance: Random) -> Plan:
    tight = Life(memory_mib=chance.choice((0, 1, 2, 4, 8, 16, 64)))
    if chance.random() < 0.5:
        return Plan(seed, story, (tight, CALM))
    tight = Life(memory_mib=chance.choice((60, 80, 100, 150, 200, 300, 500)))
    return Plan(seed, story, clouds=(tight, CALM))


def _clock(seed: int, story: str, chance: Random) -> Plan:
    places = sorted(chance.sample(range(3, 97), chance.randint(1, 4)))
    steps = (-7200, -600, -90, -20, 20, 90, 600, 7200, 86_400 * 2, 86_400 * 30, -86_400 * 2)
    return Plan(seed, story, (CALM, CALM), is_live=True, jumps=tuple((at, chance.choice(steps)) for at in places))


def _evicted(seed: int, story: str, chance: Random) -> Plan:
    """A spool with room for a few batches only, and a cloud that comes late."""
    lives = chance.choice(((CALM, CALM), _deaths(chance, AGENT_CALLS, 2, power=chance.random() < 0.5)))
    return Plan(seed, story, lives, is_live=True, starts_cloud_late=True, spool_bytes=chance.choice((2500, 5000, 9000)))


def _everything(seed: int, story: str, chance: Random) -> Plan:
    agents = (*_deaths(chance, AGENT_CALLS, 2, power=chance.random() < 0.5)[:-1], *_disk_faults(chance, AGENT_CALLS))
    clouds = _deaths(chance, CLOUD_CALLS // 2, 2, power=chance.random() < 0.5)
    return Plan(
        seed, story, agents, clouds, is_live=chance.random() < 0.5, line_share=0.3, line_most=15, flips=chance.randint(0, 2)
    )  # fmt: skip
