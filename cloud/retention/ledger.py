"""The loss ledger of a day: where every frame, batch and sighting of each access point went (shell: it reads the lake).

    frames heard   = probe requests + skipped, by reason
    batches made   = stored + refused + quarantined + evicted by a full spool, and what remains
    sightings in   = rows + duplicates + withheld, and what remains

A remainder is never explained away: it is printed. Numbers of batches count up within a boot, so a gap is a batch that was made and is not
here. Evicted ones are told by a later batch, of the same boot or a later one, oldest first; so gaps of an access point are laid to its
evictions in that order, over the days around this one. What waits in a spool behind the newest batch nobody here knows of yet.
"""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date as Date
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import Connection, Engine, select

from cloud.databases.base import upsert
from cloud.databases.privacy_tables import closed_ledgers, set_aside
from cloud.domain.site import Site
from cloud.stores.base import ObjectStore
from cloud.stores.lake import partition

AROUND_DAYS = 8
"""An access point keeps batches for 7 days at most: the cloud's limit for clocks."""
BATCH_COLUMNS = ["agent", "boot", "batch", "window_start_ms", "frames", "probe_requests", "skipped", "evicted_batches"]
ROW_COLUMNS = ["agent", "boot", "batch", "row_no"]
Name = tuple[str, str, int]
"""(access point, boot, number)."""


@dataclass(slots=True)
class AgentLedger:
    """One access point's day."""

    agent: str
    frames: int = 0
    probe_requests: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    made: int = 0
    stored: int = 0
    refused: int = 0
    quarantined: int = 0
    evicted: int = 0
    sightings_in: int = 0
    rows: int = 0
    """Of them, also those that were erased meanwhile."""
    duplicates: int = 0
    withheld: int = 0

    def remainders(self) -> tuple[int, int, int]:
        """What nothing explains, of frames, batches and sightings; all 0 where the ledger closes."""
        return (
            self.frames - self.probe_requests - sum(self.skipped.values()),
            self.made - self.stored - self.refused - self.quarantined - self.evicted,
            self.sightings_in - self.rows - self.duplicates - self.withheld,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self),
            "remainder": dict(zip(("frames", "batches", "sightings"), self.remainders(), strict=True)),
        }


def day_ledger(store: ObjectStore, database: Engine, site: Site, date: str) -> list[AgentLedger]:
    """The ledger of a local day, by access point. Raises StoreError, SQLAlchemyError."""
    batches = {day: _read(store, "ledger", site.site, day, [*BATCH_COLUMNS, "sightings"]) for day in _around(date)}
    with database.connect() as connection:
        aside = [dict(r._mapping) for r in connection.execute(select(set_aside).where(set_aside.c.site == site.site))]
        erased = _erased(connection, site.site, date)
    ledgers: dict[str, AgentLedger] = defaultdict(lambda: AgentLedger(""))
    _add_frames(ledgers, batches[date])
    _add_batches(ledgers, batches, aside, date)
    _add_sightings(ledgers, batches[date], _rows_near(store, site.site, date), aside, erased)
    for agent, ledger in ledgers.items():
        ledger.agent = agent
    return [ledgers[agent] for agent in sorted(ledgers)]


def keep_rows_of(store: ObjectStore, connection: Connection, site: Site, date: str) -> None:
    """Before a day's sightings are erased: how many there were stays, by access point. Raises StoreError, SQLAlchemyError."""
    batches = {_name(row) for row in _read(store, "ledger", site.site, date, BATCH_COLUMNS)}
    counted = _count_rows(_rows_near(store, site.site, date), batches)
    for agent, (rows, duplicates) in counted.items():
        before = _erased(connection, site.site, date).get(agent, {"rows": 0, "duplicates": 0})
        content = {"rows": before["rows"] + rows, "duplicates": before["duplicates"] + duplicates}
        key = {"site": site.site, "date": date, "agent": agent}
        upsert(connection, closed_ledgers, key, {"content": json.dumps(content)})


# --- the three sums -----------------------------------------------------------------------------------------------------


def _add_frames(ledgers: dict[str, AgentLedger], rows: Iterable[dict[str, Any]]) -> None:
    for row in _once(rows).values():
        ledger = ledgers[row["agent"]]
        ledger.frames += row["frames"]
        ledger.probe_requests += row["probe_requests"]
        ledger.skipped = dict(sorted((Counter(ledger.skipped) + Counter(json.loads(row["skipped"]))).items()))


