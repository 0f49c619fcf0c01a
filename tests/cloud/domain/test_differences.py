"""An attacker with every figure of a day, under every definition and in every form that is published, subtracts as they like.

What is published is a set of linear equations over the counts of each definition's cells. A count follows from them exactly where it is a
linear combination of the published ones; so each law here asks whether a small count, or a small difference, lies in their span.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.dashboard.ranges import HeardQuarter, heat
from cloud.domain.differences import (
    FORMS,
    counts_of,
    hidden_places,
    publish_buckets_as,
    publish_day_as,
    publish_quarters_as,
    shown_presets,
)
from cloud.domain.publish import K, publish_quarters

PRESETS = ("ivizone", "a-like", "b-like")
COUNTS = ("visitors", "passers_by", "engaged", "bounced", "residents")


class Known:
    """Equations that an attacker has, reduced; ``tells(vector)`` is true for what follows from them."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, Fraction]] = {}

    def _reduced(self, vector: dict[int, int]) -> dict[int, Fraction]:
        rest = {at: Fraction(value) for at, value in vector.items() if value}
        for lead in sorted(self._rows):
            if factor := rest.get(lead):
                for at, value in self._rows[lead].items():
                    rest[at] = rest.get(at, Fraction(0)) - factor * value
                rest = {at: value for at, value in rest.items() if value}
        return rest

    def learn(self, vector: dict[int, int]) -> None:
        rest = self._reduced(vector)
        if rest:
            lead = min(rest)
            self._rows[lead] = {at: value / rest[lead] for at, value in rest.items()}

    def tells(self, vector: dict[int, int]) -> bool:
        return not self._reduced(vector)


def row(metric: str, devices: int, **more) -> dict:
    bounds = {"value": float(devices), "low": devices * 0.9, "high": devices * 1.1, "coverage": 1.0}
    return {"metric": metric, "devices": devices, **bounds, **more}


near = st.integers(0, 9)


@st.composite
def days(draw) -> dict[str, list[dict]]:
    """A day under each definition: counts that are near one another, as those of one store are."""
    base = [draw(st.sampled_from([0, 3, 7, 12, 40, 300])) for _ in COUNTS]
    found = {}
    for preset in PRESETS:
        visitors, passers_by, engaged, bounced, residents = (one + draw(near) * draw(st.integers(0, 3)) for one in base)
        counts = (visitors, passers_by, min(engaged, visitors), min(bounced, passers_by), residents)
        found[preset] = [row(metric, devices) for metric, devices in zip(COUNTS, counts, strict=True)]
    return found


@settings(max_examples=400, deadline=None)
@given(days())
def test_no_two_definitions_of_a_day_tell_a_few_devices_by_their_difference(by_preset):
    published = {preset: publish_day_as(preset, by_preset) for preset in PRESETS}
    counts = {preset: counts_of(by_preset[preset]) for preset in PRESETS}
    for one, other in combinations(PRESETS, 2):
        for form in FORMS:
            names = [name.lstrip("-") for name in form]
            is_known = all(published[p][name].value is not None for p in (one, other) for name in names)
            value = [sum((-1 if n[0] == "-" else 1) * counts[p][n.lstrip("-")] for n in form) for p in (one, other)]
            assert not is_known or not 0 < abs(value[0] - value[1]) < K, (one, other, form)


@settings(max_examples=200, deadline=None)
@given(days())
def test_a_figure_is_said_to_be_fewer_than_five_only_where_it_is(by_preset):
    """Under another definition a day of hundreds may be hidden; to say "< 5" of it would be untrue, and of fewer would bound the difference."""
    shown = shown_presets(by_preset)
    for preset in PRESETS:
        for metric, figure in publish_day_as(preset, by_preset).items():
            rests_on = next(row["devices"] for row in by_preset[preset] if row["metric"] == metric)
            assert not figure.is_small or (rests_on < K and preset in shown)


@settings(max_examples=300, deadline=None)
@given(days())
def test_a_count_that_our_own_definition_hides_does_not_follow_from_the_others(by_preset):
    """Visits are visitors and passers-by, and several definitions join visits alike: their sum is one number under all of them."""
    published = {preset: publish_day_as(preset, by_preset) for preset in PRESETS}
    counts = {preset: counts_of(by_preset[preset]) for preset in PRESETS}
    known, index = Known(), {(p, m): n for n, (p, m) in enumerate((p, m) for p in PRESETS for m in COUNTS)}
    for preset, figures in published.items():
        for metric in COUNTS:
            if figures[metric].value is not None:
                known.learn({index[preset, metric]: 1})
    for one, other in combinations(PRESETS, 2):
        sums = [counts[p]["visitors"] + counts[p]["passers_by"] for p in (one, other)]
        if sums[0] == sums[1]:  # the attacker knows that they are, from the rules
            known.learn(
                {
                    index[one, "visitors"]: 1,
                    index[one, "passers_by"]: 1,
                    index[other, "visitors"]: -1,
                    index[other, "passers_by"]: -1,
                }
            )
    for preset in PRESETS:
        for metric in ("visitors", "passers_by"):
            if 0 < counts[preset][metric] < K:
                assert not known.tells({index[preset, metric]: 1}), (preset, metric)


def test_a_definition_that_counts_alike_is_shown_alike():
    by_preset = {preset: [row(metric, 12) for metric in COUNTS] for preset in PRESETS}
    assert shown_presets(by_preset) == sorted(PRESETS, key=lambda p: (p != "ivizone", p))


