"""The promise of the interval: of a hundred trials, about ninety hold the true effect."""

from __future__ import annotations

import random
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.portal.trial import Entered, came_back, counted_arms
from cloud.portal.uplift import Counted, compare, difference_interval


def probabilities(whole: int, share: float) -> list[float]:
    """Of 0..whole successes."""
    return [comb(whole, part) * share**part * (1 - share) ** (whole - part) for part in range(whole + 1)]


def coverage(shown: int, held: int, share_shown: float, share_held: float) -> float:
    """How often the interval holds the true difference: summed over every outcome there is, so nothing is left to chance."""
    total = 0.0
    for k, p in enumerate(probabilities(shown, share_shown)):
        for m, q in enumerate(probabilities(held, share_held)):
            if p * q < 1e-12:
                continue
            found = difference_interval(Counted(shown, k), Counted(held, m))
            total += p * q * (found.low <= share_shown - share_held <= found.high)
    return total


@pytest.mark.parametrize(("shown", "held"), [(90, 10), (180, 20), (150, 150)])
def test_the_interval_holds_the_true_effect_nine_times_of_ten(shown, held):
    """Exact coverage over shares and effects of shops; 90 % is promised, a tenth held out is the usual case."""
    found = [coverage(shown, held, p, q) for p in (0.1, 0.3, 0.5, 0.7) for q in (0.1, 0.2, 0.4)]

    assert min(found) > 0.88
    assert max(found) < 0.94
    assert 0.89 < sum(found) / len(found) < 0.915


def test_published_newcombe_example():
    """56/70 against 48/80, 95 %: method 10 gives 0.0524 to 0.3339 (Newcombe 1998, table II); at 90 % it lies inside that."""
    found = difference_interval(Counted(70, 56), Counted(80, 48))

    assert found.value == pytest.approx(0.2)
    assert 0.0524 < found.low < 0.2 < found.high < 0.3339


def test_the_95_percent_interval_of_the_paper_comes_out_with_its_quantile(monkeypatch):
    monkeypatch.setattr("cloud.portal.uplift.Z90", 1.959964)

    found = difference_interval(Counted(70, 56), Counted(80, 48))

    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


counts = st.integers(1, 400).flatmap(lambda n: st.builds(Counted, st.just(n), st.integers(0, n)))


@given(counts, counts)
def test_an_interval_is_in_order_and_within_what_shares_can_differ(first, second):
    found = difference_interval(first, second)

    assert -1 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


@given(counts, counts)
def test_the_other_way_round_it_is_the_same_mirrored(first, second):
    one, other = difference_interval(first, second), difference_interval(second, first)

    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


@given(counts, counts)
def test_nothing_under_five_is_published(first, second):
    """Neither who came back nor who did not may be a handful, on either side."""
    found = compare(first, second)
    cells = (first.part, first.whole - first.part, second.part, second.whole - second.part)

    assert (found.difference is None) == (min(cells) < 5)
    if found.difference is None:
        assert found.verdict() == "few"
        assert (found.first.part, found.second.part) == (0, 0)
        assert all(side.whole == 0 or side.whole >= 5 for side in (found.first, found.second))


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (Counted(900, 450), Counted(100, 20), "better"),
        (Counted(900, 90), Counted(100, 40), "worse"),
        (Counted(90, 30), Counted(20, 7), "open"),
        (Counted(900, 450), Counted(4, 2), "few"),
    ],
)
def test_a_verdict_says_what_the_interval_says(first, second, verdict):
    assert compare(first, second).verdict() == verdict


# --- what is counted ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visits", "expected"),
    [
        ([], False),
        (["2026-11-01"], False),
        (["2026-11-02"], True),
        (["2026-11-15"], True),
        (["2026-11-16"], False),
        (["2026-10-31", "2026-12-01"], False),
    ],
)
def test_coming_back_is_a_later_day_within_the_days(visits, expected):
    assert came_back("2026-11-01", visits, 14) is expected


def test_a_shopper_is_counted_when_their_days_are_over():
    """Whoever started late would look like somebody who did not come back."""
    entered = [Entered("a", "2026-11-01", frozenset({"2026-11-03"})), Entered("a", "2026-11-05", frozenset())]

    assert counted_arms(entered, {}, 14, "2026-11-15") == {}
    assert counted_arms(entered, {}, 14, "2026-11-16") == {"a": Counted(1, 1)}
    assert counted_arms(entered, {}, 14, "2026-11-20") == {"a": Counted(2, 1)}


def test_shoppers_who_were_erased_stay_in_the_count():
    assert counted_arms([Entered("a", "2026-11-01", frozenset())], {"a": Counted(5, 3)}, 14, "2026-12-01") == {
        "a": Counted(6, 3)
    }


def test_a_simulated_campaign_with_a_known_effect_is_found_to_have_it():
    """200 campaigns: 20 % of shoppers come back, the offer brings another 10 of 100. About 90 % of the intervals hold the ten points."""
    dice = random.Random(7)
    holding = 0
    for _ in range(200):
        entered = []
        for _ in range(600):
            arm = "holdout" if dice.random() < 0.1 else "a"
            returns = dice.random() < (0.3 if arm == "a" else 0.2)
            days = frozenset({"2026-11-08"} if returns else ())
            entered.append(Entered(arm, "2026-11-01", days))
        arms = counted_arms(entered, {}, 14, "2026-12-01")
        found = compare(arms["a"], arms["holdout"])
        holding += found.difference is None or found.difference.low <= 0.1 <= found.difference.high

    assert 168 <= holding <= 192
