"""Sites: names, opening hours as people write them, and local days of 23, 24 and 25 hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.domain.site import Site, SiteError, check_site, hours_from_json, parse_hours

HOUR_MS = 3_600_000
EVERY_DAY = range(7)


def site(time_zone: str = "UTC", hours: str = "") -> Site:
    return Site("shop", "Shop", time_zone, opening_hours=parse_hours(hours) if hours else {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10:00-19:00", {day: [("10:00", "19:00")] for day in EVERY_DAY}),
        ("9:00-24:00", {day: [("09:00", "24:00")] for day in EVERY_DAY}),
        (
            "mon-sat 10:00-19:00, sun 12:00-18:00",
            {**{day: [("10:00", "19:00")] for day in range(6)}, 6: [("12:00", "18:00")]},
        ),
        ("tue 9:30-12:00, tue 14:00-18:00", {1: [("09:30", "12:00"), ("14:00", "18:00")]}),
        ("sat-mon 10:00-12:00", {day: [("10:00", "12:00")] for day in (5, 6, 0)}),
        (" MON  10:00-19:00 , ", {0: [("10:00", "19:00")]}),
    ],
)
def test_opening_hours_are_read_as_people_write_them(text, expected):
    assert parse_hours(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"), (" , ", "empty"), ("10-19", "cannot be read"), ("always", "cannot be read"), ("monday 10:00-19:00", "cannot be read"),
        ("mon- 10:00", "cannot be read"), ("mon tue 10:00-19:00", "cannot be read"), ("19:00-10:00", "after the beginning"),
        ("10:00-10:00", "after the beginning"), ("22:00-25:00", "after the beginning"), ("10:60-19:00", "after the beginning"),
        ("22:00-02:00", "split a night in two"), ("24:00-24:00", "after the beginning"),
    ],
)  # fmt: skip
def test_opening_hours_that_cannot_be_are_refused_with_what_is_allowed(text, words):
    with pytest.raises(SiteError, match=words):
        parse_hours(text)


@pytest.mark.parametrize(
    "text", ["10:00-19:00", "mon-sat 10:00-19:00, sun 12:00-18:00", "tue 9:30-12:00, tue 14:00-18:00"]
)
def test_opening_hours_come_back_from_the_database(text):
    made = site(hours=text)

    assert hours_from_json(made.hours_as_json()) == made.opening_hours


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"site": "Shop"}, "a-z, 0-9"), ({"site": ""}, "a-z, 0-9"), ({"site": "-a"}, "a-z, 0-9"), ({"site": "a" * 64}, "a-z, 0-9"),
        ({"site": "a/../b"}, "a-z, 0-9"), ({"site": "a\n"}, "a-z, 0-9"), ({"time_zone": "Mars/Phobos"}, "Europe/Paris"),
        ({"time_zone": ""}, "unknown"), ({"time_zone": "../etc/passwd"}, "unknown"), ({"legal_mode": "all"}, "count, day, consent"),
        ({"name": ""}, "name"), ({"name": "x" * 201}, "name"), ({"name": "a\nb"}, "name"),
    ],
)  # fmt: skip
def test_a_site_that_cannot_be_is_refused(change, words):
    with pytest.raises(SiteError, match=words):
        check_site(replace(site(), **change))


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [
        ("UTC", "2026-03-29", 24), ("Europe/Paris", "2026-03-29", 23), ("Europe/Paris", "2026-10-25", 25), ("Europe/Paris", "2026-11-20", 24),
        ("America/New_York", "2026-03-08", 23), ("Australia/Lord_Howe", "2026-04-05", 24.5), ("Asia/Kathmandu", "2026-01-01", 24),
        ("America/Havana", "2026-03-08", 23),
    ],
)  # fmt: skip
def test_a_local_day_is_as_long_as_the_clocks_make_it(zone, date, hours):
    start_ms, end_ms = site(zone).day_bounds_ms(date)
    quarters = site(zone).quarters_ms(date)

    assert end_ms - start_ms == hours * HOUR_MS
    assert len(quarters) == hours * 4 and quarters[0] == start_ms


@given(
    st.integers(0, 4_000_000_000_000),
    st.sampled_from(["UTC", "Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]),
)
def test_a_time_lies_in_the_day_that_it_is_given(time_ms, zone):
    start_ms, end_ms = site(zone).day_bounds_ms(site(zone).date_of(time_ms))

    assert start_ms <= time_ms < end_ms


def test_opening_hours_move_with_the_clocks():
    paris = site("Europe/Paris", "10:00-19:00")

    for date, utc_hour in (("2026-03-28", 9), ("2026-03-29", 8), ("2026-10-24", 8), ("2026-10-25", 9)):
        ((opens, closes),) = paris.open_spans_ms(date)
        assert datetime.fromtimestamp(opens / 1000, UTC).hour == utc_hour
        assert closes - opens == 9 * HOUR_MS


def test_a_store_that_is_open_all_day_is_open_from_midnight_to_midnight():
    paris = site("Europe/Paris", "0:00-24:00")

    assert paris.open_spans_ms("2026-10-25") == [paris.day_bounds_ms("2026-10-25")]


def test_a_closed_weekday_has_no_hours():
    assert site(hours="mon-sat 10:00-19:00").open_spans_ms("2026-11-22") == []


@pytest.mark.parametrize(
    ("zone", "offset"), [("UTC", 0), ("Europe/Paris", -60), ("America/New_York", 300), ("Asia/Kathmandu", -345)]
)
def test_the_key_day_begins_at_local_midnight(zone, offset):
    """Minutes after 00:00 UTC; in winter."""
    made = site(zone)
    start_ms, _ = made.day_bounds_ms("2026-01-15")

    assert made.key_day_offset_min(start_ms) == offset
    assert (start_ms - offset * 60_000) % (24 * HOUR_MS) == 0
