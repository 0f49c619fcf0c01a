"""What hostapd's notices say, and what they cannot."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import GLOBAL, LOCAL, T0_US, local
from support.shared_data import shared_data

from agent.dot11.captured import Event, Presence
from agent.dot11.probe_request import ProbeRequest, Skipped
from agent.sources.blobmsg import encode_table
from agent.sources.hostapd_events import RECENT_MAX, EventReader, read_address
from agent.sources.hostapd_session import Notice


def fields(address: bytes = LOCAL, /, **changes: Any) -> dict[str, Any]:
    """The table of a probe event; None leaves a field out."""
    table = {"address": address.hex(":"), "ifname": "wlan0", "target": "ff:ff:ff:ff:ff:ff", "signal": -67, "freq": 2437}
    return {name: value for name, value in (table | changes).items() if value is not None}


def read(*told: tuple[str, dict[str, Any], int, int]) -> list[Event | Presence]:
    """(event, fields, BSS, µs since the start) of each notice, read by one reader."""
    reader = EventReader()
    return [
        item
        for event, table, bss, at_us in told
        for item in reader.read(Notice(event, encode_table(table), bss), T0_US + at_us)
    ]


def outcomes(items: list[Event | Presence]) -> list[str]:
    """In one word each."""
    return [
        "presence"
        if isinstance(item, Presence)
        else item.request.reason
        if isinstance(item.request, Skipped)
        else "probe"
        for item in items
    ]


def test_a_probe_event_becomes_a_probe_request_without_what_hostapd_does_not_know():
    (event,) = read(("probe", fields(ht_capabilities={"ht_capabilities_info": 4222}), 0, 5))

    assert event == Event(ProbeRequest(LOCAL, None, -67, 6, None), T0_US + 5)


@pytest.mark.parametrize(
    ("changes", "request_", "is_rejected"),
    [
        pytest.param(
            {"signal": None}, ProbeRequest(LOCAL, None, None, 6, None), False, id="hostapd leaves a level of 0 out"
        ),
        pytest.param({"signal": 17}, ProbeRequest(LOCAL, None, None, 6, None), True, id="above any antenna"),
        pytest.param({"signal": 0}, ProbeRequest(LOCAL, None, None, 6, None), True, id="0 is not known"),
        pytest.param({"signal": -128}, ProbeRequest(LOCAL, None, None, 6, None), True, id="below the noise"),
        pytest.param({"signal": -110}, ProbeRequest(LOCAL, None, -110, 6, None), False, id="the weakest that is taken"),
        pytest.param({"signal": "-60"}, ProbeRequest(LOCAL, None, None, 6, None), True, id="a level in words"),
        pytest.param({"freq": 5180}, ProbeRequest(LOCAL, None, -67, 36, None), False, id="5 GHz"),
        pytest.param({"freq": 1}, ProbeRequest(LOCAL, None, -67, None, None), False, id="a frequency of no channel"),
        pytest.param({"freq": None}, ProbeRequest(LOCAL, None, -67, None, None), False, id="no frequency"),
        pytest.param(
            {"ifname": None}, ProbeRequest(LOCAL, None, -67, 6, None), False, id="old releases name no interface"
        ),
        pytest.param(
            {"address": GLOBAL.hex(":")},
            ProbeRequest(GLOBAL, None, -67, 6, None),
            False,
            id="an address of the registry",
        ),
        pytest.param({"address": None}, Skipped("malformed_event"), False, id="no address"),
        pytest.param({"address": 5}, Skipped("malformed_event"), False, id="a number for an address"),
        pytest.param({"address": "02:00:00:00:00"}, Skipped("malformed_event"), False, id="five octets"),
        pytest.param({"address": "01:00:5e:00:53:01"}, Skipped("bad_address"), False, id="a group's address"),
        pytest.param({"address": "00:00:00:00:00:00"}, Skipped("bad_address"), False, id="no station's address"),
    ],
)
def test_each_field_is_taken_or_left_unknown(
    changes: dict[str, Any], request_: ProbeRequest | Skipped, is_rejected: bool
):
    (event,) = read(("probe", fields(**changes), 0, 0))

    assert event == Event(request_, T0_US, is_rejected)


def test_a_table_that_cannot_be_read_is_counted():
    (event,) = EventReader().read(Notice("probe", b"\x85\0\0", 0), T0_US)

    assert event == Event(Skipped("malformed_event"), T0_US)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([(0, 0, -67), (1, 300, -67)], ["probe", "duplicate_event"], id="two networks tell of one frame"),
        pytest.param([(0, 0, -67), (0, 300, -67)], ["probe", "probe"], id="one network tells of two frames"),
        pytest.param(
            [(0, 0, -67), (1, 10, -67), (0, 20, -67), (1, 30, -67)],
            ["probe", "duplicate_event"] * 2,
            id="two frames heard by two networks, read late",
        ),
        pytest.param([(0, 0, -67), (1, 50_000, -67)], ["probe", "duplicate_event"], id="50 ms apart"),
        pytest.param([(0, 0, -67), (1, 50_001, -67)], ["probe", "probe"], id="later is another frame"),
        pytest.param([(0, 0, -67), (1, 10, -66)], ["probe", "probe"], id="another level is another frame"),
        pytest.param([(0, 0, -67), (1, 5, -67), (2, 9, -67)], ["probe"] + ["duplicate_event"] * 2, id="three networks"),
        pytest.param([(0, 50, -67), (1, 0, -67)], ["probe", "probe"], id="the clock was set back"),
    ],
)
def test_one_frame_counts_once_however_many_networks_tell_of_it(told: list[tuple[int, int, int]], expected: list[str]):
    items = read(*(("probe", fields(signal=level), bss, at_us) for bss, at_us, level in told))

    assert outcomes(items) == expected


def test_two_phones_and_two_channels_are_never_one_frame():
    items = read(
        ("probe", fields(local(1)), 0, 0),
        ("probe", fields(local(2)), 1, 1),
        ("probe", fields(local(1), freq=5180), 1, 2),
    )

    assert outcomes(items) == ["probe"] * 3


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("assoc", ["not_probe_request", "presence"]),
        ("sta-authorized", ["not_probe_request", "presence"]),
        ("disassoc", ["not_probe_request", "presence"]),
        ("deauth", ["not_probe_request", "presence"]),
        ("auth", ["not_probe_request"]),
        ("beacon-report", ["not_probe_request"]),
        ("bss-transition-response", ["not_probe_request"]),
        ("inactive-deauth", ["not_probe_request"]),
        ("what a later release may tell", ["not_probe_request"]),
    ],
)
def test_a_device_that_joins_or_leaves_is_here_and_hostapds_own_timers_prove_nothing(event: str, expected: list[str]):
    assert outcomes(read((event, fields(), 0, 0))) == expected


def client(**changes: Any) -> dict[str, Any]:
    """A joined device as get_clients lists it."""
    return {"auth": True, "assoc": True, "authorized": True, "rrm": [0, 0], "signal": -50, "bytes": {"rx": 1}} | changes


def test_joined_devices_are_present_with_their_level_and_those_who_may_not_in_are_not():
    answer = {
        "freq": 2437,
        "clients": {
            local(1).hex(":"): client(),
            local(2).hex(":"): client(signal=3),
            local(3).hex(":"): client(assoc=False),
            local(4).hex(":"): client(authorized=False),
            "no address": client(),
        },
    }

    assert read(("get_clients", answer, 0, 9)) == [
        Presence(ProbeRequest(local(1), None, -50, 6, None), T0_US + 9),
        Presence(ProbeRequest(local(2), None, None, 6, None), T0_US + 9),
    ]


@pytest.mark.parametrize("answer", [{}, {"clients": 3}, {"clients": {"02:00:00:00:00:01": 1}}, {"clients": {}}])
def test_an_answer_without_clients_lists_nobody(answer: dict[str, Any]):
    assert read(("get_clients", answer, 0, 0)) == []


def test_the_memory_of_frames_stays_small_and_empties():
    reader = EventReader()
    for number in range(3 * RECENT_MAX):
        list(reader.read(Notice("probe", encode_table(fields(local(number))), 0), T0_US))
    assert len(reader._recent) <= RECENT_MAX

    for number in range(2 * RECENT_MAX):
        list(reader.read(Notice("probe", encode_table(fields(local(number))), 0), T0_US + 1_000_000 + number * 2000))
    assert len(reader._recent) <= 30


@given(st.text("0123456789abcdefABCDEF:- x", max_size=20))
def test_only_six_octets_are_an_address(text: str):
    address = read_address(text)

    assert address is None or address.hex(":") == text.lower()


@given(st.sampled_from(["probe", "assoc", "get_clients"]), st.binary(max_size=60))
def test_any_notice_is_read_or_counted(event: str, table: bytes):
    items = list(EventReader().read(Notice(event, table, 0), T0_US))

    assert event == "get_clients" or sum(isinstance(item, Event) for item in items) == 1


# --- recorded by a real hostapd ----------------------------------------------------------------------------------------

RECORDINGS = [
    pytest.param("probe-wlan0-scan.jsonl", {"probe": 5}, id="one network, a scan and injected frames"),
    pytest.param("probe-two-bss.jsonl", {"probe": 4, "duplicate_event": 4}, id="two networks"),
]


@pytest.mark.parametrize(("name", "expected"), RECORDINGS)
def test_recorded_events_give_the_frames_that_were_sent(name: str, expected: dict[str, int]):
    """Events of one injected frame came in one go."""
    told, at_us = [], 0
    for line in (shared_data("ubus") / name).read_text().splitlines():
        if not line.startswith("{"):
            continue
        ((event, table),) = json.loads(line).items()
        if table["ifname"] == "wlan0":
            at_us += 30_000
        told.append((event, table, int(table["ifname"] == "wlan0_1"), at_us))

    assert Counter(outcomes(read(*told))) == expected
