"""The factor from devices to people: what counts say, how sure it is, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.people import held
from cloud.domain.intervals import Interval
from cloud.domain.people import CountsError, Factor, fit_factor, people_of, read_counts, t90
from cloud.domain.site import Site

SITE = Site("shop", "Shop", "Europe/Paris")
HEAD = "date,from,to,people"


def test_the_factor_is_people_by_devices_over_all_counts():
    factor = fit_factor([(60, 50.0), (30, 25.0), (90, 75.0)])

    assert (factor.value, factor.people, factor.devices, factor.counts) == (1.2, 180, 150.0, 3)
    assert factor.low < 1.2 < factor.high
    assert factor.scatter == 0.0


def test_counts_that_lie_apart_make_the_interval_wider():
    alike, apart = fit_factor([(60, 50.0)] * 4), fit_factor([(90, 50.0), (30, 50.0), (100, 50.0), (20, 50.0)])

    assert alike.value == apart.value
    assert apart.low < alike.low and apart.high > alike.high
    assert apart.scatter > 10


def test_more_counts_make_it_narrower_and_one_alone_has_an_honest_one():
    one, many = fit_factor([(60, 50.0)]), fit_factor([(60, 50.0)] * 12)

    assert one.high / one.low > 1.5 * many.high / many.low
    assert one.scatter == 1.0


@pytest.mark.parametrize("counts", [1, 3, 6, 12])
@pytest.mark.parametrize("carried", [0.45, 0.8])
def test_the_interval_holds_the_truth_nine_times_of_ten(counts: int, carried: float):
    """And not by being endless: of one half-hour alone it reaches less than half as much again."""
    found = held(counts, carried, 400)

    assert found.share >= 0.86
    assert 0.05 <= found.reach <= 0.45


def test_too_little_counted_is_no_factor():
    with pytest.raises(CountsError, match="12 people counted and 40 devices heard; at least 30"):
        fit_factor([(12, 40.0)])
    with pytest.raises(CountsError, match="at least 30"):
        fit_factor([])


@pytest.mark.parametrize(("freedom", "quantile"), [(4, 2.132), (5, 2.015), (10, 1.812), (30, 1.697)])
def test_the_quantiles_are_those_of_students_tables(freedom: int, quantile: float):
    assert t90(freedom) == pytest.approx(quantile, abs=0.003)


@given(st.floats(1, 1e4), st.floats(0, 1), st.floats(1, 3), st.floats(0.2, 4), st.floats(1.001, 2))
def test_people_lie_in_their_interval_and_it_is_wider_than_each_of_its_two_parts(value, low, high, middle, reach):
    factor = Factor(middle, middle / reach, middle * reach, 3, 90, 70.0, 1.0)
    people = people_of(Interval(value, value * low, value * high), factor)

    assert people.low <= people.value == value * middle <= people.high
    assert people.low <= value * factor.low * (1 + 1e-9) and people.high >= value * factor.high * (1 - 1e-9)
    assert people.high >= value * high * middle * (1 - 1e-9)


def test_no_devices_are_no_people_and_the_doubt_stays():
    assert people_of(Interval(0.0, 0.0, 3.0), fit_factor([(60, 50.0)])).low == 0.0


# --- the file -----------------------------------------------------------------------------------------------------------


def test_times_of_a_file_are_the_stores():
    (count,) = read_counts(["# at the door\n", HEAD + "\n", "\n", "2026-11-20,10:00,10:30,17\n"], SITE)

    assert (count.people, count.end_ms - count.start_ms) == (17, 1_800_000)
    assert count.start_ms == 1_795_165_200_000  # 09:00 UTC


def test_the_last_quarter_hour_of_a_day_can_be_counted():
    (count,) = read_counts([HEAD + "\n", "2026-11-20,23:45,24:00,17\n"], SITE)

    assert count.end_ms - count.start_ms == 900_000


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "first line must be date,from,to,people"),
        (["day,from,to,people"], "first line must be"),
        ([HEAD], "0 counts"),
        ([HEAD, "2026-11-20,10:00,10:30"], "count 1: use a date"),
        ([HEAD, "2026-11-20,10:00,10:30,12", "20.11.2026,10:00,10:30,12"], "count 2: use a date"),
        ([HEAD, "2026-11-20,10:00,10:30,many"], "whole number"),
        ([HEAD, "2026-11-20,10:00,10:30,-1"], "0 or more"),
        ([HEAD, "2026-11-20,10:00,10:20,12"], "quarter-hour"),
        ([HEAD, "2026-11-20,10:30,10:00,12"], "the end later"),
        ([HEAD, "2026-11-20,10:00+05:00,10:30+05:00,12"], "times of the store"),
        ([HEAD, f'2026-11-20,"{"9" * 200_000}",10:30,12'], "is no CSV"),
        ([HEAD, "2026-11-20,10:00,11:00,12", "2026-11-20,10:45,11:15,9"], "overlap"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_meant_is_refused_in_words(lines: list[str], words: str):
    with pytest.raises(CountsError, match=words):
        read_counts([line + "\n" for line in lines], SITE)
