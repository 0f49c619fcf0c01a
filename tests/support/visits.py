"""The visit rule once more, in plain Python and from its definition (docs/glossary.md): what the shared SQL must agree with.

Written to be read, not to be fast: lists and loops, one device and one preset at a time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import Any

from cloud.domain.preset import Preset

Row = dict[str, Any]


@dataclass
class Visit:
    """Sightings of one device without a long pause."""

    pseudonym: str
    first_ms: int
    last_ms: int
    inside_first_ms: int | None
    inside_last_ms: int | None
    p_inside: float
    edge_ms: int = 0
    """Half a pause between sightings, which the stay went on at both ends."""
    kind: str = ""
    p_visitor: float = 0.0

    @property
    def heard_ms(self) -> int:
        return self.last_ms - self.first_ms

    @property
    def dwell_ms(self) -> int:
        return self.heard_ms + 2 * self.edge_ms

    @property
    def is_visitor(self) -> bool:
        return self.kind in ("visitor", "engaged")


def visits_of(sightings: list[Row], preset: Preset, closed_hours: list[Row]) -> list[Visit]:
    """All visits of a day, classed."""
    once = joined({(s["agent"], s["boot"], s["batch"], s["row_no"]): s for s in sightings}.values())
    result = []
    for pseudonym in sorted({s["pseudonym"] for s in once}):
        mine = sorted((s for s in once if s["pseudonym"] == pseudonym), key=lambda s: (s["first_ms"], s["last_ms"]))
        counted = [s for s in mine if preset.heard_min_dbm is None or _level(s) >= preset.heard_min_dbm]
        visits = [_visit(pseudonym, group, preset) for group in _split(counted, preset.visit_gap_s * 1000)]
        hours = sum(
            1
            for hour in closed_hours
            if any(s["first_ms"] < hour["end_ms"] and s["last_ms"] >= hour["start_ms"] for s in mine)
        )
        is_resident = (
            sum(visit.heard_ms for visit in visits) > preset.resident_min_s * 1000
            or hours >= preset.resident_closed_hours
        )
        for visit in visits:
            visit.kind = "resident" if is_resident else _kind(visit, preset)
            long_enough = min(1.0, visit.dwell_ms / (preset.visitor_min_s * 1000)) if preset.visitor_min_s else 1.0
            visit.p_visitor = visit.p_inside * long_enough
        result += visits
    return result


HALF_MINUTE_MS = 30_000
CLOCKS_MS = 2500
Name = tuple[str, str]
"""(access point, pseudonym)"""


def joined(sightings: Iterable[Row]) -> list[Row]:
    """Each device under one name, whichever access points heard it; in each half-minute by the loudest alone."""
    rows = list(sightings)
    partner = partners_of(rows)
    named = [{**row, "pseudonym": _root((row["agent"], row["pseudonym"]), partner)[1]} for row in rows]
    loudest: dict[tuple[str, int], tuple[int, str]] = {}
    for row in named:
        key = (row["pseudonym"], row["first_ms"] // HALF_MINUTE_MS)
        loudest[key] = min(loudest.get(key, (999, "")), (-_level(row), row["agent"]))
    return [row for row in named if loudest[row["pseudonym"], row["first_ms"] // HALF_MINUTE_MS][1] == row["agent"]]


def partners_of(rows: list[Row]) -> dict[Name, Name]:
    """The device of an access point that heard more with which each shares most addresses."""
    heard = Counter(row["agent"] for row in rows)
    place = {agent: n for n, agent in enumerate(sorted(heard, key=lambda agent: (-heard[agent], agent)))}
    marks: dict[Name, set[tuple[str, int]]] = defaultdict(set)
    for row in rows:
        for time_ms in (row["first_ms"] - CLOCKS_MS, row["first_ms"] + CLOCKS_MS):
            link = row.get("link") or row["pseudonym"][:8]
            marks[row["agent"], row["pseudonym"]].add((link, time_ms // HALF_MINUTE_MS))
    partner = {}
    for name in marks:
        found = []
        for other in marks:
            shared = {link for link, _ in marks[name] & marks[other]}
            if place[other[0]] < place[name[0]] and (shared or other[1] == name[1]):
                found.append((-len(shared), place[other[0]], other[1] != name[1], other[1], other))
        if found:
            partner[name] = min(found)[-1]
    return partner


def _root(name: Name, partner: dict[Name, Name]) -> Name:
    for _ in range(3):
        name = partner.get(name, name)
    return name


def _level(sighting: Row) -> int:
    return -128 if sighting["rssi_median_dbm"] is None else sighting["rssi_median_dbm"]


def _is_inside(sighting: Row, preset: Preset) -> bool:
    if preset.rssi_min_dbm is not None:
        return _level(sighting) >= preset.rssi_min_dbm
    return (sighting["p_inside"] or 0) / 100 >= preset.p_inside_min


def _split(sightings: list[Row], gap_ms: int) -> list[list[Row]]:
    groups: list[list[Row]] = []
    until = None
    for sighting in sightings:
        if until is None or sighting["first_ms"] - until > gap_ms:
            groups.append([])
        groups[-1].append(sighting)
        until = max(sighting["last_ms"], until or 0)
    return groups


def _visit(pseudonym: str, group: list[Row], preset: Preset) -> Visit:
    inside = [s for s in group if _is_inside(s, preset)]
    known = [s["p_inside"] / 100 for s in group if s["p_inside"] is not None]
    first, last = min(s["first_ms"] for s in group), max(s["last_ms"] for s in group)
    edge = floor((last - first) / (len(group) - 1) / 2) if preset.fills_edges and len(group) > 1 else 0
    reach = edge if len(inside) > 1 else 0
    return Visit(
        pseudonym,
        first,
        last,
        min(s["first_ms"] for s in inside) - reach if inside else None,
        max(s["last_ms"] for s in inside) + reach if inside else None,
        sum(known) / len(known) if known else 0.0,
        edge,
    )


def _kind(visit: Visit, preset: Preset) -> str:
    if visit.inside_first_ms is None:
        return "passer_by"
    stayed_s = (visit.inside_last_ms - visit.inside_first_ms) / 1000
    return (
        "engaged"
        if stayed_s >= preset.engaged_min_s
        else "visitor"
        if stayed_s >= preset.visitor_min_s
        else "passer_by"
    )


# --- figures ----------------------------------------------------------------------------------------------------------


def day_of(visits: list[Visit]) -> Row:
    """The row of ``day``."""
    counted = [visit for visit in visits if visit.kind != "resident"]
    return {
        "visits": len(counted),
        "visitors": sum(visit.is_visitor for visit in counted),
        "passers_by": sum(not visit.is_visitor for visit in counted),
        "engaged": sum(visit.kind == "engaged" for visit in counted),
        "bounced": sum(not visit.is_visitor and visit.inside_first_ms is not None for visit in counted),
        "residents": len({visit.pseudonym for visit in visits if visit.kind == "resident"}),
        "devices": len({visit.pseudonym for visit in visits}),
        "expected_visitors": sum(visit.p_visitor for visit in counted),
        "variance": sum(visit.p_visitor * (1 - visit.p_visitor) for visit in counted),
    }


def dwell_of(visits: list[Visit]) -> Row | None:
    """The row of ``dwell``: median and the ranks of the sign test's 90 % interval."""
    stays = sorted(visit.dwell_ms for visit in visits if visit.is_visitor)
    n = len(stays)
    if not n:
        return None
    low, high = max(1, floor(n / 2 - 0.8225 * sqrt(n))), min(n, ceil(n / 2 + 0.8225 * sqrt(n)) + 1)
    return {"visits": n, "median_ms": stays[(n + 1) // 2 - 1], "low_ms": stays[low - 1], "high_ms": stays[high - 1]}


def buckets_of(visits: list[Visit], buckets: list[Row]) -> dict[int, int]:
    """Begin of a bucket (s) -> visits in it, those that have any."""
    found: dict[int, int] = {}
    for visit in visits:
        for bucket in buckets:
            if visit.is_visitor and bucket["from_s"] <= visit.dwell_ms / 1000 < (bucket["to_s"] or float("inf")):
                found[bucket["from_s"]] = found.get(bucket["from_s"], 0) + 1
    return found


def quarter_of(visits: list[Visit], start_ms: int, end_ms: int) -> Row | None:
    """The row of ``quarters`` for one of them, None where nobody was heard."""
    present = [v for v in visits if v.kind != "resident" and v.first_ms < end_ms and v.last_ms >= start_ms]
    if not present:
        return None
    shares = [_share(visit, start_ms, end_ms) for visit in present]
    arrived = [visit for visit in present if start_ms <= visit.first_ms < end_ms]
    return {
        "occupants": sum(visit.is_visitor and share > 0 for visit, share in zip(present, shares, strict=True)),
        "occupancy": sum(share for visit, share in zip(present, shares, strict=True) if visit.is_visitor),
        "occupancy_variance": sum(
            s * s * v.p_visitor * (1 - v.p_visitor) for v, s in zip(present, shares, strict=True)
        ),
        "visitors": sum(visit.is_visitor for visit in arrived),
        "passers_by": sum(not visit.is_visitor for visit in arrived),
        "arrivals_variance": sum(visit.p_visitor * (1 - visit.p_visitor) for visit in arrived),
    }


def _share(visit: Visit, start_ms: int, end_ms: int) -> float:
    if visit.inside_first_ms is None:
        return 0.0
    return max(0, min(visit.inside_last_ms, end_ms) - max(visit.inside_first_ms, start_ms)) / (end_ms - start_ms)
