"""Sites and local days: lake -> shared SQL -> figures with interval and coverage -> database. Doing it again changes nothing."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy import Engine as Database

from cloud.databases.base import replace_rows
from cloud.databases.privacy_tables import held_days
from cloud.databases.tables import day_figures, dwell_buckets, ledger_days, quarter_figures
from cloud.domain.intervals import DeviceError, Interval, count_interval, device_error, dwell_interval, share_interval
from cloud.domain.modes import keeps_devices
from cloud.domain.preset import presets
from cloud.domain.site import QUARTER_S, Site
from cloud.stores.base import ObjectStore
from cloud.stores.lake import QUERIED, partition
from cloud.warehouse.base import DayInput, Engine, EngineError, Results, Row

HOUR_MS = 3_600_000
ZONES = ("inside", "outside", "unplaced")
"""Zones of mode ``count`` that have a figure."""
DWELL_BUCKETS_S = (0, 300, 600, 900, 1200, 1800, 2700, 3600, 7200)
"""Begin of each bucket; the last has no end."""


@dataclass(frozen=True, slots=True)
class DayReport:
    """What an analysis did."""

    site: str
    date: str
    sightings: int
    """Objects of sightings read."""
    figures: int


def analyse_day(
    engine: Engine, store: ObjectStore, database: Database, site: Site, date: str, now_ms: int
) -> DayReport:
    """`analyse_days` of one."""
    return analyse_days(engine, store, database, [(site, date)], now_ms)[0]


def analyse_days(
    engine: Engine,
    store: ObjectStore,
    database: Database,
    days: Sequence[tuple[Site, str]],
    now_ms: int,
    is_wanted: Callable[[Connection, str, str], bool] = lambda _connection, _site, _date: True,
) -> list[DayReport]:
    """Compute every figure of sites and local days under every preset, and put them in the place of what was there, day by day.

    ``is_wanted`` is asked in the transaction that writes a day's figures; where it says no, what is there stays and no report is given.

    The day's own legal mode decides what is read, whatever mode the store has now. Of a day that was erased only the ledger is computed:
    its figures were made of what is gone, and stay. Raises EngineError, StoreError, SQLAlchemyError; then the figures of days that were
    not yet reached stay.
    """
    times = [_Times(site, date, now_ms) for site, date in days]
    inputs = _inputs(store, days, times)
    try:
        results = engine.run(inputs)
    except EngineError:
        # A compaction may have moved rows meanwhile; twice is no accident.
        inputs = _inputs(store, days, times)
        results = engine.run(inputs)
    reports = []
    for (site, date), time, given, found in zip(days, times, inputs, results, strict=True):
        with database.begin() as connection:
            if is_wanted(connection, site.site, date):
                reports.append(
                    _replace_day(connection, site, date, now_ms, found, len(given.objects["sightings"]), time)
                )
    return reports


def _inputs(store: ObjectStore, days: Sequence[tuple[Site, str]], times: Sequence[_Times]) -> list[DayInput]:
    return [
        DayInput(_objects(store, site.site, date, site.modes.on(date)), time.parameters())
        for (site, date), time in zip(days, times, strict=True)
    ]


def _replace_day(
    connection: Connection, site: Site, date: str, now_ms: int, results: Results, objects: int, times: _Times
) -> DayReport:
    mode = site.modes.on(date)
    coverage = _Coverage(results["coverage"], times)
    day = list(_day_figures(results, coverage.of_day(), mode))
    quarters = list(_quarter_figures(results, coverage, mode, times))
    buckets = [dict(row) for row in results["dwell_buckets"]] if keeps_devices(mode) else []
    key = {"site": site.site, "date": date}
    if keeps_devices(mode) and _is_closed(connection, site.site, date):
        replace_rows(connection, ledger_days, [{**key, **row} for row in _ledger_rows(results)], **key)
        return DayReport(site.site, date, objects, 0)
    replace_rows(connection, day_figures, [{**key, "computed_ms": now_ms, **row} for row in day], **key)
    replace_rows(connection, quarter_figures, [{**key, **row} for row in quarters], **key)
    replace_rows(connection, dwell_buckets, [{**key, **row} for row in buckets], **key)
    replace_rows(connection, ledger_days, [{**key, **row} for row in _ledger_rows(results)], **key)
    return DayReport(site.site, date, objects, len(day) + len(quarters))


def _objects(store: ObjectStore, site: str, date: str, mode: str) -> dict[str, list[str]]:
    """What is read: of single devices in no other mode than theirs, and counts in mode ``count`` only."""
    unread = "zone_counts" if keeps_devices(mode) else "sightings"
    return {
        table: [] if table == unread else [store.location(name) for name in store.names(partition(table, site, date))]
        for table in QUERIED
    }


def _is_closed(connection: Connection, site: str, date: str) -> bool:
    c = held_days.c
    query = select(c.site).where(c.site == site, c.date == date, c.closed_ms.is_not(None))
    return connection.execute(query).first() is not None


def _ledger_rows(results: Mapping[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """What each access point heard, with why it skipped what it skipped."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for row in results["skipped_day"]:
        for reason, frames in json.loads(row["skipped"]).items():
            reasons[row["agent"]][reason] += frames * row["batches"]
    for row in results["ledger_day"]:
        yield {**row, "skipped_reasons": json.dumps(reasons[row["agent"]], sort_keys=True)}