def _add_batches(
    ledgers: dict[str, AgentLedger],
    batches: Mapping[str, list[dict[str, Any]]],
    aside: Iterable[Mapping[str, Any]],
    date: str,
) -> None:
    stored = {name: (day, row) for day, rows in batches.items() for name, row in _once(rows).items()}
    kinds = {_name(row): row for row in aside if row["kind"] != "withheld"}
    evicted: Counter[str] = Counter()
    for _, row in stored.values():
        evicted[row["agent"]] += row["evicted_batches"]
    for name, (day, _) in stored.items():
        if day == date:
            ledgers[name[0]].stored += 1
            ledgers[name[0]].made += 1
    for name, noted in kinds.items():
        if noted["date"] == date and name not in stored:
            ledger = ledgers[name[0]]
            ledger.made += 1
            ledger.refused += noted["kind"] == "refused"
            ledger.quarantined += noted["kind"] == "quarantined"
    for name, day in _gaps(stored, first_day=min(batches)):
        if name in kinds:
            continue
        was_evicted = evicted[name[0]] > 0
        evicted[name[0]] -= was_evicted
        if day == date:
            ledgers[name[0]].made += 1
            ledgers[name[0]].evicted += was_evicted


def _gaps(stored: Mapping[Name, tuple[str, Mapping[str, Any]]], first_day: str) -> list[tuple[Name, str]]:
    """Numbers that are missing below a stored one, oldest boot first, each with the day of the next that is stored."""
    boots: dict[tuple[str, str], list[tuple[int, str, int]]] = defaultdict(list)
    for (agent, boot, number), (day, row) in stored.items():
        boots[agent, boot].append((number, day, row["window_start_ms"]))
    gaps: list[tuple[int, Name, str]] = []
    for (agent, boot), numbers in boots.items():
        numbers.sort()
        begun_ms = min(start_ms for _, _, start_ms in numbers)
        # A boot that was there on the first day looked at may have begun before it.
        following = numbers[0][0] if numbers[0][1] == first_day else 0
        for number, day, _ in numbers:
            gaps += [(begun_ms, (agent, boot, missing), day) for missing in range(following, number)]
            following = number + 1
    return [(name, day) for _, name, day in sorted(gaps)]


def _add_sightings(
    ledgers: dict[str, AgentLedger],
    rows: list[dict[str, Any]],
    out: list[dict[str, Any]],
    aside: Iterable[Mapping[str, Any]],
    erased: Mapping[str, Mapping[str, int]],
) -> None:
    names = {_name(row) for row in rows}
    for row in rows:  # every copy: each brought its sightings
        ledgers[row["agent"]].sightings_in += row["sightings"]
    for agent, (distinct, duplicates) in _count_rows(out, names).items():
        ledgers[agent].rows += distinct
        ledgers[agent].duplicates += duplicates
    for agent, counts in erased.items():
        ledgers[agent].rows += counts["rows"]
        ledgers[agent].duplicates += counts["duplicates"]
    for noted in aside:
        if noted["kind"] == "withheld" and _name(noted) in names:
            ledgers[noted["agent"]].withheld += noted["sightings"]


# --- reading ------------------------------------------------------------------------------------------------------------


def _count_rows(out: Iterable[Mapping[str, Any]], names: set[Name]) -> dict[str, tuple[int, int]]:
    """Access point -> (rows, further copies of them), of the batches ``names``."""
    seen: set[tuple[Name, int]] = set()
    counts: dict[str, tuple[int, int]] = {}
    for row in out:
        if _name(row) in names:
            rows, duplicates = counts.get(row["agent"], (0, 0))
            is_new = (_name(row), row["row_no"]) not in seen
            seen.add((_name(row), row["row_no"]))
            counts[row["agent"]] = (rows + is_new, duplicates + (not is_new))
    return counts


def _rows_near(store: ObjectStore, site: str, date: str) -> list[dict[str, Any]]:
    """Sightings of the day and of its neighbours: one may begin some seconds before its batch."""
    return [row for day in _around(date, 1) for row in _read(store, "sightings", site, day, ROW_COLUMNS)]


def _read(store: ObjectStore, table: str, site: str, date: str, columns: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in store.names(partition(table, site, date)):
        rows += pq.read_table(io.BytesIO(store.get(name)), columns=columns).to_pylist()
    return rows


def _erased(connection: Connection, site: str, date: str) -> dict[str, dict[str, int]]:
    c = closed_ledgers.c
    rows = connection.execute(select(c.agent, c.content).where(c.site == site, c.date == date))
    return {row.agent: json.loads(row.content) for row in rows}


def _once(rows: Iterable[dict[str, Any]]) -> dict[Name, dict[str, Any]]:
    return {_name(row): row for row in rows}


def _name(row: Mapping[str, Any]) -> Name:
    return row["agent"], row["boot"], row["batch"]


def _around(date: str, days: int = AROUND_DAYS) -> list[str]:
    day = Date.fromisoformat(date)
    return [(day + timedelta(days=n)).isoformat() for n in range(-days, days + 1)]
