"""One store, two access points: is a device that both hear counted once? Against one access point alone and against the simulator's truth.

    python -m benchmarks.several --seeds 5

A day is simulated twice from one seed, once for an access point behind the window and once for one in the back: the same phones, the same
scans, other levels. The second loses frames of its own and fades by itself. ``measure`` gives one day's figures for each way of putting them together.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from sqlalchemy import select

from agent.dot11.captured import CapturedFrame
from agent.pipeline import Pipeline, PipelineSettings, SignedBatch
from agent.privacy.pseudonym import Pseudonymiser
from agent.proximity import ProximitySettings
from agent.wire.cose import sign_message
from agent.wire.model import ClockState, LegalMode
from cloud.consumer.transform import Rows, read_batch, rows_of
from cloud.databases.base import migrate
from cloud.databases.sqlite import sqlite_database
from cloud.databases.tables import day_figures
from cloud.domain.preset import OWN
from cloud.domain.site import Site, parse_hours
from cloud.stores.lake import object_name, to_parquet
from cloud.stores.local_dir import LocalDirStore
from cloud.warehouse.analyse import analyse_day
from cloud.warehouse.duckdb_engine import DuckDbEngine
from simulator.day import DaySettings, simulate
from simulator.places import LAYOUTS, Layout

Frames = list[tuple[int, bytes]]
SITE = Site("shop", "Shop", "UTC", "day", True, parse_hours("10:00-19:00"))
FRONT, BACK = "street", "street, from the back"
BACK_LAYOUT = Layout(14.0, 45.0, ((14.0, 19.0),), (1.5, 14.0), (12.0, 2.0))
"""The same store as ``street`` heard from its far end: who stands near the window is far from here."""
CURVES = {FRONT: ProximitySettings(-68.0, 3.5), BACK: ProximitySettings(-70.5, 3.5)}
LOST = 0.15
"""Share of the frames that the second access point misses, whatever their level."""
FADING_DB = 2.5
SIGNAL_AT = 14
"""Byte of the level in the simulator's radiotap header; the FCS does not reach it."""
METRICS = ("devices", "visitors", "passers_by", "engaged", "residents", "dwell_median_s")
WAYS = ("front alone", "back alone", "both, by name only", "both, second linked", "both linked")


def hearings(settings: DaySettings) -> tuple[Frames, Frames, dict[str, Any]]:
    """What the access point in front and the one in the back hear of a day, and the truth."""
    front, truth = simulate(replace(settings, layout=FRONT))
    LAYOUTS[BACK] = BACK_LAYOUT
    try:
        back, _ = simulate(replace(settings, layout=BACK))
    finally:
        del LAYOUTS[BACK]
    return front, list(_by_itself(back, Random(f"{settings.seed}/back"))), truth


def _by_itself(frames: Frames, random: Random) -> Iterator[tuple[int, bytes]]:
    """With losses and a fading of its own."""
    for time_us, data in frames:
        if random.random() >= LOST:
            level = data[SIGNAL_AT] - 256 + round(random.gauss(0.0, FADING_DB))
            heard = bytearray(data)
            heard[SIGNAL_AT] = max(-110, min(-1, level)) & 0xFF
            yield time_us, bytes(heard)


def batches(
    agent: str, frames: Frames, curve: ProximitySettings, *, links: bool, site: str = "shop"
) -> list[SignedBatch]:
    """What an access point sends of it, under the store's key."""
    settings = PipelineSettings(
        agent, site, b"bootboot", "pcap", ClockState.REPLAY, LegalMode.DAY, b"confhash", "0", links=links, proximity=curve
    )  # fmt: skip
    pipeline = Pipeline(
        settings,
        lambda payload: sign_message(payload, agent, lambda _: bytes(64)),
        lambda day: Pseudonymiser(day.to_bytes(32, "big")),
    )
    return list(pipeline.run(CapturedFrame(data, time_us, 127, 0, False) for time_us, data in frames))