@pytest.mark.parametrize(
    ("other", "is_shown"), [(100, True), (101, False), (104, False), (105, True), (96, False), (95, True)]
)
def test_visitors_of_another_definition_are_shown_where_they_differ_by_nothing_or_by_five(other, is_shown):
    by_preset = {p: [row("visitors", v), row("passers_by", 900)] for p, v in (("ivizone", 100), ("a-like", other))}
    assert (publish_day_as("a-like", by_preset)["visitors"].value is not None) is is_shown
    assert publish_day_as("ivizone", by_preset)["visitors"].value == 100, "our own does not depend on the others"


@st.composite
def cells(draw) -> dict[str, list[int]]:
    """Quarter-hours of one metric under each definition."""
    base = draw(st.lists(st.sampled_from([0, 0, 2, 6, 9, 14, 30]), min_size=2, max_size=9))
    return {preset: [max(0, one + draw(st.sampled_from([0, 0, 0, 1, 3, 5, 8]))) for one in base] for preset in PRESETS}


def as_day(by_preset: dict[str, list[int]]) -> dict[str, list[dict]]:
    return {preset: [row("visitors", sum(values))] for preset, values in by_preset.items()}


def attack(by_preset: dict[str, list[int]], shown_cells: dict[str, list[bool]], day_shown: dict[str, bool]) -> Known:
    """What an attacker knows of the cells: those shown, and each day's sum where it is."""
    known, width = Known(), len(next(iter(by_preset.values())))
    for n, preset in enumerate(PRESETS):
        for at in range(width):
            if shown_cells[preset][at]:
                known.learn({n * width + at: 1})
        if day_shown[preset]:
            known.learn({n * width + at: 1 for at in range(width)})
    return known


def hold_up(by_preset, shown_cells, day_shown) -> None:
    """Neither a small cell nor a small difference of one, nor of all that is hidden together, follows."""
    width, known = len(by_preset["ivizone"]), attack(by_preset, shown_cells, day_shown)
    hidden = {p: [at for at in range(width) if not shown_cells[p][at]] for p in PRESETS}
    for n, preset in enumerate(PRESETS):
        for at in range(width):
            if 0 < by_preset[preset][at] < K:
                assert not known.tells({n * width + at: 1}), (preset, at)
    for (n, one), (m, other) in combinations(list(enumerate(PRESETS)), 2):
        groups = [[at] for at in range(width)] + [hidden[one], hidden[other], list(range(width))]
        for group in groups:
            difference = sum(by_preset[one][at] - by_preset[other][at] for at in group)
            vector = {n * width + at: 1 for at in group} | {m * width + at: -1 for at in group}
            if 0 < abs(difference) < K:
                assert not known.tells(vector), (one, other, group)


@settings(max_examples=300, deadline=None)
@given(cells())
def test_no_quarter_hour_tells_a_few_devices_by_its_difference_to_another_definitions(by_preset):
    day = as_day(by_preset)
    shown = shown_presets(day)
    rows = {p: [row("visitors", v, start_ms=n) for n, v in enumerate(values)] for p, values in by_preset.items()}
    published = {p: publish_quarters_as(p, rows, shown) for p in PRESETS}
    day_shown = {p: publish_day_as(p, day)["visitors"].value is not None for p in PRESETS}

    hold_up(by_preset, {p: [not figure.is_hidden for figure in published[p]] for p in PRESETS}, day_shown)
    assert published["ivizone"] == publish_quarters(rows["ivizone"])
    assert not any(figure.is_small for p in PRESETS if p != "ivizone" for figure in published[p])


@settings(max_examples=300, deadline=None)
@given(cells())
def test_no_dwell_bar_tells_a_few_devices_by_its_difference_to_another_definitions(by_preset):
    day = as_day(by_preset)
    shown = shown_presets(day)
    rows = {p: [{"from_s": n, "to_s": n + 1, "visits": v} for n, v in enumerate(vs)] for p, vs in by_preset.items()}
    published = {p: publish_buckets_as(p, rows, shown) for p in PRESETS}
    day_shown = {p: publish_day_as(p, day)["visitors"].value is not None for p in PRESETS}

    hold_up(by_preset, {p: [bucket.visits is not None for bucket in published[p]] for p in PRESETS}, day_shown)


def test_what_is_left_out_is_as_little_as_it_can_be():
    """Two definitions alike but for one quarter-hour by three: it and one more are left out, no more."""
    own, other = dict(enumerate((10, 20, 30, 40))), dict(enumerate((13, 20, 30, 45)))
    assert hidden_places([own, other], set(), is_sum=True) == {0, 3}
    assert hidden_places([own, own], set(), is_sum=True) == set()


# --- hours over days ------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12), min_size=4, max_size=4), min_size=2, max_size=6))
def test_an_hour_of_one_day_does_not_tell_a_quarter_that_is_hidden(hours):
    """A week's table of hours has each weekday once: an hour there is the sum of four quarter-hours that the day's page shows or hides."""
    values = [value for hour in hours for value in hour]
    quarters = [HeardQuarter("2026-11-16", n * 900_000, float(v), v) for n, v in enumerate(values)]
    table = heat(quarters, lambda ms: ms // 3_600_000, is_sum=True)
    shown = publish_quarters([row("visitors", v, start_ms=n * 900_000) for n, v in enumerate(values)])
    known = Known()
    for at, figure in enumerate(shown):
        if not figure.is_hidden:
            known.learn({at: 1})
    for (_, hour), cell in table.items():
        if cell.value is not None:
            known.learn({4 * hour + n: 1 for n in range(4)})
    if sum(values) >= K:
        known.learn(dict.fromkeys(range(len(values)), 1))
    for at, value in enumerate(values):
        if 0 < value < K and sum(values) - value >= K:
            assert not known.tells({at: 1}), (at, value)
