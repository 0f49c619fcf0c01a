"""What may be published of a figure (core). Everything that leaves the database for a reader passes here: page, data, API, export, report.

A cell that rests on fewer than ``K`` devices is hidden, and so is what would give it away. Of parts that add up to a shown whole, one
hidden part alone could be worked out from the others; so could several, where their sum is as little or as much as so many small ones can
come to (five hidden that come to five are one each). Then others are hidden with them, the smallest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

K = 5
HIDDEN_MIDDLE = 2.0
"""What a hidden cell counts for in a sum that need not be exact: the middle of 0 to 4."""
PUBLISHED = ("visitors", "passers_by", "capture_rate", "dwell_median_s", "engaged", "bounced", "residents")
"""Metrics of a day. ``devices`` is not among them: it is the sum of others and would tell a hidden one."""
PARTS_OF = {"engaged": "visitors", "bounced": "passers_by"}
"""Metric -> the metric that it is a part of."""
ADDITIVE = ("visitors", "passers_by")
"""Metrics whose quarter-hours add up to the day's figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as it may be shown. ``value``, ``low`` and ``high`` are None where it is hidden or unknown."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    coverage: float | None
    is_hidden: bool = False
    """True where it rests on fewer than ``K`` devices, or would give such a one away."""
    start_ms: int | None = None
    """Of a quarter-hour."""
    is_small: bool = False
    """True where it is hidden and a reader may take it for fewer than ``K``: only that is shown as "< 5", never what is hidden for another."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bar of the dwell chart; ``visits`` is None where it is hidden, ``to_s`` where it has no end."""

    from_s: int
    to_s: int | None
    visits: int | None


def publish_day(rows: Iterable[Mapping[str, Any]]) -> dict[str, Figure]:
    """Metric -> the figures of one day and preset."""
    by_metric = {str(row["metric"]): row for row in rows}
    figures = {}
    for metric in PUBLISHED:
        row = by_metric.get(metric)
        if row is None:
            continue
        whole = by_metric.get(PARTS_OF.get(metric, ""))
        rest = whole["devices"] - row["devices"] if whole else 0
        figures[metric] = figure_of(row, is_hidden=row["devices"] < K or 0 < rest < K, is_small=row["devices"] < K)
    return figures


def publish_quarters(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The quarter-hours of one metric, day and preset, in the order of ``rows``.

    Those that are hidden of an additive metric look alike, and none of them is said to be small: it may be a larger one that is hidden
    with small ones, and even that there is such a one would tell (two hidden that come to six would be one and five).
    """
    if not rows or rows[0]["metric"] not in ADDITIVE:
        return [figure_of(row, is_hidden=0 < row["devices"] < K) for row in rows]
    devices = [row["devices"] for row in rows]
    small = {place for place, count in enumerate(devices) if 0 < count < K and rows[place]["value"] is not None}
    hidden = hidden_among(devices, small, least=1)
    return [figure_of(row, is_hidden=place in hidden, is_small=False) for place, row in enumerate(rows)]


def publish_buckets(rows: Sequence[Mapping[str, Any]]) -> list[Bucket]:
    """The dwell buckets of one day and preset, which add up to the visitors."""
    visits = [int(row["visits"]) for row in rows]
    hidden = hidden_among(visits, {place for place, count in enumerate(visits) if count < K}, least=0)
    return [
        Bucket(row["from_s"], row["to_s"], None if place in hidden else visits[place]) for place, row in enumerate(rows)
    ]


def hidden_among(counts: Sequence[int], small: Set[int], *, least: int) -> set[int]:
    """The places to hide of counts that add up to a known sum: the ``small`` ones, and as many more as it takes.

    ``least``: what a small one can be at least; 1 where an empty cell is shown as such, and tells by it that the hidden ones are not.
    """
    hidden = set(small)
    while hidden and follows([counts[place] for place in hidden], least=least):
        shown = [place for place in range(len(counts)) if place not in hidden]
        filled = [place for place in shown if counts[place]]
        if filled:
            hidden.add(min(filled, key=lambda place: (counts[place], place)))
        elif shown and len(hidden) > 1 and sum(counts) >= K:
            # Nothing but empty ones is left: the one nearest to a hidden one, or it would be known by its hour.
            hidden.add(min(shown, key=lambda place: (min(abs(place - at) for at in hidden), place)))
        else:
            break
    return hidden


def follows(hidden: Sequence[int], *, least: int) -> bool:
    """True where the sum of hidden counts tells one of them, or fewer than ``K``: it is one alone, or the sum is the least or the most that
    small ones can come to."""
    total = sum(hidden)
    return len(hidden) == 1 or 0 < total < K or (total > 0 and total in (least * len(hidden), (K - 1) * len(hidden)))


def also_hidden(cells: Sequence[float | None]) -> list[int]:
    """The places to hide with a single hidden cell (None) of cells that add up to a known sum: the smallest that is not zero."""
    if sum(cell is None for cell in cells) != 1:
        return []
    shown = [(cell, place) for place, cell in enumerate(cells) if cell]
    return [min(shown)[1]] if shown else []


def figure_of(row: Mapping[str, Any], *, is_hidden: bool, is_small: bool = True) -> Figure:
    """A row of the database as a figure, hidden where it has a value to hide."""
    start_ms = row.get("start_ms")
    known = Figure(str(row["metric"]), row["value"], row["low"], row["high"], row["coverage"], False, start_ms)
    if not is_hidden or known.value is None:
        return known
    return replace(known, value=None, low=None, high=None, is_hidden=True, is_small=is_small)
