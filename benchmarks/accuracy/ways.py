"""Ways of joining and counting on the same crowds: ours, and those it is compared with.

Each takes a crowd and gives a ``Result``: a group for every frame, a count, and an interval where the way states one. The
others are kept as small as the comparison needs; none of them is in the product.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from agent.tracking.bursts import Burst
from agent.tracking.estimate import DeviceEstimate
from agent.tracking.fingerprint import Fingerprints
from agent.tracking.resolver import Resolver
from agent.tracking.tracker import Tracker, TrackingSettings
from benchmarks.accuracy.crowds import SECOND_US, Crowd
from benchmarks.accuracy.scores import Score, agreement

DBSCAN_EPSILON_DB = 2.0
DBSCAN_NEIGHBOURS = 2


@dataclass(frozen=True)
class Result:
    """Group of each frame, in order, and the count."""

    groups: list[Hashable]
    devices: float
    low: float | None = None
    high: float | None = None


def every_address(crowd: Crowd) -> Result:
    """Each address is a device: what a naive counter says."""
    return _groups([request.address for _, request, _ in crowd.frames])


def exact_fingerprint(crowd: Crowd) -> Result:
    """Each list of elements, byte for byte but for the network asked for, is a device."""
    return _groups([_without_ssid(request.elements or b"") for _, request, _ in crowd.frames])


def _without_ssid(elements: bytes) -> bytes:
    return elements[2 + elements[1] :] if elements[:1] == b"\0" and len(elements) > 1 else elements


def stable_fingerprint(crowd: Crowd) -> Result:
    """Each stable fingerprint is a device, and those sent under one address are one."""
    known = Fingerprints(10_000)
    parent: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    marks = []
    of_address: dict[bytes, Hashable] = {}
    for _, request, _ in crowd.frames:
        fingerprint = known.of(request.elements)
        mark: Hashable = fingerprint.kind if fingerprint else request.address
        first = root(of_address.setdefault(request.address, mark))
        if root(mark) != first:
            parent[root(mark)] = first
        marks.append(mark)
    return _groups([root(mark) for mark in marks])


def _groups(groups: list[Hashable]) -> Result:
    return Result(groups, float(len(set(groups))))


def cost_matching(crowd: Crowd) -> Result:
    """The live tracker: each burst joins the cheapest track, or none, as time goes on."""
    bursts, tracker = bursts_of(crowd, lambda _: None)
    estimate = tracker.estimate()
    return _result([burst.track.number for burst in bursts], estimate)


def evidence_of_devices(crowd: Crowd) -> Result:
    """The resolver: habits learned from the air without labels, best pairs joined first, sizes of families by their posterior."""
    resolver = Resolver()
    bursts, _ = bursts_of(crowd, resolver.take)
    estimate = resolver.resolve()
    return _result([burst.device() for burst in bursts], estimate)


def density_clusters(crowd: Crowd) -> Result:
    """DBSCAN of bursts by stable fingerprint and strongest level, as published trackers do; noise is a device of its own."""
    bursts, _ = bursts_of(crowd, lambda _: None)
    of_kind: dict[int, list[Burst]] = {}
    for burst in {id(burst): burst for burst in bursts}.values():
        of_kind.setdefault(burst.fingerprint, []).append(burst)
    clusters: dict[int, Hashable] = {}
    for kind, members in of_kind.items():
        for n, label in enumerate(_dbscan([burst.strongest() for burst in members])):
            clusters[id(members[n])] = (kind, label)
    return _groups([clusters[id(burst)] for burst in bursts])


def _dbscan(points: list[dict[int, int]]) -> list[int]:
    labels = [-1] * len(points)
    next_label = 0
    for start in range(len(points)):
        if labels[start] >= 0:
            continue
        labels[start] = next_label
        frontier = [start]
        while frontier:
            point = frontier.pop()
            near = [n for n in range(len(points)) if _db_apart(points[point], points[n]) <= DBSCAN_EPSILON_DB]
            if len(near) >= DBSCAN_NEIGHBOURS:
                fresh = [n for n in near if labels[n] < 0]
                for n in fresh:
                    labels[n] = next_label
                frontier += fresh
        next_label += 1
    return labels


def _db_apart(one: dict[int, int], other: dict[int, int]) -> float:
    apart = [abs(level - other[channel]) for channel, level in one.items() if channel in other]
    return max(apart, default=99)


def bursts_of(crowd: Crowd, take: Callable[[Iterable[Burst]], None]) -> tuple[list[Burst], Tracker]:
    """The burst of each frame, in order; ``take`` is given the decided ones as they come."""
    tracker = Tracker(TrackingSettings())
    bursts = []
    next_us = 0
    for time_us, request, _ in crowd.frames:
        if time_us >= next_us:
            take(tracker.advance(time_us))
            next_us = time_us + SECOND_US
        bursts.append(tracker.observe(request, time_us))
    take(tracker.flush())
    return bursts, tracker


def _result(groups: list[Hashable], estimate: DeviceEstimate) -> Result:
    return Result(groups, estimate.devices, estimate.low, estimate.high)


def score(crowd: Crowd, result: Result) -> Score:
    """The result against the truth. An address counts once for each device that used it, by the group of its first frame."""
    pairs = [(device, group) for (_, _, device), group in zip(crowd.frames, result.groups, strict=True)]
    first: dict[tuple[int, bytes], tuple[Hashable, Hashable]] = {}
    for (_, request, device), pair in zip(crowd.frames, pairs, strict=True):
        first.setdefault((device, request.address), pair)
    return Score(crowd.devices, result.devices, result.low, result.high, agreement(pairs), agreement(first.values()))


WAYS: dict[str, Callable[[Crowd], Result]] = {
    "every address": every_address,
    "exact fingerprint": exact_fingerprint,
    "stable fingerprint, same address": stable_fingerprint,
    "density (DBSCAN on level)": density_clusters,
    "cost-based matching (live)": cost_matching,
    "evidence (count, explain)": evidence_of_devices,
}
"""Name -> way, in the order of the accuracy card."""
OURS = "evidence (count, explain)"
