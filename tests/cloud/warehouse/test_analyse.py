"""From the lake to published figures: intervals, coverage, small cells, late data, days of 23 and 25 hours, mode count."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete
from support.clouds import DATE, HOUR_MS, MIN_MS, NOON_MS, Cloud, busy_hour, counted, heard, stay

from cloud.dashboard.view import metrics
from cloud.databases.tables import day_figures
from cloud.domain.preset import OWN, presets
from cloud.domain.publish import publish_quarters
from cloud.domain.site import Site
from cloud.warehouse.analyse import _Coverage, _quarter_figures, _Times

BEGIN_MS = NOON_MS - HOUR_MS
BEFORE_MS = BEGIN_MS - 24 * HOUR_MS


@pytest.fixture
def cloud(tmp_path):
    clouds = []

    def make(**options) -> Cloud:
        clouds.append(Cloud(tmp_path / str(len(clouds)), **options))
        return clouds[-1]

    yield make
    for made in clouds:
        made.close()


def epoch_ms(text: str, zone: str, fold: int = 0) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def every_figure(made: Cloud) -> list[dict]:
    rows = made.figures()
    return rows["day_figures"] + rows["quarter_figures"]


# --- what is published --------------------------------------------------------------------------------------------------


def test_a_day_has_every_figure_of_the_list_under_every_preset_and_no_other(cloud):
    """metrics.yaml is what the page and the API explain; a figure that is not in it cannot be published."""
    made, count = cloud(), cloud(mode="count")
    made.take(heard(0, *busy_hour()))
    count.take(counted(0, ("inside", 12.0), ("outside", 30.0), ("unplaced", 7.0)))

    published = {row["metric"] for row in every_figure(made) + every_figure(count)}

    assert published == set(metrics())
    assert (
        {row["preset"] for row in every_figure(made)}
        == {row["preset"] for row in every_figure(count)}
        == set(presets())
    )
    assert len({(row["preset"], row["metric"]) for row in made.figures()["day_figures"]}) == 8 * len(presets())


def test_the_figures_of_a_known_hour(cloud):
    made = cloud()
    made.take(
        heard(
            0, *busy_hour(visitors=12, passers_by=20), stay(5000, BEGIN_MS, 2), stay(5001, BEGIN_MS - 9 * HOUR_MS, 601)
        )
    )

    day = made.day()

    values = {
        metric: day[metric]["value"]
        for metric in ("visitors", "passers_by", "engaged", "bounced", "residents", "devices")
    }
    assert values == {"visitors": 12, "passers_by": 21, "engaged": 7, "bounced": 1, "residents": 1, "devices": 34}
    assert day["capture_rate"]["value"] == pytest.approx(12 / 33)
    assert day["dwell_median_s"]["value"] == 16 * 60


def test_every_figure_lies_in_its_interval_and_carries_its_coverage(cloud):
    made = cloud()
    made.take(heard(0, *busy_hour(), listened=0.7, error=0.2))

    for row in every_figure(made):
        assert row["low"] <= row["value"] <= row["high"], row
        assert 0 < row["coverage"] <= 1, row
        assert row["devices"] >= 0


def test_what_was_not_heard_widens_the_interval_upwards(cloud):
    whole, half = cloud(hours="11:00-12:00"), cloud(hours="11:00-12:00")
    whole.take(heard(0, *busy_hour()))
    half.take(heard(0, *busy_hour(), listened=0.5))

    for metric in ("visitors", "passers_by", "engaged", "residents", "devices"):
        wide, narrow = half.day()[metric], whole.day()[metric]
        assert (wide["coverage"], narrow["coverage"]) == (0.5, 1.0)
        assert wide["value"] == narrow["value"] and wide["low"] == narrow["low"]
        assert wide["high"] == pytest.approx(2 * narrow["high"])


def test_the_agents_own_doubt_about_the_number_of_devices_widens_the_interval(cloud):
    sure, unsure = cloud(), cloud()
    sure.take(heard(0, *busy_hour()))
    unsure.take(heard(0, *busy_hour(), error=0.3))

    for metric in ("visitors", "passers_by"):
        assert unsure.day()[metric]["low"] < sure.day()[metric]["low"]
        assert unsure.day()[metric]["high"] > sure.day()[metric]["high"]


def test_coverage_counts_opening_hours_only_and_stops_at_the_clock(cloud):
    made = cloud(hours="10:00-18:00")
    made.take(heard(0, *busy_hour()))

    assert made.day()["visitors"]["coverage"] == pytest.approx(1 / 2)


def test_a_quarter_that_nobody_listened_to_has_no_figure_rather_than_a_zero(cloud):
    made = cloud()
    made.take(heard(0, *busy_hour()))

    assert sorted(made.quarters("visitors")) == [BEGIN_MS + n * 15 * MIN_MS for n in range(4)]


def test_a_quarter_that_was_listened_to_in_vain_is_a_zero(cloud):
    made = cloud()
    made.take(heard(0))

    quarter = made.quarters("visitors")[BEGIN_MS]
    assert (quarter["value"], quarter["devices"], quarter["coverage"]) == (0.0, 0, 1.0)


def test_arrivals_of_the_quarters_add_up_to_the_day(cloud):
    made = cloud()
    made.take(heard(0, *busy_hour()))

    for metric in ("visitors", "passers_by"):
        for preset in presets():
            arrived = sum(row["value"] for row in made.quarters(metric, preset=preset).values())
            assert arrived == made.day(preset=preset)[metric]["value"]


def test_a_quarters_figure_rests_on_the_devices_that_it_counts_and_no_others(cloud):
    """Thirty phones that pass by do not make one visitor a cell of thirty (DESIGN section 6: k = 5)."""
    made = cloud()
    made.take(heard(0, stay(1, BEGIN_MS, 14), *(stay(100 + n, BEGIN_MS + n * 10_000, 1, 5) for n in range(30))))

    behind = {metric: made.quarters(metric)[BEGIN_MS]["devices"] for metric in ("visitors", "occupancy", "passers_by")}
    assert behind == {"visitors": 1, "occupancy": 1, "passers_by": 30}


def test_a_share_rests_on_the_smaller_of_its_two_parts(cloud):
    made = cloud()
    made.take(heard(0, *busy_hour(visitors=3, passers_by=20)))

    assert made.day()["capture_rate"]["devices"] == 3


# --- again, late, and on the days on which clocks change --------------------------------------------------------------------


def test_computing_a_day_again_changes_nothing(cloud):
    made = cloud()
    made.take(heard(0, *busy_hour()))
    before = made.figures()

    made.embedded.analyse("shop", DATE)

    assert made.figures() == before


def test_late_data_computes_its_day_again_and_no_other(cloud):
    made = cloud()
    made.take(
        heard(0, *busy_hour()),
        heard(
            1,
            *busy_hour(500, start_ms=BEGIN_MS - 24 * HOUR_MS),
            start_ms=BEGIN_MS - 24 * HOUR_MS,
            end_ms=NOON_MS - 24 * HOUR_MS,
        ),
    )
    with made.embedded.database.begin() as connection:  # so that it is seen which day is written again
        connection.execute(delete(day_figures))

    made.take(heard(2, stay(999, BEFORE_MS - HOUR_MS, 20), start_ms=BEFORE_MS - 2 * HOUR_MS, end_ms=BEFORE_MS))

    assert {row["date"] for row in made.figures()["day_figures"]} == {"2026-11-19"}
    assert made.day("2026-11-19")["visitors"]["value"] == 13


def test_the_order_in_which_batches_come_does_not_matter(cloud):
    batches = [heard(n, *busy_hour(100 * n, 4, 6, BEGIN_MS + n * 7 * MIN_MS)) for n in range(4)]
    forwards, backwards = cloud(), cloud()
    for content in batches:
        forwards.take(content)
    backwards.take(*reversed(batches))

    for mine, other in zip(every_figure(forwards), every_figure(backwards), strict=True):
        assert mine == pytest.approx(other)


@pytest.mark.parametrize(("date", "quarters"), [("2026-03-29", 92), ("2026-03-30", 96), ("2026-10-25", 100)])
def test_a_day_on_which_the_clocks_change_is_as_long_as_it_is(cloud, date, quarters):
    made = cloud(time_zone="Europe/Paris")
    start_ms, end_ms = made.site.day_bounds_ms(date)
    one_a_quarter = [stay(n, start_ms + n * 15 * MIN_MS, 6) for n in range(quarters)]
    made.take(heard(0, *one_a_quarter, start_ms=start_ms, end_ms=end_ms))

    assert end_ms - start_ms == quarters * 15 * MIN_MS
    assert [row["value"] for _, row in sorted(made.quarters("visitors", date).items())] == [1.0] * quarters
    assert made.day(date)["visitors"]["value"] == quarters
    assert made.day(date)["visitors"]["coverage"] == 1.0


def test_the_hour_that_comes_twice_is_two_hours(cloud):
    made = cloud(time_zone="Europe/Paris")
    first, second = (epoch_ms("2026-10-25T02:30:00", "Europe/Paris", fold) for fold in (0, 1))
    start_ms, end_ms = made.site.day_bounds_ms("2026-10-25")
    made.take(heard(0, stay(1, first, 6), stay(2, second, 6), start_ms=start_ms, end_ms=end_ms))

    arrivals = {start: row["value"] for start, row in made.quarters("visitors", "2026-10-25").items() if row["value"]}
    assert arrivals == {first: 1.0, second: 1.0}
    assert second - first == HOUR_MS


def test_a_sighting_belongs_to_the_local_day_on_which_it_began(cloud):
    made = cloud(time_zone="Asia/Tokyo")
    midnight = epoch_ms("2026-11-20T00:00:00", "Asia/Tokyo")
    made.take(
        heard(
            0, stay(1, midnight - 1, 10), stay(2, midnight, 10), start_ms=midnight - HOUR_MS, end_ms=midnight + HOUR_MS
        )
    )

    assert [made.day(date)["visitors"]["value"] for date in ("2026-11-19", "2026-11-20")] == [1, 1]


def test_without_opening_hours_a_night_owl_is_no_resident_and_with_them_it_is(cloud):
    night = [stay(1, NOON_MS - 10 * HOUR_MS, 1), stay(1, NOON_MS - 8 * HOUR_MS, 1)]
    for hours, residents in (("", 0), ("10:00-19:00", 1), ("mon-thu 10:00-19:00", 1), ("00:00-24:00", 0)):
        made = cloud(hours=hours)
        made.take(heard(0, *night, start_ms=NOON_MS - 12 * HOUR_MS))
        assert made.day()["residents"]["value"] == residents, hours


def test_a_closed_hour_is_what_is_left_of_it_beside_the_opening_hours(cloud):
    """Open from 10:30: who comes at 10:40 and stays past 11 was in no closed hour; who was there at 10:20 was in one."""
    for minute, closed_twice in ((40, 0), (20, 1)):
        made = cloud(hours="10:30-11:30")
        begin = NOON_MS - 2 * HOUR_MS + minute * MIN_MS
        made.take(
            heard(
                0,
                stay(1, begin, 20),
                stay(1, NOON_MS - 20 * MIN_MS, 1) if closed_twice else stay(1, begin, 30),
                start_ms=NOON_MS - 3 * HOUR_MS,
            )
        )
        assert made.day()["residents"]["value"] == closed_twice


# --- mode count -----------------------------------------------------------------------------------------------------------


def test_mode_count_publishes_quarters_and_nothing_of_one_device(cloud):
    made = cloud(mode="count")
    made.take(counted(0, ("inside", 12.0), ("outside", 30.0)))

    rows = made.figures()
    assert rows["day_figures"] == rows["dwell_buckets"] == []
    assert {row["metric"] for row in rows["quarter_figures"]} == {"heard_inside", "heard_outside"}
    inside = made.quarters("heard_inside")[BEGIN_MS]
    assert (inside["value"], inside["low"], inside["high"], inside["devices"]) == (12.0, 11.0, 14.0, 12)


def test_mode_count_leaves_no_sightings_in_the_lake(cloud):
    made = cloud(mode="count")
    made.take(counted(0, ("inside", 12.0)))

    assert {name.split("/")[0] for name in made.embedded.store.names("")} == {"ledger", "zone_counts", "messages"}


def test_a_zone_without_a_figure_stays_in_the_lake_and_off_the_page(cloud):
    made = cloud(mode="count")
    made.take(counted(0, ("cellar", 12.0), ("inside", 6.0)))

    assert {row["metric"] for row in every_figure(made)} == {"heard_inside"}


def test_the_mean_of_a_quarters_windows_is_published(cloud):
    made = cloud(mode="count")
    made.take(*(counted(n, ("inside", 10.0 + n), start_ms=BEGIN_MS + n * 30_000) for n in range(3)))

    assert made.quarters("heard_inside")[BEGIN_MS]["value"] == 11.0


@pytest.mark.parametrize(
    ("mean", "is_shown"), [(0.0, True), (0.4, False), (0.5, False), (4.6, False), (5.0, True), (5.4, True)]
)
def test_in_mode_count_a_mean_under_five_is_hidden_and_so_is_one_device_now_and_then(mean, is_shown):
    """0.4 is one device in 12 of 30 windows: rounded to none it was shown as an empty quarter-hour is."""
    site = Site("shop", "Shop", "UTC", "count")
    times = _Times(site, "2026-11-20", site.day_bounds_ms("2026-11-20")[1])
    start = times.quarters[40][0]
    found = {"zone_quarters": [{"zone": "inside", "start_ms": start, "devices": mean, "low": mean, "high": mean}]}
    rows = [row for row in _quarter_figures(found, _Coverage([], times), "count", times) if row["preset"] == OWN]

    (figure,) = publish_quarters(rows)
    assert (figure.value is not None) is is_shown