def figures(sent: Iterable[SignedBatch], date: str) -> dict[str, float]:
    """Metric -> figure of the day, through the lake and the shared SQL."""
    with tempfile.TemporaryDirectory() as folder:
        store, database = LocalDirStore(Path(folder) / "lake"), sqlite_database(Path(folder) / "figures.sqlite")
        migrate(database)
        for (table, day), rows in rows_in(sent).items():
            store.put(object_name(table, SITE.site, day, "shard", 0), to_parquet(table, rows))
        analyse_day(DuckDbEngine(Path(folder) / "scratch"), store, database, SITE, date, 1 << 45)
        with database.connect() as connection:
            mine = select(day_figures).where(day_figures.c.date == date, day_figures.c.preset == OWN)
            found = {row.metric: row.value or 0.0 for row in connection.execute(mine)}
        database.dispose()
    return found


def rows_in(sent: Iterable[SignedBatch]) -> Rows:
    """A day's rows by table and date."""
    day: Rows = defaultdict(list)
    for batch in sent:
        for key, rows in rows_of(read_batch(batch.message), SITE, 0, batch.message).items():
            day[key] += rows
    return day


def components(sent: Iterable[SignedBatch]) -> int:
    """How many devices there would be if tracks that share any address, over any chain, were one: what was not chosen."""
    root: dict[tuple[str, str], tuple[str, str]] = {}

    def find(name: tuple[str, str]) -> tuple[str, str]:
        while root.setdefault(name, name) != name:
            root[name] = name = root[root[name]]
        return name

    known: dict[str, tuple[str, str]] = {}
    for (table, _), rows in rows_in(sent).items():
        for row in rows if table == "sightings" else ():
            name = (row["agent"], row["pseudonym"])
            for link in {row["link"] or row["pseudonym"][:8], row["pseudonym"][:8]}:
                root[find(known.setdefault(link, name))] = find(name)
    return len({find(name) for name in list(root)})


def measure(settings: DaySettings, apart_s: int = 0) -> dict[str, dict[str, float]]:
    """Way -> metric -> figure; the truth, and the components that were not chosen, beside them. The second clock is ``apart_s`` ahead."""
    front, back, truth = hearings(settings)
    back = [(time_us + apart_s * 1_000_000, data) for time_us, data in back]
    sent = {
        (agent, links): batches(agent, frames, CURVES[where], links=links)
        for agent, frames, where in (("ap-1", front, FRONT), ("ap-2", back, BACK))
        for links in (False, True)
    }
    together = {
        "front alone": sent["ap-1", False],
        "back alone": sent["ap-2", False],
        "both, by name only": sent["ap-1", False] + sent["ap-2", False],
        "both, second linked": sent["ap-1", False] + sent["ap-2", True],
        "both linked": sent["ap-1", True] + sent["ap-2", True],
    }
    found = {way: figures(some, settings.date) for way, some in together.items()}
    found["components"] = {"devices": float(components(together["both linked"]))}
    summary = truth["summary"]
    found["truth"] = {
        **{m: float(summary[m]) for m in METRICS if m in summary},
        "devices": float(summary["devices_heard"]),
    }
    return found


def table(days: Sequence[dict[str, dict[str, float]]]) -> list[str]:
    """Mean relative error of each way, as a table of Markdown."""
    lines = [f"| heard by | {' | '.join(METRICS)} |", "| --- |" + " ---: |" * len(METRICS)]
    for way in (*WAYS, "components"):
        cells = []
        for metric in METRICS:
            errors = [day[way][metric] / day["truth"][metric] - 1 for day in days if metric in day[way]]
            cells.append(f"{100 * fmean(errors):+.1f} %" if errors else "")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shoppers", type=int, default=2000)
    parser.add_argument("--apart", type=int, default=0, metavar="SECONDS", help="how far the second clock is ahead")
    options = parser.parse_args()
    days = [DaySettings(seed=seed + 1, shoppers=options.shoppers) for seed in range(options.seeds)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print("\n".join(table(list(pool.map(partial(measure, apart_s=options.apart), days)))))


if __name__ == "__main__":
    main()
