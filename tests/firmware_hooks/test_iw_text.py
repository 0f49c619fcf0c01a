"""`iw phy` and `iw dev` as values, over recorded texts and over the forms of other years and drivers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.radios import golden_iw

from firmware_hooks.iw_text import Combination, parse_interfaces, parse_radios


def radio(name: str):
    return parse_radios(golden_iw(name))[0]


def test_the_recorded_radio_is_read_whole():
    found = radio("hwsim-phy.txt")

    assert found.name == "phy0"
    assert {"AP", "monitor", "mesh point", "P2P-device"} <= found.modes
    assert found.software_modes == {"AP/VLAN", "monitor"}
    assert [(c.total, c.channels) for c in found.combinations] == [(2050, 1)]
    by_number = {c.number: c for c in found.channels if c.frequency_mhz in range(2400, 5900)}
    assert [n for n, c in by_number.items() if c.is_disabled and n < 30] == [14]
    assert [n for n, c in by_number.items() if c.is_radar] == [52, 56, 60, 64, *range(100, 141, 4)]


@pytest.mark.parametrize(
    ("text", "number", "mhz", "disabled", "radar", "no_ir"),
    [
        pytest.param("ath9k-phy.txt", 13, 2472, False, False, False, id="plain"),
        pytest.param("ath9k-phy.txt", 14, 2484, True, False, False, id="disabled"),
        pytest.param("ath10k-phy.txt", 52, 5260, False, True, True, id="two brackets"),
        pytest.param("ath10k-phy.txt", 56, 5280, False, True, False, id="radar"),
        pytest.param("brcmfmac-phy.txt", 104, 5520, False, True, True, id="one bracket for both"),
        pytest.param("mt76-phy.txt", 52, 5260, False, True, False, id="iw 6 writes 5260.0"),
        pytest.param("old-phy.txt", 12, 2467, False, False, True, id="passive scanning of old kernels"),
    ],
)
def test_a_channel_carries_its_restrictions(text, number, mhz, disabled, radar, no_ir):
    found = next(c for c in radio(text).channels if c.number == number)

    assert (found.frequency_mhz, found.is_disabled, found.is_radar, found.is_no_ir) == (mhz, disabled, radar, no_ir)


def test_two_radios_in_one_text_stay_apart():
    one, other = parse_radios(golden_iw("mt76-phy.txt"))

    assert (one.name, [c.number for c in one.channels]) == ("phy1", [36, 52, 149])
    assert (other.name, [c.number for c in other.channels]) == ("phy0", [1, 6, 11, 13, 14])


def test_a_combination_runs_over_two_lines():
    first, second = radio("brcmfmac-phy.txt").combinations

    assert (first.total, first.channels, second.total, second.channels) == (3, 2, 4, 1)


@pytest.mark.parametrize(
    ("limits", "total", "allowed"),
    [
        pytest.param([({"AP", "monitor"}, 4)], 4, True, id="one limit of several"),
        pytest.param([({"AP", "monitor"}, 1)], 4, False, id="one limit of one"),
        pytest.param([({"AP"}, 1), ({"monitor"}, 1)], 2, True, id="a limit each"),
        pytest.param([({"AP"}, 1), ({"monitor"}, 1)], 1, False, id="but one in all"),
        pytest.param([({"AP"}, 8)], 8, False, id="no monitor"),
    ],
)
def test_a_combination_says_what_fits_together(limits, total, allowed):
    combination = Combination(tuple((frozenset(names), most) for names, most in limits), total, 1)

    assert combination.allows("AP", "monitor") is allowed


def test_interfaces_have_radio_type_and_channel_and_nothing_else():
    found = {i.name: i for i in parse_interfaces(golden_iw("hwsim-dev-ap-mon.txt"))}

    assert list(found) == ["wlan3", "wlan2", "wlan1", "mon0", "wlan0"]
    assert (found["wlan0"].radio, found["wlan0"].type, found["wlan0"].channel) == ("phy0", "AP", 6)
    assert (found["mon0"].radio, found["mon0"].type, found["mon0"].channel) == ("phy0", "monitor", None)
    assert "02:00" not in repr(found)
    assert "store" not in repr(found)


def test_an_interface_without_a_name_is_passed_over():
    """And a network that calls itself "Interface" is no interface."""
    (only,) = parse_interfaces(golden_iw("brcmfmac-dev.txt"))

    assert (only.name, only.type, only.channel, only.is_serving) == ("wlan0", "managed", 36, True)


@given(st.text())
def test_any_text_is_read_without_an_error(text: str):
    parse_radios("Wiphy phy0\n" + text)
    parse_interfaces("phy#0\n" + text)


@given(st.lists(st.sampled_from(golden_iw("mt76-phy.txt").splitlines())))
def test_lines_in_any_order_are_read_without_an_error(lines: list[str]):
    parse_radios("\n".join(lines))
