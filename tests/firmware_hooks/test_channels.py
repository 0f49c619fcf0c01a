"""Which channel for how long, and what the hopper does when the radio says no."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.radios import StandInKernel, Vif, golden_iw

from firmware_hooks.capability import judge
from firmware_hooks.channels import ChannelPlan, PlanSettings, plan_channels, schedule
from firmware_hooks.errors import RadioUnfit
from firmware_hooks.hopper import RETRY_AFTER_S, Hopper, read_heard, write_stay
from firmware_hooks.iw_text import Channel, Interface, parse_radios

SETTINGS = PlanSettings(12_000, 1_000, 0.25)


def report(text: str = "ath9k-phy.txt", *interfaces: Interface):
    return judge(parse_radios(golden_iw(text)), interfaces, {})[0]


def channel(number: int, *, passive: bool = False) -> Channel:
    return Channel(number, 2407 + 5 * number, is_radar=passive)


def test_a_free_radio_takes_the_three_channels_that_every_phone_asks_on():
    plan = plan_channels(report())

    assert [c.number for c in plan.channels] == [1, 6, 11]
    assert not plan.is_fixed


def test_a_radio_that_serves_never_hops_whatever_is_wanted():
    plan = plan_channels(report("ath9k-phy.txt", Interface("wlan0", "phy0", "AP", 6, 2437, True)), [1, 11])

    assert (plan.is_fixed, plan.home_channel, plan.channels) == (True, 6, ())
    assert plan.reason == "phy0 serves (wlan0): it stays on channel 6 and does not hop"


@pytest.mark.parametrize("wanted", [14, 36, 99])
def test_a_channel_that_may_not_be_heard_is_refused_with_those_that_may(wanted):
    with pytest.raises(RadioUnfit, match=rf"channel {wanted} .*allowed: 1, 2, .*13$"):
        plan_channels(report(), [1, wanted])


def test_a_radio_of_the_5_ghz_band_leaves_radar_channels_out_unless_asked():
    free = report("ath10k-phy.txt")

    assert [c.number for c in plan_channels(free).channels] == [36, 40, 44, 48]
    assert [(c.number, c.is_passive) for c in plan_channels(free, [36, 52]).channels] == [(36, False), (52, True)]


def test_a_number_that_two_bands_have_means_the_lower_one():
    plan = plan_channels(report("hwsim-phy.txt"), [1])

    assert plan.channels[0].frequency_mhz == 2412


def test_passive_channels_get_the_floor_and_no_more():
    plan = ChannelPlan((channel(1), channel(52, passive=True)), False, "")

    assert [d.dwell_ms for d in schedule(plan, {52: 1000}, SETTINGS)] == [11_000, 1_000]


def test_without_counts_the_time_is_shared_evenly():
    plan = ChannelPlan((channel(1), channel(6), channel(11)), False, "")

    assert [d.dwell_ms for d in schedule(plan, {}, SETTINGS)] == [4_000, 4_000, 4_000]


def test_a_channel_where_nothing_was_heard_is_not_given_up():
    plan = ChannelPlan((channel(1), channel(6), channel(11)), False, "")

    assert [d.dwell_ms for d in schedule(plan, {6: 900}, SETTINGS)] == [1_750, 8_500, 1_750]


def test_more_channels_than_the_cycle_has_room_for_lengthen_it():
    plan = ChannelPlan(tuple(channel(n) for n in range(1, 14)), False, "")

    assert {d.dwell_ms for d in schedule(plan, {}, PlanSettings(5_000, 1_000))} == {1_000}


PLANS = st.lists(st.integers(1, 200), min_size=1, max_size=12, unique=True).flatmap(
    lambda numbers: st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers)).map(
        lambda passive: ChannelPlan(
            tuple(channel(n, passive=p) for n, p in zip(numbers, passive, strict=True)), False, ""
        )
    )
)


@given(
    PLANS, st.dictionaries(st.integers(1, 200), st.integers(0, 10**6)), st.integers(1, 60_000), st.integers(1, 2_000)
)
def test_a_cycle_is_whole_fair_and_the_same_every_time(plan, heard, cycle_ms, floor_ms):
    settings = PlanSettings(cycle_ms, floor_ms)
    dwells = schedule(plan, heard, settings)

    assert dwells == schedule(plan, dict(heard), settings)
    assert [d.channel for d in dwells] == [c.number for c in plan.channels]
    assert sum(d.dwell_ms for d in dwells) == max(cycle_ms, floor_ms * len(dwells))
    assert min(d.dwell_ms for d in dwells) >= floor_ms
    active = [d for d in dwells if not d.is_passive]
    for one in active:
        for other in active:
            if heard.get(one.channel, 0) > heard.get(other.channel, 0):
                assert one.dwell_ms >= other.dwell_ms - 1  # rounding to whole milliseconds


# --- the hopper ---------------------------------------------------------------------------------------------------------


def free_kernel() -> StandInKernel:
    return StandInKernel({"phy0": golden_iw("ath9k-phy.txt")}, {"mon0": Vif("phy0", "monitor", True)})


def hopper(kernel: StandInKernel, **options) -> Hopper:
    return Hopper("mon0", plan_channels(report()), SETTINGS, run=kernel, **options)


def walk(driven: Hopper, seconds: int) -> list[tuple[float, int | None]]:
    """(since, channel) of each stay, asked every tenth of a second."""
    stays = []
    for tenth in range(seconds * 10):
        stay = driven.step(tenth / 10)
        if not stays or stays[-1] != (stay.since_s, stay.channel):
            stays.append((stay.since_s, stay.channel))
    return stays


def test_the_hopper_goes_round_and_says_since_when():
    kernel = free_kernel()

    assert walk(hopper(kernel), 17) == [(0.0, 1), (4.0, 6), (8.0, 11), (12.0, 1), (16.0, 6)]
    assert kernel.changes()[:2] == ["iw dev mon0 set freq 2412", "iw dev mon0 set freq 2437"]


def test_the_listening_time_of_all_stays_is_the_time_that_passed():
    """What a source books: each stay's channel for as long as it lasted."""
    stays = walk(hopper(free_kernel()), 36)
    ends = [since for since, _ in stays[1:]] + [36.0]
    booked: dict[int | None, float] = {}
    for (since, number), end in zip(stays, ends, strict=True):
        booked[number] = booked.get(number, 0) + end - since

    assert booked == {1: 12.0, 6: 12.0, 11: 12.0}


