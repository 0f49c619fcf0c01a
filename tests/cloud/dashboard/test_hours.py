"""Days on which few come: hours in the place of quarter-hours, made of nothing that may not be shown."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.dashboard.hours import by_hour, can_be_small, hour_starts, is_sparse
from cloud.domain.publish import Figure, K, publish_quarters

PARIS = ZoneInfo("Europe/Paris")
START_MS = 1_795_165_200_000
"""2026-11-20 10:00 in Paris."""
QUARTER_MS = 900_000


def published(values, metric="visitors"):
    rows = [
        {"metric": metric, "value": value, "low": value, "high": value, "coverage": 1.0, "devices": value or 0, "start_ms": START_MS + n * QUARTER_MS}
        for n, value in enumerate(values)
    ]  # fmt: skip
    return publish_quarters(rows)


def told(values, metric="visitors"):
    return [(figure.value, figure.low, figure.high) for figure in by_hour(published(values, metric), PARIS)]


@pytest.mark.parametrize(
    ("values", "sparse"),
    [([2, 3, 0, 0], True), ([9, 9, 2, 3], False), ([0, 0, 0, 0], False), ([2, 3, 4, 8], True), ([9, 8, 7, 6], False)],
)
def test_a_day_is_sparse_where_more_of_its_busy_quarter_hours_are_hidden_than_shown(values, sparse):
    assert is_sparse(published(values)) is sparse


def test_a_hidden_quarter_hour_is_anything_from_0_to_4_in_its_hour():
    assert told([9, 2, 3, 0]) == [(13.0, 9.0, 17.0)]
    assert told([2, 3, 1, 4]) == [(8.0, 0.0, 16.0)]


def test_an_hour_of_arrivals_with_one_hidden_quarter_hour_alone_is_not_said_to_be_small():
    """The twelve are hidden for the two, and look as they do: "< 5" would be untrue of the second hour."""
    *untold, told_one = by_hour(published([0, 2, 0, 0, 12, 0, 0, 0, 30, 40, 30, 40]), PARIS)

    assert [(hour.is_hidden, hour.is_small, hour.value) for hour in untold] == [(True, False, None)] * 2
    assert told_one.value == 140.0


def test_an_hour_of_presence_of_which_only_fewer_than_five_is_known_says_so_again():
    (hour,) = by_hour(published([0, 3, 0, 0], "occupancy"), PARIS)

    assert hour.is_hidden and hour.is_small and hour.value is None


@pytest.mark.parametrize(
    ("values", "can_be"),
    [
        ([2, 60, 0, 0], False),
        ([2, 3, 1, 4], True),
        ([30, 2, 12, 40], False),
        ([9, 9, 2, 3], True),
        ([20, 20, 0, 0], True),
    ],
)
def test_hours_are_told_only_where_what_is_left_of_the_day_fits_into_the_hidden_quarter_hours(values, can_be):
    whole = Figure("visitors", float(sum(values)), 0.0, 99.0, 1.0)

    assert can_be_small(published(values), whole) is can_be


def test_a_day_of_fewer_than_five_has_small_quarter_hours_only():
    assert can_be_small(published([2, 0, 1, 0]), Figure("visitors", None, None, None, 1.0, True, is_small=True))


def test_what_is_inside_is_a_mean_and_a_wholly_hidden_hour_stays_hidden():
    assert told([8, 8, 2, 2], "occupancy") == [(5.0, 4.0, 6.0)]
    assert told([2, 2, 2, 2], "occupancy") == [(None, None, None)]


def test_an_hour_with_a_quarter_that_nobody_heard_is_a_gap():
    assert told([9, None, None, 9, 6, 6, 6, 6]) == [(24.0, 24.0, 24.0)]


@pytest.mark.parametrize("zone", ["Europe/Paris", "Asia/Kolkata", "Asia/Kathmandu"])
def test_hours_are_those_of_the_stores_clock(zone):
    place = ZoneInfo(zone)
    figures = by_hour(published([9] * 12), place)

    assert {figure.start_ms for figure in figures} <= set(
        hour_starts([START_MS + n * QUARTER_MS for n in range(12)], place)
    )
    assert len(figures) >= 2


@given(st.lists(st.integers(0, 12), min_size=8, max_size=8))
def test_an_hour_tells_no_more_than_its_quarter_hours_did(values):
    """Days that look alike quarter by quarter look alike by hour, whatever hides behind; and the truth lies in the interval."""
    figures = published(values)
    others = [1 if figure.is_hidden and value < K else value for figure, value in zip(figures, values, strict=True)]
    if [figure.is_hidden for figure in published(others)] == [figure.is_hidden for figure in figures]:
        assert by_hour(published(others), PARIS) == by_hour(figures, PARIS)
    for figure, first in zip(by_hour(figures, PARIS), (0, 4), strict=True):
        secondary = any(f.is_hidden and v >= K for f, v in zip(figures, values, strict=True))
        if not figure.is_hidden and not secondary:
            assert figure.low <= sum(values[first : first + 4]) <= figure.high


def test_without_any_quarter_hour_there_is_no_hour():
    assert by_hour([], PARIS) == [] and not is_sparse([Figure("visitors", None, None, None, None)])
