"""What may be published: cells of fewer than five, what would give them away, and sums of days."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.dashboard.compare import compare, same_weekdays
from cloud.dashboard.ranges import HeardQuarter, by_week, heat, monday_of_week, sum_up, week_name
from cloud.dashboard.view import NOT_TOLD, quarter_series, show_cell, tile
from cloud.domain.language import NONE
from cloud.domain.publish import Figure, K, also_hidden, publish_buckets, publish_day, publish_quarters

counts = st.integers(0, 40)


def row(metric, value, devices=None, **more):
    bounds = {"value": float(value), "low": value * 0.8, "high": value * 1.2, "coverage": 1.0}
    return {"metric": metric, **bounds, "devices": value if devices is None else devices, **more}


def quarter(n, value):
    return row("visitors", value, start_ms=n * 900_000)


def test_a_day_shows_no_figure_that_rests_on_fewer_than_five():
    shown = publish_day([row("visitors", 4), row("passers_by", 5), row("capture_rate", 0.4, 4), row("devices", 90)])

    assert (shown["visitors"].value, shown["visitors"].low, shown["visitors"].is_hidden) == (None, None, True)
    assert shown["passers_by"].value == 5.0 and shown["capture_rate"].is_hidden
    assert "devices" not in shown, "it is the sum of others and would tell a hidden one"


def test_a_part_is_hidden_where_the_rest_of_its_whole_is_small():
    """20 visitors of whom 18 were engaged: two were not, and that is nobody's business."""
    engaged = publish_day([row("visitors", 20), row("engaged", 18)])["engaged"]
    assert (engaged.is_hidden, engaged.is_small) == (True, False)
    assert (tile("engaged", engaged).value, tile("engaged", engaged).note) == (
        NONE,
        "not told: another figure would follow from it",
    )
    assert tile("visitors", publish_day([row("visitors", 4)])["visitors"]).value == "<\u00a05"
    assert publish_day([row("visitors", 20), row("engaged", 20)])["engaged"].value == 20
    assert publish_day([row("visitors", 20), row("engaged", 15)])["engaged"].value == 15


@given(st.lists(counts, min_size=1, max_size=30))
def test_no_hidden_quarter_can_be_worked_out_from_the_others_and_the_day(values):
    shown = publish_quarters([quarter(n, value) for n, value in enumerate(values)])
    hidden = [value for value, figure in zip(values, shown, strict=True) if figure.is_hidden]

    assert all(figure.is_hidden for value, figure in zip(values, shown, strict=True) if 0 < value < K)
    if sum(values) >= K and any(0 < value < K for value in values):
        assert len(hidden) >= 2 and sum(hidden) != hidden[0]


@given(st.lists(counts, max_size=12))
def test_no_hidden_bucket_can_be_worked_out_from_the_others_and_the_visitors(values):
    buckets = publish_buckets([{"from_s": n, "to_s": n + 1, "visits": value} for n, value in enumerate(values)])
    hidden = [value for value, bucket in zip(values, buckets, strict=True) if bucket.visits is None]

    assert all(bucket.visits is None or bucket.visits >= K for bucket in buckets)
    if len(hidden) == 1:
        assert sum(values) == hidden[0], "then the whole is as small, and hidden itself"


@pytest.mark.parametrize(
    ("values", "hidden"),
    [
        ([20, 28, 1, 1, 0], {0, 2, 3}),  # 50 - 48 = 2, and empty ones are shown as empty: one each
        ([30, 4, 4, 20, 0], {1, 2, 3}),  # 54 - 50 = 8 of two that are at most 4: four each
        ([1, 1, 0, 1, 1, 1, 0], {0, 1, 2, 3, 4, 5}),  # five of five: an empty one makes room for doubt
        ([1, 2, 0, 40], {0, 1, 3}),  # 43 - 40 = 3: a count of fewer than five, together
        ([1, 2, 3, 40], {0, 1, 2}),
    ],
)
def test_hidden_quarters_do_not_follow_from_the_least_or_the_most_that_they_can_be(values, hidden):
    shown = publish_quarters([quarter(n, value) for n, value in enumerate(values)])
    assert {place for place, figure in enumerate(shown) if figure.is_hidden} == hidden


