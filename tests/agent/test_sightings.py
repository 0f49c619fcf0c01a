"""What one window says of each device, or of each zone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import GLOBAL, LOCAL, T0_US

from agent.proximity import Zone
from agent.sightings import CountWindow, DayWindow, in_steps
from agent.tracking.bursts import Burst, Track
from agent.tracking.tracker import DeviceEstimate
from agent.wire.model import AddressKind, Sighting, WindowEstimate, ZoneCount

T0_MS = T0_US // 1000
ESTIMATE = DeviceEstimate(2.04, 1.96, 3.31, 0.9)
NAME = b"pseudony"


def track(number: int = 0, address: bytes = LOCAL, pseudonym: bytes | None = NAME, certainty: float = 0.93) -> Track:
    made = Track(number, Burst(address, T0_US, 1), certainty)
    made.pseudonym = pseudonym
    return made


def burst(of: Track, *levels: int, after_ms: int = 0, lasts_ms: int = 40, channel: int | None = 6) -> Burst:
    made = Burst(of.head, T0_US + after_ms * 1000, 1)
    made.last_us += lasts_ms * 1000
    made.frames = 4
    made.rssi = list(levels)
    made.channel = channel
    made.track = of
    return made


def closed(window: DayWindow) -> list[Sighting]:
    return window.close(T0_MS, ESTIMATE)[0]


# --- mode day -------------------------------------------------------------------------------------------------------


def test_the_bursts_of_one_device_are_one_sighting():
    """First and last frame, counts, strongest and middle level, mean probability, last channel, in steps where nobody knows better."""
    window, phone = DayWindow("pcap"), track()
    window.add(burst(phone, -60, -58, -71, after_ms=10_000, channel=1), 0.9, Zone.INSIDE)
    window.add(burst(phone, -75, after_ms=0, lasts_ms=200, channel=11), 0.2, Zone.OUTSIDE)

    assert closed(window) == [
        Sighting(NAME, T0_MS, T0_MS + 10_040, 2, 8, -58, -71, 55, 11, AddressKind.RANDOMISED, "pcap", 95)
    ]


def test_of_the_addresses_of_a_window_the_smallest_link_is_told_whatever_their_order():
    """Two access points that heard the same addresses name the same one."""
    links = [b"\5\0\0\0", b"\2\0\0\0", b"\7\0\0\0"]
    for order in (links, links[::-1]):
        window, phone = DayWindow("pcap"), track()
        for link in order:
            window.add(burst(phone, -60), 0.9, Zone.INSIDE, link)
        assert closed(window)[0].link == b"\2\0\0\0"


def test_a_link_that_the_pseudonym_says_already_is_left_out():
    window, phone = DayWindow("pcap"), track()
    window.add(burst(phone, -60), 0.9, Zone.INSIDE, NAME[:4])

    assert closed(window)[0].link is None


def test_what_the_source_cannot_know_stays_unknown():
    window = DayWindow("hostapd")
    window.add(burst(track(), channel=None), None, None)

    (sighting,) = closed(window)
    assert (sighting.rssi_max_dbm, sighting.rssi_median_dbm, sighting.p_inside, sighting.channel) == (None,) * 4


def test_a_burst_without_a_level_does_not_change_what_is_known():
    window, phone = DayWindow("pcap"), track()
    window.add(burst(phone, -60), 0.8, Zone.INSIDE)
    window.add(burst(phone, channel=None), None, None)

    (sighting,) = closed(window)
    assert (sighting.p_inside, sighting.channel, sighting.rssi_median_dbm, sighting.bursts) == (80, 6, -60, 2)


def test_two_tracks_of_one_pseudonym_are_one_sighting():
    """A global address that comes back after the track's time-out begins a new track with the same head."""
    window = DayWindow("pcap")
    window.add(burst(track(1, GLOBAL), -60), 0.5, Zone.OUTSIDE)
    window.add(burst(track(2, GLOBAL), -50), 0.5, Zone.OUTSIDE)

    (sighting,) = closed(window)
    assert (sighting.bursts, sighting.address_kind) == (2, AddressKind.GLOBAL)


def test_sightings_are_in_order_of_their_first_frame_and_then_of_their_pseudonym():
    window = DayWindow("pcap")
    for name, after_ms in ((b"c" * 8, 5), (b"b" * 8, 0), (b"a" * 8, 5)):
        window.add(burst(track(pseudonym=name), after_ms=after_ms), None, None)

    assert [s.pseudonym[:1] for s in closed(window)] == [b"b", b"a", b"c"]


