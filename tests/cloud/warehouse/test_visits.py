"""The shared SQL against the visit rule in plain Python (tests/support/visits.py), on random days with the edges drawn often."""

from __future__ import annotations

from random import Random

import pytest
from contracts.adapters import ENGINES
from support.lake import DAY_MS, HOUR_MS, MIN_MS, parameters, run, sighting
from support.visits import buckets_of, day_of, dwell_of, quarter_of, visits_of

from cloud.domain.preset import presets

S = 1000
STEPS_MS = (0, 1, 500, 119_999, 120_000, 120_001, 299_999, 300_000, 300_001, 900_000, 900_001, 20 * MIN_MS, HOUR_MS)
"""Pauses between sightings: each preset's limits, and one beside them."""
CLOSED = [
    {"start_ms": DAY_MS + hour * HOUR_MS, "end_ms": DAY_MS + (hour + 1) * HOUR_MS}
    for hour in (*range(8), *range(20, 24))
]
PRESETS = list(presets())


def random_day(seed: int, devices: int = 25) -> list[dict]:
    """Sightings of devices that come, stay, come again, walk by or never leave; some delivered twice, some of unknown level."""
    random, rows, number = Random(seed), [], 0
    for device in range(devices):
        at_ms, ends_ms = DAY_MS + random.randrange(22 * HOUR_MS), random.choice((1, 3, 8, 40))
        near = random.random()
        for _ in range(ends_ms):
            lasts_ms = random.choice((0, 500, 30 * S, 5 * MIN_MS, 10 * MIN_MS))
            known = random.random() < 0.9
            rows.append(
                sighting(
                    f"{device:016x}", at_ms, at_ms + lasts_ms, number % 50, batch=number // 50, agent=f"ap-{random.randrange(4)}",
                    rssi_median_dbm=random.choice((-95, -90, -89, -80, -79, -75, -65, -64, -50)) if known else None,
                    p_inside=random.choice((0, 45, 50, 55, 100, round(100 * near))) if known else None,
                    link=random.choice((None, f"{random.randrange(40):08x}")),
                )
            )  # fmt: skip
            number += 1
            at_ms += random.choice((lasts_ms, 0)) + random.choice(STEPS_MS)
    return rows + random.sample(rows, len(rows) // 10)


@pytest.fixture(scope="module", params=sorted(ENGINES))
def engine(request):
    return ENGINES[request.param]()


@pytest.mark.parametrize("seed", range(12))
def test_the_shared_sql_agrees_with_the_rule_in_plain_python(engine, tmp_path, seed):
    rows, closed = random_day(seed), CLOSED if seed % 2 else []
    results = run(engine, tmp_path, {"sightings": rows}, objects=3, closed_hours=closed)
    given = parameters()

    for preset in presets().values():
        visits = visits_of(rows, preset, closed)
        of = {name: [row for row in found if row.get("preset") == preset.preset] for name, found in results.items()}
        assert of["day"] == [pytest.approx({"preset": preset.preset, **day_of(visits)})]
        stays = dwell_of(visits)
        assert of["dwell"] == ([{"preset": preset.preset, **stays}] if stays else [])
        assert {row["from_s"]: row["visits"] for row in of["dwell_buckets"]} == buckets_of(visits, given["buckets"])
        found = {row["start_ms"]: row for row in of["quarters"]}
        for quarter in given["quarters"]:
            expected = quarter_of(visits, quarter["start_ms"], quarter["end_ms"])
            named = {"preset": preset.preset, "start_ms": quarter["start_ms"]}
            assert found.get(quarter["start_ms"]) == (pytest.approx({**named, **expected}) if expected else None)


def test_the_random_days_hold_every_class_under_every_preset():
    """Else the comparison above would prove less than it says."""
    for preset in presets().values():
        kinds = {
            visit.kind
            for seed in range(12)
            for visit in visits_of(random_day(seed), preset, CLOSED if seed % 2 else [])
        }
        assert kinds >= {"passer_by", "engaged", "resident"}
        assert "visitor" in kinds or not preset.visitor_min_s < preset.engaged_min_s


# --- the rule, one edge at a time: (first, last, p_inside) in seconds and percent -> class under the own preset -----------------

EDGES = {
    "half a second inside": ([(0, 0.5, 100)], "passer_by"),
    "one ms short of five minutes": ([(0, 299.999, 50)], "passer_by"),
    "five minutes": ([(0, 300, 50)], "visitor"),
    "five minutes at 45 %": ([(0, 300, 45)], "passer_by"),
    "one ms short of fifteen": ([(0, 899.999, 60)], "visitor"),
    "fifteen minutes": ([(0, 900, 60)], "engaged"),
    "outside, then a moment inside": ([(0, 600, 10), (601, 602, 90)], "passer_by"),
    "inside at both ends of eight minutes": ([(0, 1, 80), (240, 241, 10), (480, 481, 80)], "visitor"),
    "heard for four minutes, each second minute": ([(0, 1, 80), (120, 121, 80), (240, 241, 80)], "visitor"),
    "heard for four minutes, each half": ([(30 * n, 30 * n + 1, 80) for n in range(9)], "passer_by"),
    "heard inside once": ([(0, 1, 10), (400, 401, 80), (800, 801, 10)], "passer_by"),
    "a scan each four minutes, thirteen heard": (
        [(0, 1, 80), (240, 241, 80), (480, 481, 80), (720, 721, 80)],
        "engaged",
    ),
    "level unknown": ([(0, 1200, None)], "passer_by"),
    "eight hours": ([(0, 8 * 3600, 100)], "engaged"),
    "longer than eight hours": ([(0, 8 * 3600 + 1, 100)], "resident"),
    "longer than eight hours in two parts": ([(0, 4 * 3600, 100), (5 * 3600, 9 * 3600 + 1, 0)], "resident"),
}


@pytest.mark.parametrize("name", EDGES)
def test_the_own_rule_at_its_edges(engine, tmp_path, name):
    parts, kind = EDGES[name]
    start = DAY_MS + 10 * HOUR_MS
    rows = [
        sighting("a", start + round(a * S), start + round(b * S), n, p_inside=p) for n, (a, b, p) in enumerate(parts)
    ]

    (day,) = (row for row in run(engine, tmp_path, {"sightings": rows})["day"] if row["preset"] == "ivizone")

    assert day["residents"] == (kind == "resident")
    assert day["passers_by"] == (kind == "passer_by")
    assert day["engaged"] == (kind == "engaged")
    assert day["visitors"] == (kind in ("visitor", "engaged"))


@pytest.mark.parametrize(("pause_s", "visits"), [(900, 1), (900.001, 2)])
def test_a_pause_longer_than_the_visit_gap_begins_another_visit(engine, tmp_path, pause_s, visits):
    start = DAY_MS + 10 * HOUR_MS
    rows = [sighting("a", start, start + S, 0), sighting("a", start + S + round(pause_s * S), number=1)]

    (day,) = (row for row in run(engine, tmp_path, {"sightings": rows})["day"] if row["preset"] == "ivizone")

    assert (day["visits"], day["devices"]) == (visits, 1)


@pytest.mark.parametrize(("hours", "residents"), [((7,), 0), ((6, 7), 1), ((7, 12), 0), ((3, 22), 1)])
def test_who_is_heard_in_two_closed_hours_is_a_resident(engine, tmp_path, hours, residents):
    rows = [sighting("a", DAY_MS + hour * HOUR_MS + 30 * MIN_MS, number=n) for n, hour in enumerate(hours)]

    for row in run(engine, tmp_path, {"sightings": rows}, closed_hours=CLOSED)["day"]:
        assert row["residents"] == residents


@pytest.mark.parametrize(
    ("preset", "level", "p_inside", "minutes", "visitors"),
    [
        ("ivizone", -95, 50, 5, 1),
        ("meraki-like", -80, 0, 5, 1),
        ("meraki-like", -81, 100, 5, 0),
        ("aruba-like", -65, 0, 5, 1),
        ("aruba-like", -66, 100, 5, 0),
        ("cloud4wi-like", -75, 0, 5, 1),
        ("purple-like", -65, 0, 0, 1),
        ("purple-like", -66, 100, 60, 0),
        ("bloom-like", -90, 0, 5, 1),
        ("bloom-like", -91, 100, 5, 0),
    ],
)
def test_each_preset_reads_the_same_stay_by_its_own_limits(
    engine, tmp_path, preset, level, p_inside, minutes, visitors
):
    start = DAY_MS + 10 * HOUR_MS
    rows = [sighting("a", start, start + minutes * MIN_MS, rssi_median_dbm=level, p_inside=p_inside)]

    (day,) = (row for row in run(engine, tmp_path, {"sightings": rows})["day"] if row["preset"] == preset)

    assert day["visitors"] == visitors
