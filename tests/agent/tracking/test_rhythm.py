"""What a gap between two scans says, and that it says it only where phones keep timers."""

from __future__ import annotations

from math import log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import T0_US, local, scans

from agent.dot11.decoder import Decoder
from agent.tracking.rhythm import Beat, air_regularity, density, family_regularity, untimed
from agent.tracking.tracker import Tracker, TrackingSettings

MINUTE = log(60.0)


def beating(period_s: float, gaps: int, jitter: float = 0.05, seed: int = 1) -> Beat:
    random, beat = Random(seed), Beat()
    for _ in range(gaps):
        beat.hear(period_s * random.uniform(1 - jitter, 1 + jitter), MINUTE)
    return beat


@given(st.floats(8, 590), st.integers(0, 30), st.floats(0, 1))
def test_a_density_is_positive_and_finite(gap_s: float, gaps: int, share: float):
    assert 0 <= density(beating(40, gaps), gap_s, MINUTE, share) < 1


@pytest.mark.parametrize("gaps", [0, 3, 20])
def test_the_timed_density_is_one_in_all(gaps: int):
    """Summed over all gaps that four missed scans allow; the rest is what a fifth would add."""
    beat = beating(40, gaps)
    step = 0.05
    total = sum(beat.timed(step * (n + 0.5), MINUTE) * step for n in range(int(3000 / step)))

    assert 0.98 < total < 1.001


def test_the_untimed_density_is_one_beyond_a_scan():
    total = sum(untimed(8 + 0.05 * (n + 0.5)) * 0.05 for n in range(200_000))

    assert 0.95 < total < 1.35


def test_a_timer_is_told_from_half_its_period():
    """Twenty gaps of a minute: a scan after half of one is another phone's."""
    beat = beating(60, 20)

    assert density(beat, 60, MINUTE, 0.05) > 30 * density(beat, 30, MINUTE, 0.05)


def test_a_missed_scan_is_the_rhythm_all_the_same():
    beat = beating(60, 20)

    assert density(beat, 120, MINUTE, 0.05) > density(beat, 90, MINUTE, 0.05)
    beat.hear(120, MINUTE)
    assert abs(beat.expected(MINUTE) - MINUTE) < 0.1


def test_a_family_is_what_the_air_was_until_it_shows_otherwise():
    air, family = air_regularity(), family_regularity()
    assert family.untimed_share(air) > 0.9
    for _ in range(300):
        air.hear(0.0)
    assert family.untimed_share(air) < 0.2
    for _ in range(40):
        family.hear(1.0)
    assert family.untimed_share(air) > 0.8


def tracks_of(frames: list[tuple[int, bytes]], timers: int = 0) -> int:
    """How many devices are told apart, in an air that has shown so many gaps of timers before."""
    tracker, decoder, tracks, next_us = Tracker(TrackingSettings()), Decoder(127), set(), 0
    for _ in range(timers):
        tracker._air.hear(0.0)
    bursts = []
    for time_us, data in sorted(frames):
        if time_us >= next_us:
            bursts += tracker.advance(time_us)
            next_us = time_us + 1_000_000
        tracker.observe(decoder.decode(data, False), time_us)
    tracks = {burst.track.number for burst in bursts + tracker.flush()}
    return len(tracks)


def phone(first_address: int, begins_s: float, gaps_s: list[float], rssi: int = -55) -> list[tuple[int, bytes]]:
    """One phone of the common model, a new address at every scan."""
    frames, at_s = [], begins_s
    for number, gap_s in enumerate([0.0, *gaps_s]):
        at_s += gap_s
        frames += scans(local(first_address + number), T0_US + round(at_s * 1e6), 1, rssi=rssi)
    return frames


def test_a_track_does_not_swallow_scans_between_its_own_where_phones_keep_timers():
    """A colleague's phone, and a visitor's identical one half a period later, some metres away; in an air of irregular phones it stays a doubt."""
    minute = [60.0 + 0.5 * (n % 3) for n in range(60)]
    frames = phone(1000, 0, minute) + phone(5000, 1205 + 31, minute[:20], rssi=-68)

    assert tracks_of(frames, timers=400) == 2
    assert tracks_of(frames) == 1


def test_one_phone_that_scans_in_clumps_is_one_device():
    """Screen on, screen off: gaps of 10 s and of minutes, as half of the measured phones have them."""
    random = Random(3)
    gaps = [random.choice((10, 12, 20, 35, 90, 160, 180, 240)) * random.uniform(0.9, 1.1) for _ in range(40)]

    assert tracks_of(phone(1000, 0, gaps)) <= 2
