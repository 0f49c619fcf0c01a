"""What could be known at best of identical phones: an oracle that is told the truth about their levels.

For every identical phone of a crowd it knows the median and spread of its strongest level on each radio, and how many bursts it sends, and
gives each burst to the likeliest of them; of all other phones it knows everything. What it confuses, no reader of levels can tell apart.
It knows no clock and no counter, so a phone that keeps either can be told apart all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log
from statistics import median, pstdev

from agent.tracking.bursts import Burst
from benchmarks.accuracy.crowds import Crowd
from benchmarks.accuracy.scores import Score
from benchmarks.accuracy.ways import Result, bursts_of, score

LEAST_SPREAD_DB = 1.0
STRAY_COST = 12.0
"""At most this for a level far off, or on a radio that hardly hears the phone."""
Levels = Mapping[int, tuple[float, float]]
"""Radio -> median and standard deviation in dB."""


def model_of(crowd: Crowd) -> str:
    """The model most of the crowd's phones are of."""
    return Counter(member.split()[0] for member in crowd.members).most_common(1)[0][0]


def knows_the_levels(crowd: Crowd) -> Score:
    """The crowd as the oracle divides it."""
    bursts, _ = bursts_of(crowd, lambda _: None)
    truth = {id(burst): (burst, device) for burst, (_, _, device) in zip(bursts, crowd.frames, strict=True)}
    of_device: dict[int, list[Burst]] = {}
    for burst, device in truth.values():
        of_device.setdefault(device, []).append(burst)
    model = model_of(crowd)
    alike = {device: own for device, own in of_device.items() if crowd.members[device].split()[0] == model}
    levels = {device: _levels(own) for device, own in alike.items()}
    found = {
        key: max(alike, key=lambda one: log(len(alike[one])) + _fit(levels[one], burst)) if device in alike else device
        for key, (burst, device) in truth.items()
    }
    groups = [found[id(burst)] for burst in bursts]
    return score(crowd, Result(list(groups), float(len(set(groups)))))


def _levels(bursts: Sequence[Burst]) -> Levels:
    heard: dict[int, list[int]] = {}
    for burst in bursts:
        for channel, level in burst.strongest().items():
            heard.setdefault(channel, []).append(level)
    return {channel: (median(found), max(LEAST_SPREAD_DB, pstdev(found))) for channel, found in heard.items()}


def _fit(levels: Levels, burst: Burst) -> float:
    """Log likelihood of a burst's levels, but for a constant."""
    fit = 0.0
    for channel, level in burst.strongest().items():
        typical, spread = levels.get(channel, (-1000.0, LEAST_SPREAD_DB))
        fit -= log(spread) + min(STRAY_COST, ((level - typical) / spread) ** 2 / 2.0)
    return fit
