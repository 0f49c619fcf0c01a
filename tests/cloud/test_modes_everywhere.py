"""No table, object, page, answer or file holds what the legal mode of its store does not allow, however the store is set up."""

from __future__ import annotations

import io
import json
import os
import re
from itertools import product
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from support.batches import signed
from support.clouds import DATE, HOUR_MS, NOON_MS, Clock, Cloud, busy_hour, counted, heard, served
from support.frames import GLOBAL, T0_US, local, pcap, scans, write

from agent.dot11.captured import CapturedFrame, Tick
from agent.pipeline import NO_KEY, Pipeline, PipelineSettings
from agent.privacy.pseudonym import Pseudonymiser
from agent.sources.pcap import PcapSource
from agent.tracking.tracker import TrackingSettings
from agent.wire.codec import decode_batch
from agent.wire.model import ClockState, LegalMode
from cloud.databases.tables import metadata
from cloud.domain.modes import LEGAL_MODES, keeps_devices
from cloud.domain.preset import presets
from cloud.stores.lake import LAKE

OF_DEVICES = {
    "visitors",
    "passers_by",
    "capture_rate",
    "dwell_median_s",
    "engaged",
    "bounced",
    "residents",
    "devices",
    "occupancy",
}
OF_COUNTS = {"heard_inside", "heard_outside", "heard_unplaced"}
METRICS = {"count": OF_COUNTS, "day": OF_DEVICES, "consent": OF_DEVICES}
"""Legal mode -> every metric that a table, a page or an answer may hold."""
OF_ONE_DEVICE = {"sightings"}
"""Tables of the lake with a row for one device."""
EVERY_STORE = list(
    product(LEGAL_MODES, ["UTC", "Europe/Paris", "Pacific/Kiritimati"], ["", "mon-sat 10:00-19:00"], [False, True])
)
STORES = EVERY_STORE if os.environ.get("IVIZONE_THOROUGH") else EVERY_STORE[10::7]
"""How a store can be set up; in `make test` each mode, zone, hours and permission once at least, in `make test-thorough` all of them."""


# --- the access point -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mode=st.sampled_from(LegalMode),
    window_s=st.sampled_from([5, 30, 300]),
    max_age_s=st.sampled_from([1, 30, 3600]),
    most=st.sampled_from([1, 7, 2000]),
    links=st.booleans(),
    tracks=st.sampled_from([100, 4000]),
    offset_s=st.sampled_from([-43_200, 0, 50_400]),
    devices=st.integers(1, 12),
)
def test_no_configuration_makes_an_access_point_say_more_than_its_mode(
    tmp_path: Path, mode, window_s, max_age_s, most, links, tracks, offset_s, devices
):
    made = Pipeline(
        PipelineSettings(
            "ap-test", "shop", b"bootboot", "pcap", ClockState.REPLAY, mode, b"confhash", "0.1.0", window_s, max_age_s, most,
            day_offset_s=offset_s, links=links, tracking=TrackingSettings(max_tracks=tracks),
        ),
        lambda payload: payload,
        lambda _day: None if mode is LegalMode.COUNT else Pseudonymiser(bytes(32)),
    )  # fmt: skip
    air = sorted(
        frame for n in range(devices) for frame in scans(GLOBAL if n == 0 else local(n), T0_US + n, 3, every_s=40)
    )
    frames = [CapturedFrame(data, at_us, 127, 0, False) for at_us, data in air]
    batches = [decode_batch(batch.message) for batch in made.run([*frames, Tick(air[-1][0] + 400_000_000)])]

    assert sum(batch.ledger.probe_requests for batch in batches) == len(air)
    for batch in batches:
        assert batch.header.mode is mode
        if mode is LegalMode.COUNT:
            assert (batch.sightings, batch.header.key_epoch) == ((), NO_KEY)
        else:
            assert batch.counts == ()
        said = b"".join(s.pseudonym + (s.link or b"") for s in batch.sightings)
        assert GLOBAL not in said and not any(local(n) in said for n in range(devices))
        assert (links and mode is not LegalMode.COUNT) or all(s.link is None for s in batch.sightings)
    assert any(batch.counts for batch in batches) == (mode is LegalMode.COUNT)


# --- the cloud ------------------------------------------------------------------------------------------------------------


def told_to(cloud: Cloud) -> None:
    """A day's batches of every mode, straight into the stream: ingest would not have let them all in."""
    for number, mode in enumerate(LegalMode):
        content = heard(2 * number, *busy_hour(visitors=14, passers_by=25), mode=mode)
        cloud.append(
            content if mode is not LegalMode.COUNT else counted(2 * number, ("inside", 12.0), ("outside", 30.0))
        )
    cloud.embedded.work()


def lake_rows(cloud: Cloud, table: str) -> list[dict]:
    """Every row of a table of the lake."""
    store = cloud.embedded.store
    objects = (pq.read_table(io.BytesIO(store.get(name))) for name in store.names(f"{table}/"))
    return [row for found in objects for row in found.to_pylist()]


def filled(cloud: Cloud) -> dict[str, list[dict]]:
    """Every table of the database with its rows."""
    with cloud.embedded.database.connect() as connection:
        return {t.name: [dict(row._mapping) for row in connection.execute(select(t))] for t in metadata.sorted_tables}


