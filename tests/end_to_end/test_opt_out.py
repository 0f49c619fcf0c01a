"""Who asks on the store's page not to be counted is left out by its access points, and no list of them can be made."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clouds import Clock, Cloud, served
from support.frames import GLOBAL, T0_US, pcap, scans, write
from support.spellings import spellings

from agent.compose import connect
from agent.config import parse_config
from agent.dot11.captured import Event, Presence
from agent.dot11.probe_request import ProbeRequest, Skipped
from agent.pipeline import Pipeline, PipelineSettings
from agent.privacy.errors import OptOutsMalformed
from agent.privacy.opt_out import OptOuts
from agent.privacy.pseudonym import Pseudonymiser
from agent.sources.pcap import PcapSource
from agent.upload.errors import UploadDeferred, UploadRefused
from agent.upload.opt_outs import OPT_OUTS_PATH, OptOutFile
from agent.upload.signed_request import authorization
from agent.wire.model import ClockState, LegalMode
from cloud.domain.opt_out import (
    KEY_BYTES,
    MAX_SECTIONS,
    SECTION_BYTES,
    FilterFull,
    entered,
    is_full,
    is_private,
    positions,
    read_address,
)

KEY = bytes(range(16))
ADDRESS = bytes.fromhex("00005e005301")
OTHER = bytes.fromhex("02005e005302")
CHANCE = random.Random(1).randbytes(8 * SECTION_BYTES)
addresses = st.binary(min_size=6, max_size=6)


# --- the filter ---------------------------------------------------------------------------------------------------------


def test_the_twelve_bits_of_an_address_are_those_of_the_specification():
    """A golden vector; another sensor or cloud must find the same (agent/wire/SPEC.md, section 9)."""
    assert positions(KEY, ADDRESS) == [
        26885, 39026, 19644, 20802, 53131, 29166, 54432, 22755, 23839, 19384, 29262, 35088,
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(addresses, min_size=1, max_size=8), st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_the_access_point_finds_every_address_that_was_entered(entries, key):
    sections = b""
    for address in entries:
        sections = entered(sections, key, address, CHANCE)
    assert all(address in OptOuts(key + sections) for address in entries)


def filled(entries: int, sections: bytes = b"", seed: int = 7) -> bytes:
    chance = random.Random(seed)
    for _ in range(entries):
        sections = entered(sections, KEY, chance.randbytes(6), CHANCE)
    return sections


def share_found(sections: bytes, tries: int = 40_000) -> float:
    found, chance = OptOuts(KEY + sections), random.Random(99)
    return sum(chance.randbytes(6) in found for _ in range(tries)) / tries


def test_of_a_filter_with_one_entry_nobody_can_make_a_list():
    """Of addresses that nobody entered so many are in it that the one which was is one of forty million: 2^39 allocated ones times 7e-5."""
    assert 2**39 * share_found(filled(1), 300_000) > 5_000_000


def test_even_a_full_section_leaves_out_hardly_anybody_who_did_not_ask():
    sections = filled(1050)
    assert len(sections) == SECTION_BYTES and not is_full(sections)
    assert is_full(filled(150, sections, seed=8)[:SECTION_BYTES])
    assert share_found(sections) < 0.0015


def test_a_full_section_is_followed_by_another_and_the_last_one_refuses():
    two = filled(1, b"\xff" * SECTION_BYTES)
    assert len(two) == 2 * SECTION_BYTES
    with pytest.raises(FilterFull):
        entered(b"\xff" * (MAX_SECTIONS * SECTION_BYTES), KEY, ADDRESS, CHANCE)


def test_another_store_has_other_bits():
    assert set(positions(KEY, ADDRESS)) != set(positions(KEY[::-1], ADDRESS))


@pytest.mark.parametrize("length", [0, 1, 16, 17, 8192, 16 + 8191, 16 + 8193, 16 + 8 * 8192])
def test_bytes_that_are_no_filter_are_refused(length: int):
    with pytest.raises(OptOutsMalformed, match="a filter has 16 bytes"):
        OptOuts(bytes(length))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("00:00:5e:00:53:01", ADDRESS),
        ("00-00-5E-00-53-01", ADDRESS),
        (" 0000.5e00.5301 ", ADDRESS),
        ("00005E005301", ADDRESS),
        ("01:00:5e:00:53:01", None),
        ("00:00:00:00:00:00", None),
        ("00:00:5e:00:53", None),
        ("00:00:5e:00:53:01:02", None),
        ("00:00:5e:00:53:0g", None),
        ("٠٠:00:5e:00:53:01", None),
        ("", None),
        ("0" * 10_000, None),
    ],
)
def test_an_address_is_read_however_it_is_written(text: str, address: bytes | None):
    assert read_address(text) == address


def test_an_address_that_the_phone_made_up_is_known_as_such():
    assert (is_private(ADDRESS), is_private(OTHER)) == (False, True)


# --- the pipeline -------------------------------------------------------------------------------------------------------


def pipeline(mode: LegalMode = LegalMode.DAY) -> Pipeline:
    settings_ = PipelineSettings("ap-test", "shop", b"bootboot", "pcap", ClockState.REPLAY, mode, b"confhash", "0.1.0")
    keys = Pseudonymiser(bytes(32)) if mode is not LegalMode.COUNT else None
    return Pipeline(settings_, lambda payload: payload, lambda _day: keys)


OPTED_OUT = OptOuts(KEY + entered(b"", KEY, GLOBAL, CHANCE))


@pytest.mark.parametrize("mode", [LegalMode.COUNT, LegalMode.DAY, LegalMode.CONSENT])
def test_frames_of_who_opted_out_are_skipped_with_a_reason_and_leave_no_sighting(tmp_path: Path, mode: LegalMode):
    path = write(tmp_path / "a.pcap", pcap(sorted(scans(GLOBAL, T0_US, 3) + scans(OTHER, T0_US, 2))))
    counted, left_out = pipeline(mode), pipeline(mode)
    left_out.opt_outs = OPTED_OUT
    for made in (counted, left_out):
        list(made.run(PcapSource((path,))))

    others = {k: v for k, v in left_out.totals.skipped.items() if k != "opted_out"}
    assert left_out.totals.frames == counted.totals.frames
    assert others == counted.totals.skipped
    assert left_out.totals.skipped["opted_out"] > 0
    assert counted.totals.probe_requests == left_out.totals.probe_requests + left_out.totals.skipped["opted_out"]
    if mode is not LegalMode.COUNT:
        assert 0 < left_out.totals.sightings < counted.totals.sightings


def test_where_nobody_opted_out_a_frame_goes_the_same_way_as_ever(tmp_path: Path):
    """Not even a look at the filter: the decoder itself is called."""
    made = pipeline()
    list(made.run(PcapSource((write(tmp_path / "a.pcap", pcap(scans(GLOBAL, T0_US, 1))),))))
    assert made._decode.__self__ in made._decoders.values()


@pytest.mark.parametrize("kind", [Event, Presence])
def test_word_of_who_opted_out_is_left_out_too(kind: type):
    made = pipeline()
    made.opt_outs = OPTED_OUT
    request = ProbeRequest(GLOBAL, None, -50, 6, None)

    assert made.feed(kind(request, T0_US)) == Skipped("opted_out")
    assert made.ledger.skipped.get("opted_out", 0) == (1 if kind is Event else 0)
    assert made.feed(kind(request._replace(address=OTHER), T0_US + 1)) != Skipped("opted_out")


def test_an_objection_holds_from_the_next_second_on(tmp_path: Path):
    made = pipeline()
    frames = list(PcapSource((write(tmp_path / "a.pcap", pcap(scans(GLOBAL, T0_US, 4))),)))
    made.feed(frames[0])
    made.opt_outs = OPTED_OUT
    assert made.feed(frames[-1]) == Skipped("opted_out")


# --- from the page to the access point ------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path):
    cloud = Cloud(tmp_path / "cloud", clock=Clock())
    with served(cloud.embedded.app(works=False)) as http:
        http.follow_redirects = True
        yield cloud, http
    cloud.close()


def ask(place, kept: OptOutFile, key, agent: str = "ap-test") -> bool:
    cloud, http = place
    config = parse_config(f"cloud: {{url: '{str(http.base_url).rstrip('/')}'}}", "agent.yaml")
    connection = connect(config)
    try:
        return kept.update(connection, authorization(agent, key.sign, "GET", OPT_OUTS_PATH, cloud.clock.ms // 1000))
    finally:
        connection.close()


def test_from_the_page_to_the_access_point_and_over_its_restart(place, tmp_path: Path):
    from support.batches import KEY as AGENT_KEY

    cloud, http = place
    kept = OptOutFile(tmp_path / "opt-outs")
    assert ask(place, kept, AGENT_KEY) is False and kept.load() is None, "nobody has opted out"
    answer = http.post("/p/shop/opt-out", data={"device": "00:00:5e:00:53:01", "lang": "en"})
    assert answer.status_code == 200 and "no longer counted" in answer.text

    assert ask(place, kept, AGENT_KEY) is True
    assert ask(place, kept, AGENT_KEY) is False, "an ETag spares the rest"
    again = OptOutFile(tmp_path / "opt-outs")
    assert ADDRESS in again.load() and OTHER not in again.load()
    assert ask(place, again, AGENT_KEY) is False, "nothing is written to flash that is there already"
    for path in (*cloud.folder.rglob("*"), tmp_path / "opt-outs"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(text.encode() in content for text in spellings(ADDRESS).values()) and ADDRESS not in content


def test_only_the_stores_own_access_points_get_the_filter(place, tmp_path: Path):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from support.batches import KEY as AGENT_KEY

    cloud, http = place
    cloud.add_agent("ap-gone", state="revoked")
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    for agent, key, words in (
        ("ap-test", stranger, "401"),
        ("ap-none", AGENT_KEY, "401"),
        ("ap-gone", AGENT_KEY, "403"),
    ):
        with pytest.raises(UploadRefused, match=words):
            ask(place, OptOutFile(tmp_path / agent), key, agent)
    cloud.clock.ms += 1
    assert http.get(OPT_OUTS_PATH).status_code == 401


class Answers:
    """A connection that gives one answer."""

    def __init__(self, status: int, body: bytes) -> None:
        from agent.upload.https import Response

        self.answer = Response(status, None, '"x"', body)

    def request(self, *_args, **_headers):
        return self.answer


def test_a_damaged_answer_never_replaces_a_good_filter(tmp_path: Path):
    kept = OptOutFile(tmp_path / "opt-outs")
    good = KEY + entered(b"", KEY, ADDRESS, CHANCE)
    assert kept.update(Answers(200, good), "")
    with pytest.raises(OptOutsMalformed):
        kept.update(Answers(200, good[:-1]), "")
    with pytest.raises(UploadDeferred, match="503"):
        kept.update(Answers(503, b""), "")
    assert ADDRESS in kept.load()
    assert kept.update(Answers(200, b""), "") and kept.load() is None
