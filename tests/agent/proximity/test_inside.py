"""From levels to inside or outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.proximity import ProximitySettings, Zone, ZoneState, p_inside

SETTINGS = ProximitySettings(threshold_dbm=-67, slope_db=6)


def test_at_the_threshold_nobody_knows():
    assert p_inside([-67], SETTINGS) == pytest.approx(0.5)


def test_one_slope_above_the_odds_are_e():
    share = p_inside([-61], SETTINGS)
    assert share is not None
    assert share / (1 - share) == pytest.approx(2.71828, rel=1e-4)


def test_the_median_decides_so_one_wild_frame_does_not():
    assert p_inside([-80, -80, -30], SETTINGS) == p_inside([-80], SETTINGS)


def test_without_a_level_nothing_is_said():
    assert p_inside([], SETTINGS) is None


@given(st.lists(st.integers(-128, -1), min_size=1, max_size=20))
def test_it_is_a_probability_and_louder_is_never_less_likely_inside(levels: list[int]):
    share, louder = p_inside(levels, SETTINGS), p_inside([level + 1 for level in levels], SETTINGS)

    assert share is not None
    assert louder is not None
    assert 0 <= share <= louder <= 1


def test_a_phone_at_the_door_does_not_flicker():
    """Between the two bounds the zone stays what it was."""
    state = ZoneState(SETTINGS)

    zones = [state.update(share) for share in (0.55, 0.65, 0.5, 0.41, 0.39, 0.59)]

    assert zones == [Zone.OUTSIDE, Zone.INSIDE, Zone.INSIDE, Zone.INSIDE, Zone.OUTSIDE, Zone.OUTSIDE]
