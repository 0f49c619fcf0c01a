"""Two access points of one store under one site key hear the same shoppers: each shopper counts once. Two stores never meet."""

from __future__ import annotations

import pytest
from support.clouds import Cloud
from support.lake import laid

from agent.pipeline import SignedBatch
from benchmarks.several import BACK, CURVES, FRONT, batches, figures, hearings, rows_in
from cloud.streams.base import BatchName
from cloud.warehouse.duckdb_engine import DuckDbEngine
from simulator.day import DaySettings

DAY = DaySettings(seed=3, shoppers=150, printers=1, staff=2)
HALF_A_DAY_MS = 12 * 3_600_000


@pytest.fixture(scope="module")
def air():
    """What each of the two sends, with links and without, and what was so."""
    front, back, truth = hearings(DAY)
    sent = {
        (agent, links): batches(agent, frames, CURVES[where], links=links)
        for agent, frames, where in (("ap-1", front, FRONT), ("ap-2", back, BACK))
        for links in (False, True)
    }
    return sent, truth["summary"]


def sightings(sent: list[SignedBatch]) -> list[dict]:
    return [row for (table, _), rows in rows_in(sent).items() if table == "sightings" for row in rows]


def test_shoppers_whom_two_access_points_hear_count_once(tmp_path, air):
    """All the way: signed batches of both in the stream, the lake, the shared SQL, the day's figures."""
    sent, so = air
    cloud = Cloud(tmp_path, hours="10:00-19:00")
    cloud.clock.ms += HALF_A_DAY_MS
    for agent in ("ap-1", "ap-2"):
        cloud.add_agent(agent)
        for batch in sent[agent, True]:
            cloud.append(batch.message, BatchName(agent, batch.boot, batch.number))
    cloud.embedded.work()
    linked = {metric: row["value"] or 0.0 for metric, row in cloud.day(DAY.date).items()}
    cloud.close()

    alone = figures(sent["ap-1", True], DAY.date)
    apart = figures(sent["ap-1", False] + sent["ap-2", False], DAY.date)

    assert apart["devices"] > 1.04 * so["devices_heard"]  # without links a name of its own at each
    for metric in ("devices", "visitors", "passers_by", "residents"):
        assert linked[metric] == pytest.approx(alone[metric], rel=0.06, abs=2), metric
    assert linked["devices"] < apart["devices"]
    assert linked["visitors"] < apart["visitors"]


def test_two_stores_that_hear_the_same_phones_never_join_them(tmp_path, air):
    """Even were they given one site key by mistake, and computed in one run."""
    sent, _ = air
    first, second = sightings(sent["ap-1", True]), sightings(sent["ap-2", True])
    stores = [laid(tmp_path / "a", {"sightings": first}), laid(tmp_path / "b", {"sightings": second})]
    both = laid(tmp_path / "c", {"sightings": first + second})
    engine = DuckDbEngine(tmp_path / "scratch")

    at_first, at_second, together = (result["day"][0]["devices"] for result in engine.run([*stores, both]))

    assert [at_first, at_second] == [engine.run([store])[0]["day"][0]["devices"] for store in stores]
    assert together < 0.7 * (at_first + at_second)  # as one store they have most devices in common
