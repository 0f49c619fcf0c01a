"""What a second look at all bursts together makes of them."""

from __future__ import annotations

import gc
from random import Random

import pytest
from support.frames import ELEMENTS, HT, RATES, local

from agent.dot11.probe_request import ProbeRequest
from agent.tracking import resolver as resolver_module
from agent.tracking.estimate import DeviceEstimate
from agent.tracking.resolver import Resolver
from agent.tracking.scans import Scan
from agent.tracking.tracker import Tracker, TrackingSettings

S = 1_000_000
OTHER_MODEL = b"\x00\x00" + RATES + HT[:2] + b"\xef" + HT[3:]
OTHER_KIND = ELEMENTS + b"\xdd\x04\x02\x00\x00\x01"
Heard = tuple[float, ProbeRequest]


def scan(
    at_s: float,
    address: bytes,
    *,
    sequence: int | None = 0,
    rssi: int = -60,
    elements: bytes = ELEMENTS,
    channel: int = 6,
) -> list[Heard]:
    """Two frames of one scan."""
    return [
        (
            at_s + 0.02 * n,
            ProbeRequest(address, None if sequence is None else (sequence + n) % 4096, rssi, channel, elements),
        )
        for n in range(2)
    ]


def resetting_phone(
    first: int, *, every_s: float, scans: int, start_s: float = 0.0, rssi: int = -60, elements: bytes = ELEMENTS
) -> list[Heard]:
    """A new address and a random counter at every scan."""
    random = Random(first)
    return [
        frame
        for n in range(scans)
        for frame in scan(
            start_s + n * every_s,
            local(first + n),
            sequence=random.randrange(4096),
            rssi=rssi + random.choice((-1, 0, 0, 1)),
            elements=elements,
        )
    ]


def counting_phone(
    first: int, *, begin: int, scans: int, every_s: float = 60.0, start_s: float = 0.0, rssi: int = -60
) -> list[Heard]:
    """A new address at every scan, and a counter that runs on."""
    return [
        frame
        for n in range(scans)
        for frame in scan(start_s + n * every_s, local(first + n), sequence=begin + 30 * n, rssi=rssi)
    ]


def resolved(heard: list[Heard]) -> tuple[DeviceEstimate, list[int]]:
    """The estimate, and the device of each frame in order of time."""
    tracker, resolver = Tracker(TrackingSettings()), Resolver()
    bursts = []
    for at_s, request in sorted(heard, key=lambda frame: frame[0]):
        resolver.take(tracker.advance(int(at_s * S)))
        bursts.append(tracker.observe(request, int(at_s * S)))
    resolver.take(tracker.flush())
    estimate = resolver.resolve()
    return estimate, [burst.device() for burst in bursts]


def test_nothing_heard_is_no_device():
    estimate, _ = resolved([])

    assert (estimate.devices, estimate.low, estimate.high) == (0.0, 0.0, 0.0)


def test_one_phone_with_a_new_address_and_counter_at_every_scan_is_one_device():
    estimate, devices = resolved(resetting_phone(100, every_s=75, scans=12))

    assert estimate.devices == 1
    assert len(set(devices)) == 1


def test_two_phones_of_a_model_are_told_apart_by_their_counters_at_one_level():
    estimate, devices = resolved(
        counting_phone(100, begin=500, scans=10) + counting_phone(200, begin=2900, scans=10, start_s=31)
    )

    assert estimate.devices == 2
    assert devices[0] != devices[2]
    assert len(set(devices)) == 2


def test_two_phones_of_a_model_are_told_apart_by_their_timers_at_one_level():
    """Both scan each 160 s, 55 s apart, and nothing else differs."""
    estimate, devices = resolved(
        resetting_phone(100, every_s=160, scans=9) + resetting_phone(200, every_s=160, scans=9, start_s=55)
    )

    assert estimate.devices == 2
    assert len(set(devices)) == 2


def test_two_phones_of_a_model_are_told_apart_by_their_levels():
    random = Random(3)
    heard = []
    for n in range(24):
        heard += scan(
            10 + n * 40 + random.uniform(0, 30), local(n), sequence=random.randrange(4096), rssi=(-40, -62)[n % 2]
        )

    assert resolved(heard)[0].devices == 2


def test_two_phones_of_a_model_hours_apart_at_one_level_are_two_devices():
    """Nothing tells them apart but that nobody was heard in between."""
    heard = resetting_phone(100, every_s=45, scans=12) + resetting_phone(300, every_s=50, scans=12, start_s=4 * 3600)

    estimate, devices = resolved(heard)

    assert estimate.devices == 2
    assert len(set(devices[:24])) == len(set(devices[24:])) == 1
    assert devices[0] != devices[-1]