@pytest.mark.parametrize(("mode", "zone", "hours", "allows_replay"), STORES)
def test_no_table_and_no_object_holds_what_the_stores_mode_does_not_allow(tmp_path, mode, zone, hours, allows_replay):
    cloud = Cloud(tmp_path, time_zone=zone, mode=mode, hours=hours, allows_replay=allows_replay, clock=Clock())
    try:
        told_to(cloud)
        held = filled(cloud)
        metrics = {row["metric"] for table in ("day_figures", "quarter_figures") for row in held[table]}
        assert metrics <= METRICS[mode], metrics - METRICS[mode]
        assert bool(held["dwell_buckets"]) == keeps_devices(mode)
        for table in LAKE:
            rows = lake_rows(cloud, table)
            assert not rows or table not in OF_ONE_DEVICE or keeps_devices(mode), table
            if not keeps_devices(mode) and table == "messages":
                assert all(decode_batch_of(row["message"]).sightings == () for row in rows)
        for name, rows in held.items():
            for row in rows:
                assert not any(re.search(r"pseudonym|address$|mac", column) for column in row), name
    finally:
        cloud.close()


def decode_batch_of(message: bytes):
    from agent.wire.cose import open_message

    return decode_batch(open_message(message).payload)


@pytest.mark.parametrize("mode", LEGAL_MODES)
def test_no_page_answer_or_file_tells_a_metric_that_the_mode_does_not_allow(tmp_path, mode):
    cloud = Cloud(tmp_path, mode=mode, hours="11:00-12:00", clock=Clock())
    told_to(cloud)
    try:
        with served(cloud.embedded.app(works=False, is_open=True)) as client:
            forbidden = (
                (OF_DEVICES | OF_COUNTS) - METRICS[mode] - {"devices"}
            )  # that word is a unit too; it is not published
            for preset in presets():
                query = {"from": DATE, "to": DATE, "date": DATE, "preset": preset}
                for path in ("days", "quarters", "export", "export?table=quarters"):
                    url = f"/api/v1/sites/shop/{path}"
                    answer = client.get(url, params=query | ({"table": "quarters"} if "table" in url else {}))
                    assert answer.status_code == 200, url
                    assert not any(re.search(rf"\b{metric}\b", answer.text) for metric in forbidden), (
                        mode,
                        preset,
                        path,
                    )
                dwell = client.get("/api/v1/sites/shop/dwell", params=query).json()["buckets"]
                assert bool(dwell) <= keeps_devices(mode)
                data = client.get(f"/sites/shop/data?date={DATE}&preset={preset}")
                if data.status_code == 200:
                    told = json.loads(data.text)
                    assert not forbidden & {*told["tiles"], *told["series"]}, (mode, preset)
    finally:
        cloud.close()


@pytest.mark.parametrize("mode", LEGAL_MODES)
def test_only_mode_consent_has_a_way_to_agree_and_a_shopper_to_know(tmp_path, mode):
    cloud = Cloud(tmp_path, mode=mode, clock=Clock())
    try:
        with served(cloud.embedded.app(works=False)) as client:
            answer = client.post("/p/shop/agree", data={"visit": "a" * 24})
            assert (answer.status_code == 303) == (mode == "consent")
            assert client.get("/p/shop/consent", params={"visit": "a" * 24}).text == (
                "yes" if mode == "consent" else "open"
            )
        names = {name for name, rows in filled(cloud).items() if rows}
        assert bool({name for name in names if "shopper" in name}) == (mode == "consent"), names
    finally:
        cloud.close()


@pytest.mark.parametrize("sites_mode", LEGAL_MODES)
@pytest.mark.parametrize("mode", list(LegalMode))
def test_ingest_takes_no_batch_of_a_laxer_mode_than_the_stores(tmp_path, sites_mode, mode):
    cloud = Cloud(tmp_path, mode=sites_mode, clock=Clock())
    try:
        content = heard(0, mode=mode, start_ms=NOON_MS - HOUR_MS, end_ms=NOON_MS)
        with served(cloud.embedded.app(works=False)) as client:
            status = client.post("/v1/batches", content=signed(content)).status_code
        strictness = [LegalMode[name.upper()] for name in LEGAL_MODES]
        assert (status == 202) == (strictness.index(mode) <= LEGAL_MODES.index(sites_mode)), status
    finally:
        cloud.close()


def test_an_access_point_that_was_told_to_count_reads_its_captures_without_a_key(tmp_path):
    path = write(tmp_path / "a.pcap", pcap(scans(GLOBAL, T0_US, 2)))
    asked: list[int] = []
    settings_ = PipelineSettings(
        "a", "s", b"bootboot", "pcap", ClockState.REPLAY, LegalMode.COUNT, b"confhash", "0.1.0"
    )
    made = Pipeline(settings_, lambda payload: payload, lambda day: asked.append(day))
    list(made.run(PcapSource((path,))))
    assert made._pseudonymiser is None and len(asked) == 1


def test_the_stores_of_the_usual_tests_are_of_every_mode_zone_hours_and_permission():
    assert len(EVERY_STORE) == 36
    assert [set(values) for values in zip(*EVERY_STORE[10::7], strict=True)] == [
        set(values) for values in zip(*EVERY_STORE, strict=True)
    ]