def test_counts_move_the_time_to_where_phones_ask():
    driven = hopper(free_kernel(), heard=lambda: {11: 500})

    assert walk(driven, 12) == [(0.0, 1), (1.8, 6), (3.6, 11)]


def test_an_access_point_that_starts_beside_us_makes_the_hopper_stay_and_say_so():
    kernel = free_kernel()
    driven = hopper(kernel)
    driven.step(0)
    kernel.vifs["wlan0"] = Vif("phy0", "AP", True, 2437)

    stay = driven.step(4)

    assert (stay.is_hopping, stay.channel, stay.since_s) == (False, None, 4)
    assert "EBUSY" in stay.trouble
    assert len([driven.step(t) for t in range(5, 60)]) and driven.refusals == 1


def test_the_hopper_asks_again_and_hops_when_the_access_point_is_gone():
    kernel = free_kernel()
    driven = hopper(kernel)
    kernel.vifs["wlan0"] = Vif("phy0", "AP", True, 2437)
    driven.step(0)
    del kernel.vifs["wlan0"]

    assert driven.step(RETRY_AFTER_S).is_hopping


def test_a_monitor_that_is_deleted_and_made_again_is_used_again():
    kernel = free_kernel()
    driven = hopper(kernel)
    gone = kernel.vifs.pop("mon0")
    assert "mon0 is gone" in driven.step(0).trouble
    kernel.vifs["mon0"] = gone

    assert driven.step(RETRY_AFTER_S).trouble == ""


def test_a_channel_that_the_country_takes_away_is_left_out():
    kernel = free_kernel()
    driven = hopper(kernel)
    kernel.phys["phy0"] = kernel.phys["phy0"].replace("2437 MHz [6] (20.0 dBm)", "2437 MHz [6] (disabled)")

    channels = [number for _, number in walk(driven, 20)]

    assert set(channels) == {1, 11}
    assert driven.stay.is_hopping


def test_when_every_channel_is_taken_away_the_hopper_says_so_and_does_not_spin():
    kernel = free_kernel()
    driven = hopper(kernel)
    kernel.phys["phy0"] = kernel.phys["phy0"].replace("(20.0 dBm)", "(disabled)")
    walk(driven, 30)

    assert "no channel of the plan can be set" in driven.stay.trouble
    assert len(kernel.changes()) == 3


def test_a_fixed_plan_sets_no_channel():
    kernel = free_kernel()
    plan = ChannelPlan((), True, "serves", 6)
    driven = Hopper("mon0", plan, SETTINGS, run=kernel)

    assert walk(driven, 200) == [(0.0, 6)]
    assert kernel.changes() == []


def test_the_report_is_one_json_object_replaced_whole(tmp_path):
    driven = hopper(free_kernel())
    write_stay(tmp_path / "channel.json", driven.step(3.5))

    assert json.loads((tmp_path / "channel.json").read_text()) == {
        "interface": "mon0",
        "channel": 1,
        "frequency_mhz": 2412,
        "since_s": 3.5,
        "is_hopping": True,
        "trouble": "",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["channel.json"]


@pytest.mark.parametrize(
    ("text", "counts"),
    [('{"6": 12, "11": 0}', {6: 12, 11: 0}), ("", {}), ("[1]", {}), ('{"6": -1}', {}), ('{"x": 1}', {}), ("nul", {})],
)
def test_counts_that_cannot_be_read_are_no_counts(tmp_path, text, counts):
    (tmp_path / "heard.json").write_text(text)

    assert read_heard(tmp_path / "heard.json") == counts
    assert read_heard(tmp_path / "none.json") == {}