def test_hidden_buckets_do_not_follow_from_the_most_that_they_can_be():
    values = [4, 4, 20, 30]
    buckets = publish_buckets([{"from_s": n, "to_s": n + 1, "visits": value} for n, value in enumerate(values)])
    assert [bucket.visits for bucket in buckets] == [None, None, None, 30]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_what_is_hidden_together_is_not_told_by_its_sum(values):
    shown = publish_quarters([quarter(n, value) for n, value in enumerate(values)])
    hidden = [value for value, figure in zip(values, shown, strict=True) if figure.is_hidden]
    if hidden and sum(values) >= K and len(hidden) < len(values):
        assert sum(hidden) >= K and sum(hidden) not in (len(hidden), 4 * len(hidden))


def test_an_hour_does_not_tell_two_quarters_of_four_each():
    """Of 00:00 to 01:00 two are hidden, and 8 = 4 + 4 is all that two hidden ones can come to."""
    values = [4, 4, 0, 9, 2, 3, 20, 30]
    quarters = [HeardQuarter("2026-11-16", n * 900_000, float(v), v) for n, v in enumerate(values)]
    table = heat(quarters, lambda ms: ms // 3_600_000, is_sum=True)
    assert table[0, 0].is_hidden and table[0, 1].is_hidden


def test_two_hidden_cells_hide_each_other():
    assert also_hidden([None, None, 7]) == [] and also_hidden([None, 0, 9, 6]) == [3] and also_hidden([8, 9]) == []


# --- several days ---------------------------------------------------------------------------------------------------------


def day(visitors, passers_by, dwell_s=600):
    rows = [row("visitors", visitors), row("passers_by", passers_by), row("dwell_median_s", dwell_s, visitors)]
    return publish_day(rows)


def test_days_are_added_up_with_their_ends_and_hidden_days_add_nothing():
    summary = sum_up({"2026-11-16": day(10, 90), "2026-11-17": day(30, 70), "2026-11-18": day(3, 50)})

    assert summary.days == 2
    assert (summary.figures["visitors"].value, summary.figures["visitors"].low, summary.figures["visitors"].high) == (
        40,
        32,
        48,
    )
    assert summary.per_day("visitors").value == 20
    rate = summary.figures["capture_rate"]
    assert rate.value == 40 / 200 and rate.low < 40 / 200 < rate.high


def test_the_typical_stay_is_the_median_of_the_days():
    days = {f"2026-11-{16 + n}": day(10, 90, seconds) for n, seconds in enumerate((300, 600, 6000))}

    assert sum_up(days).figures["dwell_median_s"].value == 600


@given(st.lists(st.tuples(counts, counts), min_size=1, max_size=20))
def test_an_interval_of_several_days_holds_its_value(pairs):
    figures = sum_up({f"2026-01-{n + 1:02d}": day(*pair) for n, pair in enumerate(pairs)}).figures
    for figure in figures.values():
        if figure.value is not None:
            assert figure.low <= figure.value * 1.000001 and figure.value <= figure.high * 1.000001


def test_weeks_are_those_of_iso_8601():
    assert week_name("2026-12-28") == "2026-W53" and monday_of_week("2026-W53") == "2026-12-28"
    assert [monday_of_week(text) for text in ("2026-W54", "x", "2026-W", "-W1", "2026W47")] == [None] * 5
    assert list(by_week({"2026-11-22": day(9, 9), "2026-11-23": day(9, 9)})) == ["2026-11-16", "2026-11-23"]


def test_an_hour_is_shown_where_it_was_heard_whole_and_by_at_least_five():
    def hour(date, at, values):
        return [HeardQuarter(date, (at * 4 + n) * 900_000, value, value) for n, value in enumerate(values)]

    cells = heat(
        [
            *hour("2026-11-16", 10, (1, 1, 1, 1)),
            *hour("2026-11-16", 11, (2, 2, 2, 2)),
            *hour("2026-11-16", 12, (9, 9, 9)),
            *hour("2026-11-16", 13, (3, 3, 3, 4)),
            *hour("2026-11-23", 13, (3, 3, 3, 5)),
        ],
        lambda ms: ms // 3_600_000,
        is_sum=True,
    )

    assert cells[0, 10].is_hidden, "four devices"
    assert cells[0, 11].is_hidden, "else the four could be worked out from the day's sum"
    assert (0, 12) not in cells, "a quarter of it was not heard"
    assert (cells[0, 13].value, cells[0, 13].days) == (14, 2), "13 and 14 visitors"


# --- the same weekday -----------------------------------------------------------------------------------------------------


def figure(value, low, high):
    return Figure("visitors", value, low, high, 1.0)


def test_a_day_is_compared_with_the_mean_of_the_last_four_that_have_a_figure():
    found = compare(figure(120, 110, 130), [100, None, 90, 110, 100, 9000])

    assert (found.mean, found.days, found.is_alike) == (100, 4, False) and round(found.share, 3) == 0.2


def test_nothing_is_claimed_where_the_mean_lies_inside_the_interval():
    assert compare(figure(120, 95, 130), [100]).is_alike


def test_without_a_figure_or_without_days_there_is_no_comparison():
    assert compare(None, [1.0]) is None and compare(figure(5, 4, 6), [None]) is None
    assert compare(Figure("visitors", None, None, None, 1.0, is_hidden=True), [100]) is None


def test_the_same_weekdays_are_whole_weeks_before():
    assert same_weekdays("2026-11-20")[:2] == ["2026-11-13", "2026-11-06"]


def test_a_quarter_hour_that_may_be_any_number_is_a_gap_with_a_note_and_not_fewer_than_five():
    """A gap without one was not heard."""
    small = Figure("occupancy", None, None, None, 1.0, True, 0, is_small=True)
    untold = Figure("occupancy", None, None, None, 1.0, True, 900_000)
    shown = Figure("occupancy", 20.0, 17.0, 26.0, 1.0, False, 1_800_000)
    series = quarter_series([small, untold, shown], [0, 900_000, 1_800_000, 2_700_000])

    assert (series["low"], series["high"]) == ([0.0, None, 17.0, None], [5.0, None, 26.0, None])
    assert series["note"] == ["<\u00a05", NOT_TOLD, "", ""]
    assert [show_cell(figure) for figure in (small, untold)] == ["<\u00a05", NOT_TOLD]


def test_of_arrivals_nothing_hidden_is_said_to_be_small():
    """The twelve are hidden for the two: "< 5" would be untrue of them, and to say it of the two alone would tell which are which."""
    shown = publish_quarters([quarter(n, value) for n, value in enumerate((2, 30, 12, 0, 40))])
    means = publish_quarters([{**quarter(n, value), "metric": "occupancy"} for n, value in enumerate((2, 30, 12))])

    assert [show_cell(figure) for figure in shown if figure.is_hidden] == [NOT_TOLD, NOT_TOLD]
    assert [figure.is_hidden for figure in shown] == [True, False, True, False, False]
    assert [show_cell(figure) for figure in means if figure.is_hidden] == ["<\u00a05"]


def test_hidden_days_together_are_fewer_than_five_only_where_each_is():
    days = {"2026-11-16": publish_day([row("visitors", 3)]), "2026-11-17": publish_day([row("visitors", 4)])}
    untold = {"visitors": Figure("visitors", None, None, None, 1.0, is_hidden=True)}

    assert sum_up(days).figures["visitors"].is_small
    assert not sum_up({**days, "2026-11-18": untold}).figures["visitors"].is_small