class _Times:
    """The local day as the SQL needs it: zones and opening hours are resolved here, SQL sees epoch milliseconds only."""

    def __init__(self, site: Site, date: str, now_ms: int) -> None:
        self.start_ms, end_ms = site.day_bounds_ms(date)
        self.end_ms = max(self.start_ms, min(end_ms, now_ms))
        opens = site.open_spans_ms(date)
        self.open_ms = opens or [(self.start_ms, end_ms)]
        hours = range(self.start_ms, end_ms, HOUR_MS) if site.opening_hours else ()
        self.closed_hours = [part for start in hours for part in _without(start, start + HOUR_MS, opens)]
        """Without opening hours nobody is there outside them; on a day on which the store stays shut everybody is."""
        self.quarters = [
            (start, min(start + QUARTER_S * 1000, self.end_ms))
            for start in site.quarters_ms(date)
            if start < self.end_ms
        ]

    def parameters(self) -> dict[str, Sequence[Row]]:
        """The tables of parameters."""
        ends = [*DWELL_BUCKETS_S[1:], None]
        return {
            "presets": [preset.row() for preset in presets().values()],
            "closed_hours": _spans(self.closed_hours),
            "quarters": _spans(self.quarters),
            "spans": _spans(self.quarters),
            "buckets": [{"from_s": start, "to_s": end} for start, end in zip(DWELL_BUCKETS_S, ends, strict=True)],
        }

    def open_share(self, start_ms: int, end_ms: int) -> float:
        """Milliseconds of a span in which the store was open."""
        return sum(max(0, min(end, end_ms) - max(begin, start_ms)) for begin, end in self.open_ms)


def _spans(spans: Sequence[tuple[int, int]]) -> list[dict[str, int]]:
    return [{"start_ms": start, "end_ms": end} for start, end in spans]


