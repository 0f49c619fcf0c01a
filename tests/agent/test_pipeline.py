"""From frames to signed batches: nothing lost, nothing joined that may not be, and the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import fields, replace
from itertools import chain, pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.agent_state import enrolled
from support.batches import KEY, START_MS, header, sighting, signed
from support.days import pipeline
from support.frames import GLOBAL, LOCAL, T0_US, heard, local, pcap, probe, radiotap, scans, with_fcs
from support.spellings import traces

from agent.compose import MAX_LINKED_SIGHTINGS
from agent.config import BatchSection
from agent.dot11.captured import CapturedFrame, Presence, Tick
from agent.dot11.probe_request import ProbeRequest
from agent.ledger import SKIP_REASONS
from agent.pipeline import Pipeline, SignedBatch
from agent.privacy.pseudonym import Pseudonymiser
from agent.wire.codec import decode_batch, inflate
from agent.wire.cose import open_message
from agent.wire.limits import MAX_COMPRESSED_BYTES
from agent.wire.model import AddressKind, Batch, LedgerCounts, LegalMode, WindowEstimate

CHECKOUT = Path(__file__).parents[2]
S, MINUTE, DAY = 1_000_000, 60_000_000, 86_400_000_000
MIDNIGHT = T0_US // DAY * DAY + DAY

NOT_PROBES = [
    radiotap() + with_fcs(probe(first=0x80)),
    heard()[:-1] + b"\0",
    radiotap()[:6],
    b"",
    radiotap() + with_fcs(probe(b"\xff" * 6)),
    radiotap(flags=0) + probe()[:-2],
]


def frame(time_us: int, data: bytes, link_type: int = 127) -> CapturedFrame:
    return CapturedFrame(data, time_us, link_type, 0, False)


def messages(
    frames: Iterable[CapturedFrame | Tick], made: Pipeline | None = None, **changes: object
) -> list[SignedBatch]:
    return list((made or pipeline(**changes)).run(frames))


def opened(batches: Iterable[SignedBatch]) -> list[Batch]:
    return [decode_batch(open_message(batch.message).payload) for batch in batches]


def batches_of(frames: Iterable[CapturedFrame | Tick], **changes: object) -> list[Batch]:
    return opened(messages(frames, **changes))


def of_scans(*scans_: list[tuple[int, bytes]]) -> list[CapturedFrame]:
    return [frame(time_us, data) for time_us, data in sorted(chain.from_iterable(scans_))]


@st.composite
def airs(draw: st.DrawFn) -> list[CapturedFrame | Tick]:
    """Any mix of phones, other frames, damage, link types, ticks, silences, disorder and clocks set back."""
    gaps = st.sampled_from(
        [0, 1000, 20_000, 700_000, 2 * S, 31 * S, 400 * S, 7200 * S, -5000, -20 * S, -300 * S, DAY, -DAY]
    )
    phones = [GLOBAL, LOCAL, *map(local, range(2, 8))]
    things = st.one_of(
        st.builds(
            lambda who, rssi: (heard(who, rssi=rssi), 127),
            st.sampled_from(phones),
            st.sampled_from([-50, -80, 0, None]),
        ),
        st.sampled_from(NOT_PROBES).map(lambda data: (data, 127)),
        st.just((with_fcs(probe(local(9))), 105)),
        st.just((b"an Ethernet frame", 1)),
        st.none(),
    )
    time_us, air = T0_US, []
    for gap_us, thing in draw(st.lists(st.tuples(gaps, things), min_size=1, max_size=40)):
        time_us += gap_us
        air.append(Tick(time_us) if thing is None else frame(time_us, *thing))
    return air


# --- nothing is lost ------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    airs(),
    st.sampled_from([LegalMode.DAY, LegalMode.COUNT]),
    st.sampled_from([1, 2, 2000]),
    st.sampled_from([30, 3600]),
)
def test_every_frame_is_accounted_for(air: list[CapturedFrame | Tick], mode: LegalMode, limit: int, max_age_s: int):
    """The ledgers of all batches together are the frames that were fed; each closes by itself (decoding checks that)."""
    made = pipeline(mode=mode, batch_max_sightings=limit, batch_max_age_s=max_age_s)

    batches = opened(messages(air, made))

    frames = [f for f in air if isinstance(f, CapturedFrame)]
    assert sum(b.ledger.frames for b in batches) == made.totals.frames == len(frames)
    assert sum(b.ledger.probe_requests for b in batches) == made.totals.probe_requests
    assert all(set(b.ledger.skipped) <= set(SKIP_REASONS) for b in batches)
    assert [b.header.batch for b in batches] == list(range(len(batches)))
    assert all(len(b.sightings) <= limit for b in batches)
    assert all(
        sum(b.ledger.listening_ms.values()) <= b.header.window_end_ms - b.header.window_start_ms for b in batches
    )


@settings(max_examples=200, deadline=None)
@given(airs(), st.sampled_from([1, 2, 2000]))
def test_every_probe_request_is_in_exactly_one_sighting(air: list[CapturedFrame | Tick], limit: int):
    batches = batches_of(air, batch_max_sightings=limit)

    assert sum(s.frames for b in batches for s in b.sightings) == sum(b.ledger.probe_requests for b in batches)


def test_a_link_type_that_nobody_knows_is_counted():
    (batch,) = batches_of([frame(T0_US, heard()), frame(T0_US + 1, b"Ethernet", 1), frame(T0_US + 2, heard())])

    assert batch.ledger == LedgerCounts(3, 2, {"unknown_link_type": 1})


def test_junk_levels_and_unannounced_check_sums_are_told_once():
    air = [frame(T0_US + n * 40 * S, radiotap(rssi=17, flags=0) + with_fcs(probe())) for n in range(3)]

    batches = batches_of(air)

    assert [(b.ledger.rssi_rejected, b.ledger.fcs_unflagged) for b in batches] == [(1, 1)] * 3


def test_what_a_source_lost_and_batches_that_were_evicted_are_told_by_the_next_batch():
    made = pipeline(silence_limit_s=0)
    made.feed(Tick(T0_US, ((6, 800), (1, 100)), (("kernel_drops", 3),)))
    made.ledger.evicted_batches += 2

    batches = opened(messages([Tick(T0_US + 40 * S), Tick(T0_US + 80 * S)], made))

    assert [(b.ledger.kernel_drops, b.ledger.evicted_batches) for b in batches] == [(3, 2), (0, 0), (0, 0)]
    assert batches[0].ledger.listening_ms[6] == 800


# --- windows and batches --------------------------------------------------------------------------------------------


def test_windows_are_aligned_to_the_epoch():
    phone = scans(LOCAL, T0_US + 7 * S, 4, every_s=30)

    (batch,) = batches_of(of_scans(phone), batch_max_age_s=3600)

    starts = [w.start_ms for w in batch.windows]
    assert len(starts) >= 4
    assert all(start % 30_000 == 0 for start in starts)
    assert batch.header.window_start_ms == (T0_US + 7 * S) // 1000


@pytest.mark.parametrize("offset_s", [0, 7 * 60, -5 * 3600, 14 * 3600], ids=lambda s: f"offset {s} s")
def test_no_window_and_no_batch_runs_over_the_days_end(offset_s: int):
    """Windows of five minutes do not divide a day that begins at 00:07; the last is cut, and so is the first."""
    day_end_ms = (MIDNIGHT + offset_s * S) // 1000
    air = of_scans(scans(LOCAL, MIDNIGHT + offset_s * S - 20 * MINUTE, 40))

    batches = batches_of(air, window_s=300, batch_max_age_s=3600, day_offset_s=offset_s)

    starts = {w.start_ms for b in batches for w in b.windows}
    assert day_end_ms in starts
    for start in starts:
        assert start % 300_000 == 0 or start == day_end_ms
    for batch in batches:
        span = batch.header
        assert span.window_end_ms <= day_end_ms or span.window_start_ms >= day_end_ms
        assert {w.start_ms < day_end_ms for w in batch.windows} == {span.window_end_ms <= day_end_ms}


def test_a_batch_closes_at_the_end_of_the_window_in_which_it_reaches_its_age():
    ticks = [Tick(T0_US // (30 * S) * 30 * S + n * S) for n in range(181)]

    batches = batches_of(ticks, batch_max_age_s=60)

    lasted = [b.header.window_end_ms - b.header.window_start_ms for b in batches]
    assert lasted == [60_000, 60_000, 60_000, 0]
    assert all(a.header.window_end_ms == b.header.window_start_ms for a, b in pairwise(batches))


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
def test_a_batch_closes_when_it_is_full_and_none_runs_backwards(limit: int):
    """Also in the middle of a window, where the source ends."""
    air = of_scans(*(scans(GLOBAL[:5] + bytes((n,)), T0_US + n * 50_000, 1) for n in range(7)))

    batches = batches_of(air, batch_max_sightings=limit)

    assert [len(b.sightings) for b in batches] == [limit] * (7 // limit) + [7 % limit]
    assert all(b.header.window_end_ms >= b.header.window_start_ms for b in batches)


def test_a_silent_radio_still_says_that_it_listened():
    (batch, *_) = batches_of([Tick(T0_US + n * S, ((6, 1000),)) for n in range(60)], silence_limit_s=0)

    assert batch.sightings == ()
    assert sum(batch.ledger.listening_ms.values()) > 25_000


@pytest.mark.parametrize(
    ("silence_s", "listened_s"), [(100, 100), (300, 300), (301, 0), (4000, 0)], ids=lambda s: f"{s} s"
)
def test_a_silence_longer_than_the_limit_does_not_count_as_listened(silence_s: int, listened_s: int):
    """A capture of probe requests alone cannot tell a quiet street from a sensor that was off."""
    batches = batches_of([frame(T0_US, heard()), frame(T0_US + silence_s * S, heard())], batch_max_age_s=7200)

    assert sum(sum(b.ledger.listening_ms.values()) for b in batches) == pytest.approx(listened_s * 1000, abs=1)


@pytest.mark.parametrize("links", [False, True])
def test_the_largest_batch_that_can_be_configured_fits_into_a_message(links: bool):
    """As many sightings of as many devices, nothing alike, with a window every five seconds of an hour."""
    most = next(option.metadata["high"] for option in fields(BatchSection) if option.name == "max_sightings")
    most = MAX_LINKED_SIGHTINGS if links else most
    air = Random(5)
    sightings = sorted(
        (
            sighting(
                pseudonym=air.randbytes(8),
                first_ms=(first := START_MS + air.randrange(3_600_000)),
                last_ms=first + air.randrange(10_000),
                bursts=(bursts := air.randrange(1, 9)),
                frames=bursts + air.randrange(60),
                rssi_median_dbm=(level := -air.randrange(30, 100)),
                rssi_max_dbm=level + air.randrange(20),
                p_inside=5 * air.randrange(21),
                channel=air.choice([1, 6, 11, 36, 40, 44, 48]),
                address_kind=air.choice(list(AddressKind)),
                confidence=5 * air.randrange(21),
                link=air.randbytes(4) if links else None,
            )
            for _ in range(most)
        ),
        key=lambda s: (s.first_ms, s.pseudonym),
    )
    windows = tuple(
        WindowEstimate(START_MS + n * 5000, float(d := air.randrange(50)), d * 0.7, d * 1.4) for n in range(720)
    )

    message = signed(Batch(header(), LedgerCounts(0, 0), windows, tuple(sightings)))

    assert len(message) <= MAX_COMPRESSED_BYTES


# --- what may be joined ---------------------------------------------------------------------------------------------


def test_an_access_point_that_is_not_alone_says_by_what_the_others_know_a_device_again():
    """One phone, a new address at each scan: each window's link is the beginning of the name that its address would have had."""
    addresses = [bytes((2, 0, 0, 0, 0, n)) for n in range(4)]
    air = of_scans(*(scans(address, T0_US + n * MINUTE, 1) for n, address in enumerate(addresses)))
    names = Pseudonymiser((T0_US // DAY).to_bytes(32, "big"))

    alone = [s for b in batches_of(air) for s in b.sightings]
    linked = [s for b in batches_of(air, links=True) for s in b.sightings]

    assert [replace(s, link=None) for s in linked] == alone
    for seen, address in zip(linked, addresses, strict=True):
        own = names.pseudonym(address)[:4]
        assert seen.link == (None if seen.pseudonym[:4] == own else own)
    assert len({s.pseudonym for s in linked}) == 1  # so three of the four have a link


def test_who_joins_the_network_is_one_with_what_showed_the_same_address_before_and_with_nothing_else():
    """A phone scans, and joins under that address. What a moment later scans under another one, however alike, is not held to be it."""
    joined = [Presence(ProbeRequest(LOCAL, None, -60, 6, None), T0_US + n * MINUTE) for n in range(1, 4)]
    another = of_scans(scans(local(77), T0_US + 4 * MINUTE, 1))

    seen = [s for b in batches_of([*of_scans(scans(LOCAL, T0_US, 1)), *joined, *another]) for s in b.sightings]
    by_name = {name: [s.address_kind for s in seen if s.pseudonym == name] for name in {s.pseudonym for s in seen}}

    assert sorted(by_name.values()) == [
        [AddressKind.RANDOMISED],
        [AddressKind.RANDOMISED, *[AddressKind.ASSOCIATED] * 3],
    ]
    guessed = [s for b in batches_of([*of_scans(scans(LOCAL, T0_US, 1)), *another]) for s in b.sightings]
    assert len({s.pseudonym for s in guessed}) == 1  # so the joining is what kept them apart


def test_in_mode_count_there_are_no_links():
    air = of_scans(scans(LOCAL, T0_US, 3))

    assert batches_of(air, mode=LegalMode.COUNT, links=True) == batches_of(air, mode=LegalMode.COUNT)


def pseudonyms(batches: Iterable[Batch]) -> set[bytes]:
    return {s.pseudonym for b in batches for s in b.sightings}


def test_a_day_takes_a_new_pseudonym_and_nothing_joins_over_its_end():
    """A phone that scans through midnight: one name before, another after, and the batches say which day's key made them."""
    batches = batches_of(of_scans(scans(GLOBAL, MIDNIGHT - 5 * MINUTE, 10)))

    names: dict[int, set[bytes]] = {}
    for batch in batches:
        names.setdefault(batch.header.key_epoch, set()).update(pseudonyms([batch]))
        for seen in batch.sightings:
            assert seen.first_ms * 1000 // DAY == seen.last_ms * 1000 // DAY == batch.header.key_epoch
    days = [MIDNIGHT // DAY - 1, MIDNIGHT // DAY]
    assert names == {day: {Pseudonymiser(day.to_bytes(32, "big")).pseudonym(GLOBAL)} for day in days}


@settings(max_examples=100, deadline=None)
@given(airs())
def test_no_name_is_used_on_two_days(air: list[CapturedFrame | Tick]):
    """Whatever the clock does, backwards too."""
    day_of: dict[bytes, int] = {}
    for batch in batches_of(air):
        for name in pseudonyms([batch]):
            assert day_of.setdefault(name, batch.header.key_epoch) == batch.header.key_epoch


def test_the_key_of_each_day_is_asked_for_once_and_in_order():
    asked: list[int] = []

    def keys(day: int) -> Pseudonymiser:
        asked.append(day)
        return Pseudonymiser(bytes(32))

    made = Pipeline(pipeline().settings, lambda payload: payload, keys)
    list(made.run(of_scans(scans(LOCAL, MIDNIGHT - DAY, 49, every_s=3600))))

    first = MIDNIGHT // DAY - 1
    assert asked == [first, first + 1, first + 2]


@settings(max_examples=100, deadline=None)
@given(airs())
def test_in_mode_count_nothing_of_any_device_is_in_the_payload(air: list[CapturedFrame | Tick]):
    """Even if somebody gave the pipeline keys: no sighting, no pseudonym, no address."""
    made = messages(air, mode=LegalMode.COUNT)

    phones = [GLOBAL, *map(local, range(1, 10))]
    days = {f.time_us // DAY for f in air}
    forbidden = [Pseudonymiser(day.to_bytes(32, "big")).pseudonym(phone) for day in days for phone in phones]
    forbidden += [trace for phone in phones for trace in traces(phone)]
    for batch, message in zip(opened(made), made, strict=True):
        payload = inflate(open_message(message.message).payload)
        assert batch.sightings == () and batch.windows == ()
        assert not any(word in payload for word in forbidden)


def test_in_mode_count_a_device_is_counted_again_in_every_window():
    """Nothing joins two windows: six scans of one phone in six windows are one device each time, and one in all."""
    made = pipeline(mode=LegalMode.COUNT)

    batches = opened(messages(of_scans(scans(LOCAL, T0_US, 6, rssi=-40)), made))

    inside = [c.devices for b in batches for c in b.counts if c.zone == "inside"]
    assert inside == [1.0] * 6
    assert made.estimate().devices == 1


def test_without_a_key_the_batch_names_no_key_epoch():
    made = Pipeline(replace(pipeline().settings, mode=LegalMode.COUNT), lambda p: p, lambda day: None)

    (batch,) = made.run([frame(T0_US, heard())])

    assert decode_batch(batch.message).header.key_epoch == -1


# --- clocks ---------------------------------------------------------------------------------------------------------


def test_a_frame_out_of_order_by_a_little_is_booked_when_it_arrives():
    """Two radios, one merge: no new batch, no frame lost."""
    (batch,) = batches_of(
        [frame(T0_US + 10 * S, heard()), frame(T0_US + 9 * S, heard()), frame(T0_US, heard(local(5)))]
    )

    assert batch.ledger.probe_requests == 3
    assert {s.first_ms for s in batch.sightings} == {(T0_US + 10 * S) // 1000}


def test_a_clock_set_back_begins_a_new_batch_and_time_goes_on_from_there():
    before = scans(LOCAL, T0_US, 3)
    after = scans(local(5), T0_US - 3600 * S, 3)

    batches = batches_of([frame(t, data) for t, data in before + after], batch_max_age_s=3600)

    assert len(batches) == 2
    assert batches[0].header.window_end_ms == before[-1][0] // 1000
    assert batches[1].header.window_start_ms == (T0_US - 3600 * S) // 1000
    assert [sum(s.frames for s in b.sightings) for b in batches] == [12, 12]


def test_a_clock_set_back_over_midnight_takes_the_name_with_it():
    air = scans(GLOBAL, MIDNIGHT + 10 * MINUTE, 2) + scans(GLOBAL, MIDNIGHT - 30 * MINUTE, 2)

    batches = batches_of([frame(t, data) for t, data in air])

    assert len(pseudonyms(batches)) == 2


def test_a_source_that_gave_nothing_makes_no_batch():
    assert messages([]) == []


# --- the same bytes -------------------------------------------------------------------------------------------------

DIGEST = """
import hashlib, sys
from pathlib import Path
from agent import compose
from agent.config import load_config
config = load_config(Path(sys.argv[1]))
source = compose.open_source(config, tuple(sys.argv[2:]))
digest = hashlib.sha256()
for batch in compose.replay_pipeline(config, source, is_enrolled=True).run(source):
    digest.update(batch.message)
print(digest.hexdigest())
"""


def test_one_capture_one_configuration_and_one_key_are_the_same_bytes_in_every_process(tmp_path: Path):
    """Whatever order Python's hashes are in; another capture, key or configuration is another boot."""
    config = enrolled(tmp_path / "state", batch={"replay_max_age_s": 60})
    busy = sorted(chain.from_iterable(scans(local(n), T0_US + n * 300_000, 5) for n in range(1, 60)))
    capture = tmp_path / "air.pcap"
    capture.write_bytes(pcap(busy))

    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST, str(config), str(capture)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("1", "4242")
    }

    assert len(digests) == 1
    assert digests != {hashlib.sha256().hexdigest() + "\n"}


def test_a_message_is_signed_for_the_agent_that_made_it():
    (message,) = messages([frame(T0_US, heard())], agent="ap-17")

    parts = open_message(message.message)
    KEY.public_key().verify(parts.signature, parts.to_be_signed)
    assert parts.agent == "ap-17"
