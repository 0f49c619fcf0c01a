"""What could be known at best of identical phones: an oracle that is told the truth about their levels.

For every identical phone of a crowd it knows the median and spread of its strongest level on each path, and how many bursts it sends, and
gives each burst to the likeliest of them; of all other phones it knows everything. A path is the channel that a radio listened on and the
channel that the phone says it sent on (DS Parameter Set, IEEE 802.11-2020 9.4.2.4): frames leak into neighbouring channels, each by
its own number of decibels. What it confuses, levels of single bursts hardly part. It knows no clock and no counter, so a phone that
keeps either can be told apart all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log
from statistics import median, pstdev

from agent.dot11.elements import split_elements
from agent.dot11.probe_request import ProbeRequest
from agent.tracking.fingerprint import DS_PARAMETER
from benchmarks.accuracy.crowds import Crowd
from benchmarks.accuracy.scores import Score
from benchmarks.accuracy.ways import Result, bursts_of, score

LEAST_SPREAD_DB = 1.0
USUAL_SPREAD_DB = 1.5
FEWEST_FOR_SPREAD = 4
"""Levels from which on a path has a spread of its own, and not the usual one."""
STRAY_COST = 8.0
"""At most this for a level far off; half of it for a path on which the phone was not heard otherwise."""
RadioPath = tuple[int | None, int | None]
"""The channel heard on, and the channel sent on, None where the frame does not say."""
Levels = Mapping[RadioPath, tuple[float, float]]
"""RadioPath -> median and standard deviation in dB."""


def model_of(crowd: Crowd) -> str:
    """The model most of the crowd's phones are of."""
    return Counter(member.split()[0] for member in crowd.members).most_common(1)[0][0]


def knows_the_levels(crowd: Crowd) -> Score:
    """The crowd as the oracle divides it."""
    bursts, _ = bursts_of(crowd, lambda _: None)
    owner: dict[int, int] = {}
    strongest: dict[int, dict[RadioPath, int]] = {}
    for burst, (_, request, device) in zip(bursts, crowd.frames, strict=True):
        owner[id(burst)] = device
        own = strongest.setdefault(id(burst), {})
        if request.rssi_dbm is not None:
            path = request.channel, _sent_on(request)
            own[path] = max(request.rssi_dbm, own.get(path, -256))
    model = model_of(crowd)
    bursts_sent = Counter(owner.values())
    alike = [device for device in bursts_sent if crowd.members[device].split()[0] == model]
    levels = {device: _levels([strongest[key] for key, its in owner.items() if its == device]) for device in alike}
    found = {
        key: max(alike, key=lambda one: log(bursts_sent[one]) + _fit(levels[one], strongest[key]))
        if device in levels
        else device
        for key, device in owner.items()
    }
    groups = [found[id(burst)] for burst in bursts]
    return score(crowd, Result(list(groups), float(len(set(groups)))))


def _sent_on(request: ProbeRequest) -> int | None:
    for number, content in split_elements(request.elements or b""):
        if number == DS_PARAMETER and content:
            return content[0]
    return None


def _levels(bursts: Sequence[Mapping[RadioPath, int]]) -> Levels:
    heard: dict[RadioPath, list[int]] = {}
    for strongest in bursts:
        for path, level in strongest.items():
            heard.setdefault(path, []).append(level)
    return {path: (median(found), _spread(found)) for path, found in heard.items()}


def _spread(levels: Sequence[int]) -> float:
    return USUAL_SPREAD_DB if len(levels) < FEWEST_FOR_SPREAD else max(LEAST_SPREAD_DB, pstdev(levels))


def _fit(levels: Levels, strongest: Mapping[RadioPath, int]) -> float:
    """Log likelihood of a burst's levels, but for a constant."""
    fit = 0.0
    for path, level in strongest.items():
        if path not in levels:
            fit -= STRAY_COST / 2.0
            continue
        typical, spread = levels[path]
        fit -= log(spread) + min(STRAY_COST, ((level - typical) / spread) ** 2 / 2.0)
    return fit
