"""A track's bursts one after the other: what went before, and how often phones here are inside, sharpen what a level says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.compose import proximity_settings
from agent.config import parse_config
from agent.proximity import Placer, ProximitySettings, Zone, ZoneState, p_inside
from agent.proximity.placing import CUSTOMER_US
from benchmarks.proximity import brier, off, said, street, walked

CURVE = ProximitySettings(threshold_dbm=-65, slope_db=4, is_calibrated=True)
SHOUT, WHISPER = [-50], [-80]


def placed(*bursts: list[int], placer: Placer | None = None, age_us: int = 0) -> list[float]:
    """What is said of a track's bursts."""
    placer, state = placer or Placer(CURVE), ZoneState(CURVE)
    return [placer.place(burst, state, age_us) for burst in bursts]


def test_the_first_burst_of_a_track_is_placed_by_its_level_alone_whatever_the_air_taught():
    taught = Placer(CURVE)
    for _ in range(100):
        placed(SHOUT, SHOUT, SHOUT, placer=taught)

    assert placed([-66], placer=taught) == [p_inside([-66], CURVE)]


def test_who_was_inside_a_moment_ago_probably_still_is_and_who_was_not_is_not():
    at_the_threshold = [-65]

    assert placed(SHOUT, at_the_threshold)[1] > 0.7
    assert placed(WHISPER, at_the_threshold)[1] < 0.5


def test_a_phone_that_leaves_is_outside_at_its_next_burst_however_long_it_stayed():
    assert placed(*[SHOUT] * 30, WHISPER)[-1] < 0.5


def test_where_phones_that_are_heard_again_are_mostly_inside_that_is_believed_of_the_next():
    busy, quiet = Placer(CURVE), Placer(CURVE)
    for _ in range(100):
        placed(SHOUT, SHOUT, SHOUT, placer=busy)
        placed(WHISPER, WHISPER, WHISPER, placer=quiet)

    assert placed([-65], [-65], placer=busy)[1] > 0.8
    assert placed([-65], [-65], placer=quiet)[1] < 0.2


def test_a_printer_teaches_nothing_of_customers():
    alone, beside = Placer(CURVE), Placer(CURVE)
    placed(*[SHOUT] * 500, placer=beside, age_us=CUSTOMER_US + 1)

    assert placed([-65], [-65], placer=beside) == placed([-65], [-65], placer=alone)


def test_a_site_that_was_not_calibrated_says_what_the_level_says_and_no_more():
    """A wrong threshold must not become a bold one."""
    flat = ProximitySettings()
    placer, state = Placer(flat), ZoneState(flat)

    for level in (-50, -50, -70, -70):
        assert placer.place([level], state, 0) == p_inside([level], flat)


def test_a_site_is_calibrated_when_its_curve_is_not_the_one_that_ships():
    assert not proximity_settings(parse_config("", "agent.yaml")).is_calibrated
    assert proximity_settings(
        parse_config("proximity: {threshold_dbm: -61.0, slope_db: 4.2}", "agent.yaml")
    ).is_calibrated


def test_the_zone_follows():
    state = ZoneState(CURVE)
    Placer(CURVE).place(SHOUT, state, 0)

    assert state.zone is Zone.INSIDE


@given(st.lists(st.integers(-110, -20), min_size=1, max_size=40))
def test_whatever_came_before_louder_is_never_less_likely_inside(levels: list[int]):
    *before, last = ([level] for level in levels)
    share, louder = placed(*before, last)[-1], placed(*before, [last[0] + 1])[-1]

    assert 0 <= share <= louder <= 1


@pytest.mark.parametrize("layout", ["street", "mall", "corner"])
def test_on_a_street_what_is_said_comes_true_and_more_so_than_by_levels_alone(layout: str):
    """A seed that nothing was fitted to. docs/proximity.md has twenty."""
    frames, inside = street(layout, 101, 0.25, 100)
    curve = walked(layout, 101)

    placed_, by_level = said(frames, inside, curve), said(frames, inside, replace(curve, is_calibrated=False))

    assert off(placed_) < 0.1
    assert brier(placed_) < brier(by_level)
    assert off(placed_) < off(by_level)