def test_a_closed_window_is_empty():
    window = DayWindow("pcap")
    assert window.is_empty()
    window.add(burst(track()), None, None)
    assert not window.is_empty()

    _, windows, counts = window.close(T0_MS, ESTIMATE)

    assert windows == [WindowEstimate(T0_MS, 2.0, 2.0, 3.3)]
    assert counts == []
    assert window.is_empty()


def test_no_device_reaches_a_window_without_a_pseudonym():
    with pytest.raises(ValueError, match="without a pseudonym"):
        DayWindow("pcap").add(burst(track(pseudonym=None)), None, None)


@given(st.floats(0, 100))
def test_a_percentage_is_given_to_the_nearest_five(percent: float):
    assert in_steps(percent) % 5 == 0
    assert abs(in_steps(percent) - percent) <= 2.5


def test_a_window_keeps_no_more_devices_than_it_may_and_those_that_it_keeps_are_whole():
    window, (first, second, third) = DayWindow("pcap", 2), (track(pseudonym=name) for name in (b"a", b"b", b"c"))
    for one in (first, second, third, first):
        window.add(burst(one, -60), 0.9, Zone.INSIDE)

    assert [(s.pseudonym, s.bursts) for s in closed(window)] == [(b"a", 2), (b"b", 1)]


# --- mode count -----------------------------------------------------------------------------------------------------


def test_a_zone_is_counted_by_the_last_that_was_known_of_each_track():
    window, walker, waiter = CountWindow("pcap"), track(1), track(2)
    window.add(burst(walker), 0.2, Zone.OUTSIDE)
    window.add(burst(waiter), 0.1, Zone.OUTSIDE)
    window.add(burst(walker), 0.9, Zone.INSIDE)
    window.add(burst(walker), None, None)

    assert window.close(T0_MS, ESTIMATE) == (
        [],
        [],
        [ZoneCount(T0_MS, "inside", 1.0, 1.0, 1.7), ZoneCount(T0_MS, "outside", 1.0, 1.0, 1.7)],
    )
    assert window.is_empty()


def test_a_device_without_a_level_is_counted_where_nobody_knows():
    """A capture of link type 105 has no levels: its devices were counted nowhere once."""
    window = CountWindow("pcap")
    window.add(burst(track(1)), None, None)
    window.add(burst(track(2)), 0.9, Zone.INSIDE)

    assert window.close(T0_MS, ESTIMATE)[2] == [
        ZoneCount(T0_MS, "inside", 1.0, 1.0, 1.7),
        ZoneCount(T0_MS, "outside", 0.0, 0.0, 0.0),
        ZoneCount(T0_MS, "unplaced", 1.0, 1.0, 1.7),
    ]


def test_a_count_keeps_numbers_and_zones_and_nothing_else():
    window = CountWindow("pcap")
    window.add(burst(track(7)), 0.9, Zone.INSIDE)

    assert {name: getattr(window, name) for name in CountWindow.__slots__} == {
        "_most": 4000,
        "_zones": {7: Zone.INSIDE},
    }
    assert not hasattr(window, "__dict__")


def test_a_count_keeps_no_more_devices_than_it_may_and_goes_on_with_those_that_it_has():
    window = CountWindow("pcap", 2)
    for number, zone in ((1, Zone.OUTSIDE), (2, Zone.OUTSIDE), (3, Zone.INSIDE), (1, Zone.INSIDE)):
        window.add(burst(track(number)), 0.5, zone)

    assert window._zones == {1: Zone.INSIDE, 2: Zone.OUTSIDE}


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(Zone)), min_size=1, max_size=40))
def test_the_zones_together_are_the_estimate(placed: list[tuple[int, Zone]]):
    window = CountWindow("pcap")
    for number, zone in placed:
        window.add(burst(track(number)), 0.5, zone)

    _, _, counts = window.close(T0_MS, DeviceEstimate(17.0, 11.0, 29.0, 0.8))

    for figure, whole in (("devices", 17.0), ("low", 11.0), ("high", 29.0)):
        assert sum(getattr(count, figure) for count in counts) == pytest.approx(whole, abs=0.11)
    assert all(0 <= count.low <= count.devices <= count.high for count in counts)
