"""A database as many stores fill it in a year, from a seed: plausible days with weekdays, seasons, closed Sundays and outages.

Only figures are made, as an analysis would have left them; they have no lake behind them. Rows go in through the database's own driver,
since there are millions of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date as Date
from datetime import timedelta
from math import exp, sqrt
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, insert

from cloud.databases.tables import agents, day_figures, dwell_buckets, ledger_days, quarter_figures
from cloud.domain.site import QUARTER_S, Site, parse_hours
from cloud.embedded import open_database
from cloud.fleet.registry import Fleet
from cloud.warehouse.analyse import DWELL_BUCKETS_S

CITIES = ("Lyon", "Lille", "Porto", "Lisboa", "Nantes", "Nice", "Rennes", "Braga", "Dijon", "Tours")
WEEKDAY = (0.8, 0.85, 0.9, 0.95, 1.15, 1.5, 0.35)
HOURS = "mon-sat 10:00-19:00, sun 11:00-18:00"
BATCH_ROWS = 20_000
OTHER_PRESETS = {"meraki-like": 1.25, "aruba-like": 0.8, "cloud4wi-like": 1.1, "purple-like": 1.4, "bloom-like": 1.05}
"""Preset -> its visitors beside ours; only day figures are made for them."""


def make_year(
    folder: Path, stores: int, last: Date, days: int, seed: int = 1, *, merchant: str = "main", prefix: str = "store"
) -> Engine:
    """A database in ``folder`` with ``stores`` stores named store-00 ... (or after another ``prefix``), the last day ``last``. Gives its engine."""
    database = open_database(folder)
    fleet = Fleet(database, lambda: 0)
    for number in range(stores):
        chance = random.Random(f"{seed}-{number}")
        zone = "Europe/Lisbon" if CITIES[number % 10] in ("Porto", "Lisboa", "Braga") else "Europe/Paris"
        site = Site(
            f"{prefix}-{number:02d}",
            f"{CITIES[number % 10]} {number + 1}",
            zone,
            "day",
            True,
            parse_hours(HOURS),
            merchant,
        )
        fleet.add_site(site)
        _add_agent(database, site, last)
        _fill(database, site, chance, [last - timedelta(days=n) for n in range(days)])
    return database


def _add_agent(database: Engine, site: Site, last: Date) -> None:
    end_ms = site.day_bounds_ms(last.isoformat())[1]
    row = {"agent": f"ap-{site.site}", "site": site.site, "public_key": bytes(32), "state": "active", "created_ms": 0, "software": "0.1.0",
           "last_batch_ms": end_ms, "last_received_ms": end_ms, "clock": "synced"}  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(agents), row)


def _fill(database: Engine, site: Site, chance: random.Random, days: list[Date]) -> None:
    size = chance.lognormvariate(5.0, 0.6)
    rows: dict[Table, list[dict[str, Any]]] = {day_figures: [], quarter_figures: [], dwell_buckets: [], ledger_days: []}
    for day in days:
        coverage = 1.0 if chance.random() > 0.05 else round(chance.uniform(0.3, 0.95), 4)
        season = 1.0 + 0.25 * (day.month in (11, 12)) - 0.1 * (day.month in (1, 2))
        visitors = size * WEEKDAY[day.weekday()] * season * chance.uniform(0.85, 1.15)
        for table, row in _day(site, day, visitors, coverage, chance):
            rows[table].append(row)
    with database.begin() as connection:
        for table, found in rows.items():
            _put(connection, table, found)


def _put(connection: Any, table: Table, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608  our own names
    raw = connection.connection.driver_connection
    for start in range(0, len(rows), BATCH_ROWS):
        raw.executemany(statement, [tuple(row[name] for name in names) for row in rows[start : start + BATCH_ROWS]])


def _day(
    site: Site, day: Date, expected: float, coverage: float, chance: random.Random
) -> Iterator[tuple[Table, dict[str, Any]]]:
    date = day.isoformat()
    key = {"site": site.site, "date": date, "preset": "ivizone"}
    start_ms = site.day_bounds_ms(date)[0]
    opens = site.open_spans_ms(date)
    quarters = site.quarters_ms(date)
    total = {"visitors": 0, "passers_by": 0}
    for quarter_ms in quarters:
        is_open = any(begin <= quarter_ms < end for begin, end in opens)
        hour = (quarter_ms - start_ms) / 3_600_000
        shape = exp(-((hour - 16.5) ** 2) / 14) if is_open else 0.0
        came = _poisson(expected * shape / 24, chance)
        passed = _poisson((4 * expected * (shape if is_open else 0.03)) / 24, chance)
        inside = came * chance.uniform(0.5, 1.0)
        for metric, value, devices in (
            ("visitors", came, came),
            ("passers_by", passed, passed),
            ("occupancy", inside, came),
        ):
            total[metric] = total.get(metric, 0) + (value if metric != "occupancy" else 0)
            yield (
                quarter_figures,
                {**key, "start_ms": quarter_ms, "metric": metric, **_around(value, coverage), "devices": devices},
            )
    dwell_s = chance.uniform(540, 1200)
    for preset, factor in {"ivizone": 1.0, **OTHER_PRESETS}.items():
        visitors = round(total["visitors"] * factor)
        yield from _day_rows({**key, "preset": preset}, visitors, total["passers_by"], dwell_s * factor, coverage)
    ends = [*DWELL_BUCKETS_S[2:], None]
    for n, (from_s, to_s) in enumerate(zip(DWELL_BUCKETS_S[1:], ends, strict=True)):
        yield (
            dwell_buckets,
            {**key, "from_s": from_s, "to_s": to_s, "visits": round(total["visitors"] * 0.34 * 0.66**n)},
        )
    frames = 40 * (total["visitors"] + total["passers_by"])
    yield ledger_days, {"site": site.site, "date": date, "agent": f"ap-{site.site}", "batches": 2880, "frames": frames, "probe_requests": frames - frames // 50,
                        "skipped": frames // 50, "kernel_drops": frames // 9000, "evicted_batches": 0, "listening_ms": round(coverage * 86_400_000),
                        "last_window_end_ms": quarters[-1] + QUARTER_S * 1000}  # fmt: skip


def _day_rows(
    key: dict[str, Any], visitors: int, passers_by: int, dwell_s: float, coverage: float
) -> Iterator[tuple[Table, dict[str, Any]]]:
    whole = max(1, visitors + passers_by)
    for metric, value, devices in (
        ("visitors", visitors, visitors),
        ("passers_by", passers_by, passers_by),
        ("engaged", visitors // 3, visitors // 3),
        ("bounced", passers_by // 6, passers_by // 6),
        ("residents", 6, 6),
        ("devices", whole + 6, whole + 6),
    ):
        yield day_figures, {**key, "metric": metric, **_around(value, coverage), "devices": devices, "computed_ms": 0}
    share = visitors / whole
    spread = 1.645 * sqrt(share * (1 - share) / whole)
    bounds = {"value": share, "low": max(0.0, share - spread), "high": min(1.0, share + spread), "coverage": coverage}
    yield (
        day_figures,
        {**key, "metric": "capture_rate", **bounds, "devices": min(visitors, passers_by), "computed_ms": 0},
    )
    stay = {"value": dwell_s, "low": dwell_s * 0.9, "high": dwell_s * 1.12, "coverage": coverage}
    yield day_figures, {**key, "metric": "dwell_median_s", **stay, "devices": visitors, "computed_ms": 0}


def _around(value: float, coverage: float) -> dict[str, Any]:
    spread = 1.2 * sqrt(value) + 0.08 * value
    return {"value": value, "low": max(0.0, value - spread), "high": (value + spread) / coverage, "coverage": coverage}


def _poisson(mean: float, chance: random.Random) -> int:
    """Of small means by Knuth's product, of large ones by the normal distribution."""
    if mean > 30:
        return max(0, round(chance.gauss(mean, sqrt(mean))))
    limit, product, count = exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count
