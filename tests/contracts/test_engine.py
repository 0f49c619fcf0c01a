"""What every analytics engine promises: it runs every shared text, and the same sightings give the same rows, however they lie."""

from __future__ import annotations

from random import Random

import pytest
from contracts.adapters import ENGINES
from support.lake import DAY_MS, HOUR_MS, MIN_MS, laid, ledger, parameters, quarters, run, sighting, window

from cloud.warehouse.base import PARAMETERS, RESULTS, SQL, TABLES, DayInput, EngineError

COLUMNS = {
    "day": {"preset", "visits", "visitors", "passers_by", "engaged", "bounced", "residents", "devices", "expected_visitors", "variance"},
    "quarters": {"preset", "start_ms", "occupants", "occupancy", "occupancy_variance", "visitors", "passers_by", "arrivals_variance"},
    "dwell": {"preset", "visits", "median_ms", "low_ms", "high_ms"},
    "dwell_buckets": {"preset", "from_s", "to_s", "visits"},
    "ledger_day": {"agent", "batches", "frames", "probe_requests", "skipped", "kernel_drops", "evicted_batches", "listening_ms", "last_window_end_ms"},
    "skipped_day": {"agent", "skipped", "batches"},
    "coverage": {"start_ms", "agents", "listened_ms"},
    "error": {"windows", "devices", "low", "high"},
    "zone_quarters": {"zone", "start_ms", "windows", "devices", "low", "high"},
}  # fmt: skip


@pytest.fixture(params=sorted(ENGINES))
def engine(request):
    return ENGINES[request.param]()


@pytest.fixture(scope="module")
def tables():
    """A morning of 30 devices at two access points, with levels and probabilities that are not known."""
    random, rows = Random(7), []
    for number in range(300):
        first = DAY_MS + 9 * HOUR_MS + random.randrange(3 * HOUR_MS)
        known = random.random() < 0.9
        rows.append(sighting(f"{random.randrange(30):016x}", first, first + random.randrange(20 * MIN_MS), number, agent=f"ap-{number % 2}",
                             rssi_median_dbm=random.randint(-95, -40) if known else None, p_inside=random.randint(0, 100) if known else None))  # fmt: skip
    return {
        "sightings": rows,
        "ledger": [
            ledger(DAY_MS + n * HOUR_MS, DAY_MS + (n + 1) * HOUR_MS, 50 * MIN_MS, batch=n, agent=f"ap-{n % 2}")
            for n in range(9, 12)
        ],
        "windows": [window(DAY_MS + 9 * HOUR_MS + n * 30_000, 5.0 + n, 4.0, 20.0, n) for n in range(10)],
        "zone_counts": [
            window(DAY_MS + 9 * HOUR_MS + n * 30_000, 5.0 + n, 4.0, 20.0, n, zone="inside") for n in range(10)
        ],
    }


def rounded(results):
    """Sums of floats may differ in the last digits with the order of adding."""
    return {
        name: [
            {key: round(value, 9) if isinstance(value, float) else value for key, value in row.items()} for row in rows
        ]
        for name, rows in results.items()
    }


def test_every_text_is_run_and_every_text_is_an_answer_or_a_step():
    assert {path.stem for path in SQL.glob("*.sql")} == {*TABLES, *RESULTS}
    assert set(COLUMNS) == set(RESULTS)
    assert set(parameters()) == set(PARAMETERS)


def test_every_text_gives_its_columns(engine, tables, tmp_path):
    results = run(engine, tmp_path, tables)

    assert {name: set(rows[0]) for name, rows in results.items()} == COLUMNS


def test_an_empty_lake_gives_no_rows_and_zero_estimates(engine, tmp_path):
    results = run(engine, tmp_path, {})

    assert results.pop("error") == [{"windows": 0, "devices": 0.0, "low": 0.0, "high": 0.0}]
    assert all(rows == [] for rows in results.values())


def test_the_same_input_gives_the_same_rows(engine, tables, tmp_path):
    assert rounded(run(engine, tmp_path, tables)) == rounded(run(engine, tmp_path, tables))


@pytest.mark.parametrize("objects", [2, 7])
def test_neither_the_order_of_rows_nor_how_they_are_cut_into_objects_matters(engine, tables, tmp_path, objects):
    shuffled = {name: Random(objects).sample(rows, len(rows)) for name, rows in tables.items()}

    assert rounded(run(engine, tmp_path / "a", tables)) == rounded(run(engine, tmp_path / "b", shuffled, objects))


def test_what_was_delivered_twice_counts_once(engine, tables, tmp_path):
    twice = {name: rows + rows for name, rows in tables.items()}

    assert rounded(run(engine, tmp_path / "a", tables)) == rounded(run(engine, tmp_path / "b", twice, 3))


def test_times_are_whole_milliseconds_and_counts_whole_numbers(engine, tables, tmp_path):
    for rows in run(engine, tmp_path, tables).values():
        for key, value in rows[0].items():
            if (key.endswith("_ms") and key != "listened_ms") or key in ("visits", "visitors", "frames", "occupants"):
                assert type(value) is int, key


def test_a_folder_may_bear_any_name(engine, tables, tmp_path):
    assert run(engine, tmp_path / "café [1] *?%41='", tables)["day"]


def test_an_object_that_cannot_be_read_is_an_error_of_the_engine(engine, tmp_path):
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 and no more")

    for location in (torn, tmp_path / "missing.parquet"):
        with pytest.raises(EngineError):
            engine.run([DayInput({"sightings": [str(location)]}, parameters())])


def test_a_day_of_any_length_has_its_quarters(engine, tables, tmp_path):
    for count in (92, 100):
        spans = quarters(count=count)
        assert run(engine, tmp_path, tables, quarters=spans, spans=spans)["quarters"]


def test_many_days_in_one_run_are_the_same_as_each_alone(engine, tables, tmp_path):
    """The same devices on every day, the same batch numbers, a day without anything: nothing of one meets another."""
    morning = {"start_ms": DAY_MS + 6 * HOUR_MS, "end_ms": DAY_MS + 10 * HOUR_MS}
    fewer = {name: rows[::2] for name, rows in tables.items()}
    days = [
        laid(tmp_path / "a", tables, 3),
        laid(tmp_path / "b", {}),
        laid(tmp_path / "c", fewer, closed_hours=[morning]),
        laid(tmp_path / "d", {"ledger": tables["ledger"]}),
        laid(tmp_path / "e", fewer, quarters=quarters(count=92), spans=quarters(count=92)),
    ]

    assert [rounded(one) for one in engine.run(days)] == [rounded(engine.run([day])[0]) for day in days]