def _without(start_ms: int, end_ms: int, opens: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of a clock hour lies outside the opening hours; one piece at most counts, so an hour is one hour."""
    for begin, end in opens:
        if begin <= start_ms and end >= end_ms:
            return []
        if start_ms < end < end_ms and begin <= start_ms:
            start_ms = end
        elif start_ms < begin < end_ms and end >= end_ms:
            end_ms = begin
    return [(start_ms, end_ms)]


class _Coverage:
    """Share of the time that was listened to, mean over the access points of the site that day."""

    def __init__(self, rows: Sequence[Row], times: _Times) -> None:
        self._times = times
        self._agents = max((int(row["agents"]) for row in rows), default=0)
        self._listened = {int(row["start_ms"]): float(row["listened_ms"]) for row in rows}

    def of_quarter(self, start_ms: int, end_ms: int) -> float | None:
        """0..1, None where no access point was ever there that day."""
        if not self._agents or end_ms <= start_ms:
            return None
        return min(1.0, self._listened.get(start_ms, 0.0) / (end_ms - start_ms) / self._agents)

    def of_day(self) -> float | None:
        """0..1 over the opening hours so far, or the whole day so far where there are none."""
        open_ms = listened_ms = 0.0
        for start, end in self._times.quarters:
            share_ms = self._times.open_share(start, end)
            open_ms += share_ms
            listened_ms += share_ms * (self.of_quarter(start, end) or 0.0)
        return min(1.0, listened_ms / open_ms) if open_ms and self._agents else None


def _figure(metric: str, interval: Interval | None, devices: int, coverage: float | None) -> dict[str, Any]:
    bounds = (interval.value, interval.low, interval.high) if interval else (None, None, None)
    # An engine adds floats in the order in which its threads come: beyond six decimals the same day would not be the same twice.
    value, low, high, coverage = (None if x is None else round(x, 6) for x in (*bounds, coverage))
    return {"metric": metric, "value": value, "low": low, "high": high, "devices": devices, "coverage": coverage}


def _devices_behind(mean: float) -> int:
    """Devices that a mean surely rests on: 0.4 is one now and then, not none, and 4.6 is not five."""
    return max(1, int(mean)) if mean > 0 else 0


def _day_figures(
    results: Mapping[str, list[dict[str, Any]]], coverage: float | None, mode: str
) -> Iterator[dict[str, Any]]:
    if mode == "count":
        return  # no record of one device exists, so nothing of a day can be told of devices
    estimates = results["error"][0]
    error = device_error(estimates["devices"], estimates["low"], estimates["high"])
    dwell = {row["preset"]: row for row in results["dwell"]}
    for row in results["day"]:
        preset, variance = row["preset"], row["variance"]
        for figure in _figures_of(row, dwell.get(preset), variance, error, coverage):
            yield {"preset": preset, **figure}


def _figures_of(
    row: Row, dwell: Row | None, variance: float, error: DeviceError, coverage: float | None
) -> Iterator[dict[str, Any]]:
    visits, visitors, expected = row["visits"], row["visitors"], row["expected_visitors"]

    def count(metric: str, variance: float, expected: float | None = None) -> dict[str, Any]:
        value = row[metric]
        return _figure(metric, count_interval(value, variance, error, coverage, expected=expected), value, coverage)

    yield count("visitors", variance, expected)
    yield count("passers_by", variance, visits - expected)
    yield count("engaged", variance * row["engaged"] / max(1, visitors))
    yield count("bounced", variance)
    yield count("residents", 0.0)
    yield count("devices", 0.0)
    rate = share_interval(visitors, visits, variance, error, expected=expected)
    # The smaller of the two: from a share and one of them the other could be told.
    yield _figure("capture_rate", rate, min(visitors, visits - visitors), coverage)
    if dwell:
        seconds = dwell_interval(*(dwell[name] / 1000 for name in ("median_ms", "low_ms", "high_ms")))
        yield _figure("dwell_median_s", seconds, int(dwell["visits"]), coverage)
    else:
        yield _figure("dwell_median_s", None, 0, coverage)


def _quarter_figures(
    results: Mapping[str, list[dict[str, Any]]], coverage: _Coverage, mode: str, times: _Times
) -> Iterator[dict[str, Any]]:
    ends = dict(times.quarters)
    if mode == "count":
        for row in results["zone_quarters"]:
            if row["zone"] not in ZONES:
                continue  # of an agent newer than we are: it lies in the lake until a figure is defined for it
            start, value = row["start_ms"], row["devices"]
            interval = Interval(value, min(value, row["low"]), max(value, row["high"]))
            share = coverage.of_quarter(start, ends[start])
            for preset in presets():
                yield {
                    "preset": preset,
                    "start_ms": start,
                    **_figure(f"heard_{row['zone']}", interval, _devices_behind(value), share),
                }
        return
    estimates = results["error"][0]
    error = device_error(estimates["devices"], estimates["low"], estimates["high"])
    found = {(row["preset"], row["start_ms"]): row for row in results["quarters"]}
    for preset in presets():
        for start, end in times.quarters:
            share = coverage.of_quarter(start, end)
            if share is None or share == 0.0:
                continue  # not heard is not zero: the chart shows a gap
            heard = found.get((preset, start))
            for metric, variance, behind in (
                ("occupancy", "occupancy_variance", "occupants"),
                ("visitors", "arrivals_variance", "visitors"),
                ("passers_by", "arrivals_variance", "passers_by"),
            ):
                value = float(heard[metric]) if heard else 0.0
                interval = count_interval(value, float(heard[variance]) if heard else 0.0, error, share)
                devices = int(heard[behind]) if heard else 0
                yield {"preset": preset, "start_ms": start, **_figure(metric, interval, devices, share)}
