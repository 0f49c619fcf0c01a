"""The laws of published intervals: the value lies inside, and whatever is known of less makes them wider."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.domain.intervals import DeviceError, count_interval, device_error, share_interval

counts = st.integers(0, 5000).map(float)
shares = st.floats(0, 1)
errors = st.builds(DeviceError, st.floats(0.2, 1), st.floats(1, 3))
coverages = st.none() | st.floats(0, 1)


@given(counts, st.floats(0, 2000), errors, coverages, st.none() | st.floats(0, 5000))
def test_a_count_lies_in_its_interval(value, variance, error, coverage, expected):
    interval = count_interval(value, variance, error, coverage, expected=expected)

    assert 0 <= interval.low <= value == interval.value <= interval.high


@given(counts, counts, shares, st.floats(0, 500), errors)
def test_a_share_lies_in_its_interval_and_between_nought_and_one(part, rest, expected, variance, error):
    interval = share_interval(part, part + rest, variance, error, expected=expected * (part + rest))

    if part + rest == 0:
        assert interval is None
    else:
        assert 0 <= interval.low <= interval.value <= interval.high <= 1


@given(counts, st.floats(0, 100), st.floats(0.1, 1), st.floats(0.1, 1))
def test_less_coverage_never_narrows(value, variance, one, other):
    less, more = (count_interval(value, variance, DeviceError(), share) for share in sorted((one, other)))

    assert less.high >= more.high and less.low == more.low


@given(counts, st.floats(0, 100), st.floats(0, 100))
def test_more_variance_never_narrows(value, one, other):
    less, more = (count_interval(value, variance, DeviceError(), 1.0) for variance in sorted((one, other)))

    assert more.low <= less.low and more.high >= less.high


@pytest.mark.parametrize(
    ("value", "variance", "error", "coverage", "low", "high"),
    [
        (100, 0, DeviceError(), 1.0, 100, 100),
        (100, 0, DeviceError(), 0.8, 100, 125),
        (100, 0, DeviceError(), None, 100, 100),
        (100, 0, DeviceError(), 0.0, 100, 1000),
        (100, 0, DeviceError(0.9, 1.2), 1.0, 90, 120),
        (100, 100, DeviceError(), 1.0, 83.551, 116.449),
        (1, 100, DeviceError(), 1.0, 0, 17.449),
    ],
)
def test_counts_by_hand(value, variance, error, coverage, low, high):
    interval = count_interval(value, variance, error, coverage)

    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_a_share_of_a_sample_has_wilsons_interval():
    """20 of 100 at 90 %: Wilson gives 0.1427 to 0.2731 (Brown, Cai, DasGupta 2001, formula (4), kappa = 1.6449)."""
    interval = share_interval(20, 100, 0.0, DeviceError(), expected=20)

    assert (interval.low, interval.high) == pytest.approx((0.1427, 0.2731), abs=1e-3)


@pytest.mark.parametrize(
    ("sums", "shares"), [((0, 0, 0), (1, 1)), ((100, 90, 120), (0.9, 1.2)), ((100, 110, 90), (1, 1))]
)
def test_the_agents_doubt_as_shares(sums, shares):
    error = device_error(*sums)

    assert (error.low, error.high) == pytest.approx(shares)


def test_nine_of_ten_intervals_hold_the_truth():
    """Days drawn as the model says: each visit a visitor's with its own probability. Seeded, so the share is always the same."""
    random, held = Random(3), 0
    for _ in range(1000):
        chances = [random.betavariate(0.7, 1.5) for _ in range(200)]
        truth = sum(random.random() < chance for chance in chances)
        counted = sum(chance >= 0.5 for chance in chances)
        interval = count_interval(
            counted, sum(p * (1 - p) for p in chances), DeviceError(), 1.0, expected=sum(chances)
        )  # fmt: skip
        held += interval.low <= truth <= interval.high

    assert held >= 900