def test_where_many_of_a_model_pass_one_more_is_no_surprise():
    """Thirty phones in five hours, each heard twice within a minute, at levels as people walk by."""
    random = Random(11)
    heard = []
    for phone in range(30):
        start_s, rssi = 600 * phone + random.uniform(0, 300), random.randrange(-85, -45)
        heard += resetting_phone(10 * phone, every_s=random.uniform(20, 50), scans=2, start_s=start_s, rssi=rssi)

    estimate, _ = resolved(heard)

    assert estimate.low <= 30 <= estimate.high


def test_a_phone_silent_for_several_minutes_is_still_one_device():
    """A screen that stays dark for eight minutes is no end of a visit."""
    heard = resetting_phone(100, every_s=30, scans=10) + resetting_phone(300, every_s=30, scans=10, start_s=750)

    assert resolved(heard)[0].devices == 1


def test_more_scans_than_are_compared_at_once_are_divided_all_the_same(monkeypatch: pytest.MonkeyPatch):
    """Three phones, and room to compare a dozen scans of their sixty: they are joined in stretches of time first."""
    monkeypatch.setattr(resolver_module, "MAX_UNITS", 16)
    monkeypatch.setattr(resolver_module, "STRETCH_UNITS", 12)
    heard = [
        frame
        for number, rssi in enumerate((-45, -58, -71))
        for frame in resetting_phone(100 * number, every_s=50, scans=20, start_s=9.0 * number, rssi=rssi)
    ]

    assert resolved(heard)[0].devices == 3


def test_kinds_of_scan_of_one_phone_are_one_device():
    """Same hardware, same level, other elements beside."""
    heard = resetting_phone(100, every_s=180, scans=6) + resetting_phone(
        200, every_s=137, scans=7, start_s=20, elements=OTHER_KIND
    )

    assert resolved(heard)[0].devices == 1


def test_two_models_are_two_devices():
    heard = resetting_phone(100, every_s=60, scans=5) + resetting_phone(200, every_s=70, scans=5, elements=OTHER_MODEL)

    assert resolved(heard)[0].devices == 2


def test_models_that_share_a_bare_scan_stay_two_devices():
    """Both send a scan of rates only under the addresses of their full scans, as some Redmi do, and lie at one level."""
    bare = b"\x00\x00" + RATES
    heard = []
    for first, elements in ((100, ELEMENTS), (300, OTHER_MODEL)):
        heard += resetting_phone(first, every_s=66, scans=9, start_s=first / 10, elements=elements)
        heard += resetting_phone(first, every_s=66, scans=9, start_s=first / 10 + 2, elements=bare)

    assert resolved(heard)[0].devices == 2


def test_capabilities_that_change_under_one_address_are_one_phone():
    heard = scan(0, local(1), elements=ELEMENTS) + scan(3, local(1), elements=OTHER_MODEL, sequence=9)
    heard += resetting_phone(100, every_s=60, scans=5, start_s=60) + resetting_phone(
        200, every_s=60, scans=5, start_s=90, elements=OTHER_MODEL
    )

    assert resolved(heard)[0].devices == 1


def test_two_global_addresses_are_two_devices_however_alike():
    heard = scan(0, bytes.fromhex("00005e005301"), sequence=10) + scan(60, bytes.fromhex("00005e005302"), sequence=12)
    estimate, devices = resolved(heard)

    assert estimate.devices == 2
    assert len(set(devices)) == 2


def test_one_address_with_two_counters_is_two_devices():
    """A placeholder that several phones send with: 02:00:00:00:00:00."""
    shared = bytes.fromhex("020000000000")
    heard = [
        frame
        for n in range(12)
        for frame in scan(60 * n, shared, sequence=100 + 30 * n) + scan(60 * n + 25, shared, sequence=2500 + 30 * n)
    ]

    assert resolved(heard)[0].devices == 2


def test_two_phones_with_one_global_address_that_always_scan_at_once_are_two_devices():
    """Every burst has frames of both, so what is learned from burst to burst says that nobody here keeps a counter."""
    shared = bytes.fromhex("00005e005301")
    heard = [
        (60 * n + 0.02 * frame, ProbeRequest(shared, (first + 30 * n + frame) % 4096, -60, 6, ELEMENTS))
        for n in range(12)
        for frame, first in enumerate((700, 3100) if n % 2 else (3100, 700))
    ]

    assert resolved(heard)[0].devices == 2


def test_a_phone_that_lay_elsewhere_at_first_is_one_device():
    """Taken 20 dB away after its second scan, and its counter runs on."""
    heard = counting_phone(100, begin=0, scans=2, rssi=-50)
    heard += counting_phone(200, begin=60, scans=10, start_s=120, rssi=-70)

    estimate, devices = resolved(heard)

    assert estimate.devices == 1
    assert len(set(devices)) == 1


