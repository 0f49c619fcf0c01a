"""A day has one legal mode, and no change of it gives back what another day was not allowed to keep."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.domain.modes import LEGAL_MODES, ModeHistory, history_from_json, keeps_devices

TODAY, TOMORROW, YESTERDAY = "2026-11-20", "2026-11-21", "2026-11-19"


@pytest.mark.parametrize(
    ("before", "chosen", "today", "tomorrow"),
    [
        ("day", "count", "count", "count"),
        ("consent", "count", "count", "count"),
        ("count", "day", "count", "day"),
        ("count", "consent", "count", "consent"),
        ("day", "consent", "consent", "consent"),
        ("consent", "day", "day", "day"),
        ("day", "day", "day", "day"),
    ],
)
def test_counting_alone_holds_at_once_and_its_end_waits_for_the_next_day(before, chosen, today, tomorrow):
    history = ModeHistory.of(before).changed(TODAY, chosen)

    assert [history.on(day) for day in (YESTERDAY, TODAY, TOMORROW)] == [before, today, tomorrow]


def test_a_day_that_was_count_for_a_minute_stays_count_however_often_it_is_changed():
    history = ModeHistory.of("day").changed(TODAY, "count").changed(TODAY, "day").changed(TODAY, "consent")

    assert [history.on(day) for day in (YESTERDAY, TODAY, TOMORROW)] == ["day", "count", "consent"]


def test_a_change_to_come_can_be_taken_back():
    assert ModeHistory.of("count").changed(TODAY, "day").changed(TODAY, "count") == ModeHistory.of("count")


changes = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(LEGAL_MODES)), max_size=12)


@given(first=st.sampled_from(LEGAL_MODES), steps=changes)
def test_whatever_is_chosen_when_the_past_stands_and_no_day_begins_to_keep_devices(first, steps):
    history, day = ModeHistory.of(first), date(2026, 11, 1)
    for days_later, mode in steps:
        day += timedelta(days=days_later)
        changed = history.changed(day.isoformat(), mode)
        for past in range(1, 40):
            earlier = (day - timedelta(days=past)).isoformat()
            assert changed.on(earlier) == history.on(earlier)
        assert keeps_devices(history.on(day.isoformat())) >= keeps_devices(changed.on(day.isoformat()))
        assert changed.on((day + timedelta(days=1)).isoformat()) == mode
        history = history_from_json(changed.as_json(), mode)
        assert history == changed
