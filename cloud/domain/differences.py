"""What of one day may be shown under several definitions of a visitor, so that no two of them tell a few devices by their difference (core).

Our own definition is published first, as ever (``cloud.domain.publish``). Of the others a reader can subtract: visitors here less visitors
there are those who stayed from three to five minutes, say, and may be two people. So, with K as the least that may be told:

* a day is shown under another definition only where every count of it, and every count that follows (visitors who were not engaged,
  all visits ...), is the same as under each definition shown before it, or differs by K or more;
* of its quarter-hours and dwell bars those are left out in which two definitions differ by less, at the same places for all definitions, and
  with them as many more as it takes until the sum of what is left out (which follows from the day's figure) differs by nothing or by K.

What covers several days is made of days that are shown, so a range tells nothing that its days do not. ``tests/cloud/domain/test_differences.py``
holds all of it to the linear algebra of an attacker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from cloud.domain.preset import OWN
from cloud.domain.publish import (
    ADDITIVE,
    Bucket,
    Figure,
    K,
    figure_of,
    publish_buckets,
    publish_day,
    publish_quarters,
)

Rows = Sequence[Mapping[str, Any]]
FORMS = (
    ("visitors",),
    ("passers_by",),
    ("engaged",),
    ("bounced",),
    ("residents",),
    ("visitors", "-engaged"),
    ("passers_by", "-bounced"),
    ("visitors", "passers_by"),
    ("visitors", "bounced"),
    ("passers_by", "engaged"),
    ("engaged", "bounced"),
)
"""Counts of a day, and counts that follow from them: sums, and with a minus what is left of a whole without a part."""
COUNTED = tuple(form[0] for form in FORMS if len(form) == 1)
SIGNED = tuple(tuple((name.lstrip("-"), -1 if name[0] == "-" else 1) for name in form) for form in FORMS)


def publish_day_as(preset: str, by_preset: Mapping[str, Rows]) -> dict[str, Figure]:
    """Metric -> figure of a day under ``preset``, beside the rows of every definition."""
    published = publish_day(by_preset.get(preset, ()))
    if preset == OWN or preset in shown_presets(by_preset):
        return published
    return {metric: _hidden(figure) for metric, figure in published.items()}


def shown_presets(by_preset: Mapping[str, Rows]) -> list[str]:
    """The definitions under which a day may be shown: our own, then each that differs from all before it by nothing or by enough.

    Where our own hides a count, the others are shown only if they count the same: its hidden part could follow from theirs.
    """
    own = counts_of(by_preset.get(OWN, ()))
    sums = {OWN: sums_of(own)}
    for preset in sorted(set(by_preset) - {OWN}):
        counts = counts_of(by_preset[preset])
        mine = sums_of(counts)
        if counts == own or (
            _is_large(sums[OWN]) and _is_large(mine) and all(_may_differ(mine, earlier) for earlier in sums.values())
        ):
            sums[preset] = mine
    return list(sums)


def counts_of(rows: Rows) -> dict[str, int]:
    """Metric -> devices of a day's counts."""
    return {row["metric"]: int(row["devices"]) for row in rows if row["metric"] in COUNTED}


def sums_of(counts: Mapping[str, int]) -> list[int]:
    """What ``FORMS`` come to. Once for each definition: a year of fifty stores has a hundred thousand of them."""
    return [sum(sign * counts.get(name, 0) for name, sign in form) for form in SIGNED]


def _is_large(sums: Sequence[int]) -> bool:
    """True where no count, and no rest of one, is small."""
    return not any(0 < abs(value) < K for value in sums)


def _may_differ(one: Sequence[int], other: Sequence[int]) -> bool:
    return not any(0 < abs(a - b) < K for a, b in zip(one, other, strict=True))


# --- cells of a day ---------------------------------------------------------------------------------------------------------------


def publish_quarters_as(preset: str, by_preset: Mapping[str, Rows], shown: Iterable[str]) -> list[Figure]:
    """The quarter-hours of one metric and day under ``preset``; the rows of every definition are in the same order. ``shown``: see
    ``shown_presets``."""
    own = publish_quarters(by_preset.get(OWN, ()))
    if preset == OWN:
        return own
    rows = by_preset.get(preset, ())
    is_sum = any(row["metric"] in ADDITIVE for row in rows[:1])
    columns = _columns(by_preset, shown, "start_ms", "devices")
    places = hidden_places(columns, {f.start_ms for f in own if f.is_hidden}, is_sum=is_sum)
    # The same places for every definition, and no other: a place that one of them hid alone would follow from the others' sums.
    return [figure_of(row, is_hidden=row["start_ms"] in places or preset not in shown, is_small=False) for row in rows]


def publish_buckets_as(preset: str, by_preset: Mapping[str, Rows], shown: Iterable[str]) -> list[Bucket]:
    """The dwell bars of a day under ``preset``; else as above."""
    own = publish_buckets(by_preset.get(OWN, ()))
    if preset == OWN:
        return own
    columns = _columns(by_preset, shown, "from_s", "visits")
    places = hidden_places(columns, {bucket.from_s for bucket in own if bucket.visits is None}, is_sum=True)
    return [
        Bucket(
            row["from_s"], row["to_s"], None if row["from_s"] in places or preset not in shown else int(row["visits"])
        )
        for row in by_preset.get(preset, ())
    ]


def _columns(by_preset: Mapping[str, Rows], shown: Iterable[str], place: str, count: str) -> list[dict[Any, int]]:
    return [{row[place]: int(row[count]) for row in by_preset.get(preset, ())} for preset in shown]


def hidden_places(columns: Sequence[Mapping[Any, int]], hidden: set[Any], *, is_sum: bool) -> set[Any]:
    """The places to leave out of every definition but ours. ``columns``: place -> count, ours first; ``hidden``: where ours is hidden.

    ``is_sum``: the counts of a column add up to a figure that is shown, so a single hidden one would follow from the others.
    """
    places = set().union(*columns)
    found = {at for at in places if _tells(columns, {at})} | {at for at in hidden if at in places}
    while is_sum and found and (len(found) == 1 or _tells(columns, found)):
        others = [at for at in places - found if any(column.get(at, 0) for column in columns)]
        if not others:
            break
        found.add(min(others, key=lambda at: (not _differs(columns, at), max(c.get(at, 0) for c in columns), at)))
    return found


def _tells(columns: Sequence[Mapping[Any, int]], places: set[Any]) -> bool:
    """True where the sum over some places is small, or differs by little between two definitions."""
    sums = [sum(column.get(at, 0) for at in places) for column in columns]
    return any(0 < total < K for total in sums) or any(0 < abs(a - b) < K for a, b in combinations(sums, 2))


def _differs(columns: Sequence[Mapping[Any, int]], at: Any) -> bool:
    return len({column.get(at, 0) for column in columns}) > 1


def _hidden(figure: Figure) -> Figure:
    """Whether it is small by itself is not told: beside another definition that would bound the difference."""
    if figure.value is None:
        return replace(figure, is_small=False)
    return replace(figure, value=None, low=None, high=None, is_hidden=True, is_small=False)
