"""Which radio can do what, and what its owner is told."""

from __future__ import annotations

import pytest
from support.radios import golden_iw

from firmware_hooks.capability import advice, choose, judge
from firmware_hooks.drivers import OBJECTIONS, objections
from firmware_hooks.iw_text import Interface, parse_interfaces, parse_radios


def report(text: str, driver: str | None, *interfaces: Interface):
    return judge(parse_radios(golden_iw(text)), interfaces, {"phy0": driver, "phy1": driver})[0]


AP = Interface("wlan0", "phy0", "AP", 6, 2437, True)
AP_ON_1 = Interface("wlan1", "phy1", "AP", 6, 2437, True)


@pytest.mark.parametrize(
    ("text", "driver", "interfaces", "can", "beside", "now", "hops"),
    [
        pytest.param("ath9k-phy.txt", "ath9k", (), True, True, True, True, id="a free ath9k"),
        pytest.param("ath9k-phy.txt", "ath9k", (AP,), True, True, True, False, id="an ath9k that serves"),
        pytest.param("ath10k-phy.txt", "ath10k_pci", (), True, True, True, True, id="ath10k"),
        pytest.param("brcmfmac-phy.txt", "brcmfmac", (), False, False, False, False, id="the Pi's own radio"),
        pytest.param("ath9k-phy.txt", "brcmfmac", (), False, False, False, False, id="the driver's word is not all"),
        pytest.param("mwlwifi-phy.txt", "mwlwifi", (), True, False, True, True, id="mwlwifi alone"),
        pytest.param("mwlwifi-phy.txt", "mwlwifi", (AP_ON_1,), True, False, False, False, id="mwlwifi beside its AP"),
        pytest.param("fullmac-phy.txt", None, (AP,), True, True, True, False, id="by combination"),
        pytest.param("old-phy.txt", None, (), True, False, True, True, id="no AP at all"),
    ],
)
def test_a_radio_is_judged_by_claim_driver_and_use(text, driver, interfaces, can, beside, now, hops):
    found = report(text, driver, *interfaces)

    assert (found.can_monitor, found.can_monitor_beside_ap, found.may_monitor_now, found.may_hop) == (
        can,
        beside,
        now,
        hops,
    )


def test_a_free_radio_is_chosen_before_one_that_serves():
    reports = judge(parse_radios(golden_iw("mt76-phy.txt")), [AP], {})

    assert choose(reports).radio.name == "phy1"
    assert choose([r for r in reports if r.serving]).radio.name == "phy0"
    assert choose([report("brcmfmac-phy.txt", "brcmfmac")]) is None


def test_a_joined_station_serves_its_owner_and_is_not_taken_away():
    station = parse_interfaces(golden_iw("brcmfmac-dev.txt"))[0]

    assert report("ath9k-phy.txt", "ath9k", station).may_hop is False


def test_an_access_point_that_is_down_serves_nobody():
    down = Interface("wlan0", "phy0", "AP", None, None, False)

    assert report("ath9k-phy.txt", "ath9k", down).may_hop is True


@pytest.mark.parametrize(
    ("text", "driver", "interfaces", "words"),
    [
        ("brcmfmac-phy.txt", "brcmfmac", (), "cannot listen.*USB adapter"),
        ("mwlwifi-phy.txt", "mwlwifi", (AP_ON_1,), "panics.*source 'hostapd', or a second radio"),
        ("ath9k-phy.txt", "ath9k", (AP,), "on channel 6 only"),
        ("ath9k-phy.txt", "ath9k", (), "free to listen on 13 channels"),
    ],
)
def test_the_owner_is_told_what_to_do(text, driver, interfaces, words):
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(advice(report(text, driver, *interfaces)))


def test_every_objection_gives_a_reason_and_a_source():
    for entry in OBJECTIONS:
        assert entry.use in ("monitor", "monitor_beside_ap", "hostapd_events")
        assert entry.weight in ("never", "suspect")
        assert len(entry.reason) > 30
        assert entry.source


def test_an_unknown_driver_has_no_objection_and_an_alias_has_its_own():
    assert objections(None) == objections("ath9k") == ()
    assert objections("rtl8812au")[0].driver == "88XXau"