def test_scans_that_are_heard_only_from_a_neighbouring_channel_do_not_make_a_device():
    heard = resetting_phone(100, every_s=60, scans=15)
    heard += scan(900, local(900), sequence=77, rssi=-92)

    assert resolved(heard)[0].devices == 1


def test_an_identical_phone_that_was_hardly_heard_is_in_the_interval():
    heard = resetting_phone(100, every_s=47, scans=14) + resetting_phone(300, every_s=400, scans=2, start_s=170)
    estimate, _ = resolved(heard)

    assert estimate.low <= 2 <= estimate.high


def two_or_one_of_six_models(phones: int) -> list[Heard]:
    """Six models that nothing confuses, each with so many phones at levels far apart."""
    heard: list[Heard] = []
    for model in range(6):
        elements = OTHER_MODEL.replace(RATES, RATES[:-1] + bytes((0x20 + model,)))
        for phone in range(phones):
            first, rssi = 1000 + 200 * model + 100 * phone, -40 - 25 * phone
            heard += resetting_phone(
                first, every_s=61 + model, start_s=20.0 * phone, scans=9, rssi=rssi, elements=elements
            )
    return heard


def test_where_every_other_model_is_there_twice_a_doubtful_one_counts_for_more():
    """The same doubtful family, beside families that are surely two phones each, and beside families that are surely one."""
    doubtful = resetting_phone(100, every_s=47, scans=12) + resetting_phone(
        300, every_s=301, scans=4, start_s=30, rssi=-61
    )

    beside_twins = resolved(doubtful + two_or_one_of_six_models(2))[0]
    beside_single_ones = resolved(doubtful + two_or_one_of_six_models(1))[0]

    assert beside_twins.devices == 14
    assert beside_single_ones.devices == 7


def test_a_source_without_elements_is_counted_by_address():
    heard = [(n * 30.0, ProbeRequest(local(n % 3), None, -60, 6, None)) for n in range(9)]
    estimate, devices = resolved(heard)

    assert estimate.devices == 3
    assert len(set(devices)) == 3


def test_a_source_without_levels_or_numbers_is_resolved_all_the_same():
    heard = [(n * 30.0, ProbeRequest(local(n), None, None, None, ELEMENTS)) for n in range(5)]

    assert resolved(heard)[0].low <= resolved(heard)[0].devices


def test_resolving_twice_gives_the_same():
    heard = resetting_phone(100, every_s=75, scans=12) + counting_phone(400, begin=70, scans=9, start_s=11)

    assert resolved(heard) == resolved(heard)


def test_beyond_its_room_the_resolver_settles_the_models_silent_for_longest(monkeypatch: pytest.MonkeyPatch):
    """Twelve models, one after the other: each is counted once, however little of them is kept."""
    monkeypatch.setattr(resolver_module, "MAX_SCANS", 30)
    heard = []
    for model in range(12):
        elements = (OTHER_MODEL + b"\xdd\x04\x02\x00\x00\x01").replace(RATES, RATES[:-1] + bytes((0x20 + model,)))
        heard += resetting_phone(1000 * model, every_s=60, scans=8, start_s=600 * model, elements=elements)
    estimate, devices = resolved(heard)

    assert estimate.devices == 12
    assert len(set(devices)) == 12


def test_an_address_that_names_ever_other_hardware_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resolver_module, "MAX_ADDRESSES", 20)
    tracker, resolver = Tracker(TrackingSettings()), Resolver()
    for n in range(60):
        elements = ELEMENTS.replace(RATES, RATES[:-1] + bytes((0x20 + n,)))
        resolver.take(tracker.advance(n * 3 * S))
        tracker.observe(ProbeRequest(local(1), n, -60, 6, elements), n * 3 * S)

        assert len(resolver._same_hardware) <= 21


def test_a_multitude_leaves_no_more_than_the_room_for_scans(monkeypatch: pytest.MonkeyPatch):
    """600 addresses of one model, with a fraction of the room."""
    monkeypatch.setattr(resolver_module, "MAX_SCANS", 60)
    monkeypatch.setattr(resolver_module, "MAX_ADDRESSES", 100)
    tracker, resolver = Tracker(TrackingSettings()), Resolver()
    for n in range(600):
        resolver.take(tracker.advance(n * 3 * S))
        tracker.observe(ProbeRequest(local(n), n * 997 % 4096, -60 - n % 7, 6, ELEMENTS), n * 3 * S)
        assert resolver.scans_kept() <= 61
    assert resolver.addresses_kept() <= 100
    assert sum(1 for kept in gc.get_objects() if isinstance(kept, Scan)) <= 61
