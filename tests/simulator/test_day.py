"""A simulated day: what the truth says is what the frames show, and the seed decides all of it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from statistics import median

import pytest

from simulator.day import DAY_S, QUARTER_S, DaySettings, simulate

SETTINGS = DaySettings(seed=3, shoppers=240)
MIDNIGHT_MS = 1_795_132_800_000
"""00:00 UTC on 2026-11-20, the settings' date."""
SCAN_MS = 1000
"""A scan that begins before somebody leaves is over within this."""


@pytest.fixture(scope="module")
def day() -> tuple[list[tuple[int, bytes]], dict]:
    return simulate(SETTINGS)


def rssi_of(frame: bytes) -> int:
    return frame[14] - 256


def address_of(frame: bytes) -> bytes:
    return frame[28:34]


def test_the_same_seed_gives_the_same_bytes_in_another_process(day):
    """Another process has another hash seed and other caches."""
    code = (
        "import hashlib, sys\n"
        "from simulator.day import DaySettings, simulate\n"
        "frames, truth = simulate(DaySettings(seed=3, shoppers=240))\n"
        "print(hashlib.sha256(repr(frames).encode() + repr(truth).encode()).hexdigest())"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    assert printed.strip() == hashlib.sha256(repr(day[0]).encode() + repr(day[1]).encode()).hexdigest()


def test_another_seed_gives_another_day(day):
    assert simulate(replace(SETTINGS, seed=4))[0] != day[0]


def test_frames_come_in_order_of_time_within_the_local_day(day):
    times = [time_us // 1000 for time_us, _ in day[0]]

    assert times == sorted(times)
    assert times[0] >= MIDNIGHT_MS and times[-1] < MIDNIGHT_MS + DAY_S * 1000 + SCAN_MS


def test_the_truth_counts_every_frame_and_every_device_heard(day):
    frames, truth = day
    people = truth["people"]

    assert truth["frames"] == len(frames) == sum(p["frames"] for p in people)
    assert truth["summary"]["devices"] == len(people) == 240 + 4 + 2
    assert truth["summary"]["devices_heard"] == sum(1 for p in people if p["frames"])
    assert 0 < truth["summary"]["devices_heard"] < len(people)


def test_the_summary_follows_from_the_people_by_the_rule_of_the_glossary(day):
    """Inside for 5 minutes: visitor; for 15: engaged; all other shoppers pass by; more than 8 hours: resident."""
    people, summary = day[1]["people"], day[1]["summary"]
    shoppers = [p for p in people if p["kind"] in ("passer-by", "shopper")]
    inside_s = {id(p): 0 if p["enters_ms"] is None else (p["exits_ms"] - p["enters_ms"]) / 1000 for p in shoppers}
    visitors = [p for p in shoppers if inside_s[id(p)] >= 300]

    assert summary["visitors"] == len(visitors)
    assert summary["passers_by"] == len(shoppers) - len(visitors)
    assert summary["visitors_heard"] == sum(1 for p in visitors if p["frames"])
    assert summary["engaged"] == sum(1 for p in visitors if inside_s[id(p)] >= 900)
    assert summary["capture_rate"] == pytest.approx(len(visitors) / len(shoppers), abs=1e-4)
    assert summary["dwell_median_s"] == pytest.approx(
        median((p["leaves_ms"] - p["arrives_ms"]) / 1000 for p in visitors), abs=1
    )
    assert summary["residents"] == sum(1 for p in people if p["leaves_ms"] - p["arrives_ms"] > 8 * 3_600_000)


def test_the_quarters_hold_the_visitors_and_their_time_inside(day):
    truth = day[1]
    visitors = [p for p in truth["people"] if p["kind"] == "shopper" and p["exits_ms"] - p["enters_ms"] >= 300_000]

    assert [q["start_ms"] for q in truth["quarters"]] == [MIDNIGHT_MS + n * QUARTER_S * 1000 for n in range(96)]
    assert sum(q["visitors"] for q in truth["quarters"]) == truth["summary"]["visitors"]
    inside_s = sum(p["exits_ms"] - p["enters_ms"] for p in visitors) / 1000
    assert sum(q["occupancy"] for q in truth["quarters"]) * QUARTER_S == pytest.approx(inside_s, rel=0.01)


@pytest.mark.parametrize("seed", range(12))
def test_nobody_is_heard_before_arriving_or_after_leaving(seed: int):
    frames, truth = simulate(DaySettings(seed=seed, shoppers=1, staff=0, printers=0, visitor_share=1.0))
    (person,) = truth["people"]

    assert person["arrives_ms"] <= person["enters_ms"] <= person["exits_ms"] <= person["leaves_ms"]
    for time_us, _ in frames:
        assert person["arrives_ms"] <= time_us / 1000 <= person["leaves_ms"] + SCAN_MS


def test_who_never_comes_in_has_no_time_inside(day):
    passers_by = [p for p in day[1]["people"] if p["kind"] == "passer-by"]

    assert passers_by
    assert {(p["enters_ms"], p["exits_ms"]) for p in passers_by} == {(None, None)}


def test_shoppers_come_in_the_opening_hours_of_the_stores_own_clock():
    """A store two hours ahead of UTC opens two hours earlier in UTC."""
    settings = DaySettings(seed=5, shoppers=60, staff=0, printers=0, utc_offset_min=120)
    opens_ms = MIDNIGHT_MS - 2 * 3_600_000 + 10 * 3_600_000

    arrivals = [p["arrives_ms"] for p in simulate(settings)[1]["people"]]

    assert opens_ms <= min(arrivals) and max(arrivals) <= opens_ms + 9 * 3_600_000


def test_the_share_of_visitors_is_about_what_was_asked_for():
    people = simulate(DaySettings(seed=6, shoppers=1500, visitor_share=0.4, staff=0, printers=0))[1]["people"]

    assert sum(p["kind"] == "shopper" for p in people) / 1500 == pytest.approx(0.4, abs=0.04)


def test_printers_stay_all_day_under_one_global_address_each(day):
    frames, truth = day
    printers = [p for p in truth["people"] if p["kind"] == "printer"]
    of_printers = Counter(
        address_of(data) for _, data in frames if address_of(data).startswith(bytes.fromhex("00005e0053"))
    )

    assert len(printers) == 2
    assert all((p["arrives_ms"], p["leaves_ms"]) == (MIDNIGHT_MS, MIDNIGHT_MS + DAY_S * 1000) for p in printers)
    assert sorted(of_printers.values()) == sorted(p["frames"] for p in printers)


def test_staff_come_before_and_leave_after_the_opening_hours(day):
    staff = [p for p in day[1]["people"] if p["kind"] == "staff"]

    assert len(staff) == 4
    assert all(
        p["arrives_ms"] < MIDNIGHT_MS + 10 * 3_600_000 and p["leaves_ms"] > MIDNIGHT_MS + 19 * 3_600_000 for p in staff
    )
    assert all(p["frames"] > 100 for p in staff)


def test_addresses_are_of_the_documentation_range_or_locally_administered(day):
    for _, data in day[0]:
        address = address_of(data)
        assert address.startswith(bytes.fromhex("00005e0053")) or address[0] & 0b11 == 0b10


def test_nothing_in_the_truth_is_an_address(day):
    """The truth is printed and kept; it tells of people, not of what identifies their phones."""
    assert {key for person in day[1]["people"] for key in person} == {
        "kind",
        "model",
        "arrives_ms",
        "leaves_ms",
        "enters_ms",
        "exits_ms",
        "frames",
    }


def test_several_phones_of_one_model_and_build_are_near_at_the_same_time(day):
    """What makes counting hard: the same elements under different addresses within a minute, from people that the truth knows apart."""
    minutes: dict[tuple[int, bytes], set[bytes]] = {}
    for time_us, data in day[0]:
        minutes.setdefault((time_us // 60_000_000, data[42:-4]), set()).add(address_of(data))
    models = Counter(p["model"] for p in day[1]["people"])

    assert models.most_common(1)[0][1] > 20
    assert sum(1 for addresses in minutes.values() if len(addresses) > 1) > 20


def test_inside_is_louder_than_in_the_street():
    """A wall of 11 dB and the distance lie between; single readings still overlap."""
    levels = {
        kind: [
            rssi_of(data)
            for _, data in simulate(DaySettings(seed=7, shoppers=300, staff=0, printers=0, visitor_share=share))[0]
        ]
        for kind, share in (("inside", 1.0), ("street", 0.0))
    }

    assert median(levels["inside"]) - median(levels["street"]) > 8
    assert min(levels["inside"]) < max(levels["street"])


def test_a_day_without_anybody_is_a_capture_without_frames():
    frames, truth = simulate(DaySettings(shoppers=0, staff=0, printers=0))

    assert frames == []
    assert truth["summary"]["visitors"] == 0 and truth["summary"]["dwell_median_s"] is None
