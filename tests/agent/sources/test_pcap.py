"""Captures: what is read, in which order, and what is said where one breaks off."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import GLOBAL, LOCAL, T0_US, block, heard, pcap, pcapng, write

from agent.sources import load_source
from agent.sources.errors import CaptureEmpty, CaptureMissing, LinkTypeUnknown, NotACapture, SourceError, SourceUnknown
from agent.sources.pcap import PcapSource

FRAMES = [(T0_US + 1_000_003 * n, heard(LOCAL, sequence=n)) for n in range(5)]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pcap(FRAMES), id="pcap, little-endian, µs"),
        pytest.param(pcap(FRAMES, order=">"), id="pcap, big-endian, µs"),
        pytest.param(pcap(FRAMES, nanoseconds=True), id="pcap, little-endian, ns"),
        pytest.param(pcap(FRAMES, order=">", nanoseconds=True), id="pcap, big-endian, ns"),
        pytest.param(pcapng(FRAMES), id="pcapng, little-endian, µs"),
        pytest.param(pcapng(FRAMES, order=">"), id="pcapng, big-endian"),
        pytest.param(pcapng(FRAMES, resolution=9), id="pcapng, ns"),
        pytest.param(pcapng(FRAMES, offset_s=1_000_000_000), id="pcapng, with an offset"),
        pytest.param(pcapng(FRAMES[:2]) + pcapng(FRAMES[2:], order=">"), id="pcapng of two sections"),
    ],
)
def test_every_form_of_capture_gives_the_same_frames(tmp_path: Path, data: bytes, zipped: bool):
    path = write(tmp_path / "any.name", data, zipped=zipped)

    read = [(frame.time_us, frame.data) for frame in PcapSource([path])]

    assert read == FRAMES


def test_standard_input_is_a_capture_too(monkeypatch: pytest.MonkeyPatch):
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(pcap(FRAMES))))
    monkeypatch.setattr(sys, "stdin", stdin)

    assert len(list(PcapSource(["-"]))) == 5


def test_several_captures_are_one_air_merged_by_time(tmp_path: Path):
    """Ties go to the capture that was given first."""
    one = write(tmp_path / "1", pcap([FRAMES[0], FRAMES[3]]))
    two = write(tmp_path / "2", pcapng([FRAMES[1], FRAMES[3], FRAMES[4]]))

    read = [(frame.time_us, frame.capture) for frame in PcapSource([one, two])]

    assert read == [(FRAMES[0][0], 0), (FRAMES[1][0], 1), (FRAMES[3][0], 0), (FRAMES[3][0], 1), (FRAMES[4][0], 1)]


def test_a_frame_that_the_snap_length_cut_says_so(tmp_path: Path):
    path = write(tmp_path / "cut", pcap(FRAMES, snap=40))

    assert all(frame.is_cut and len(frame.data) == 40 for frame in PcapSource([path]))


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_a_capture_cut_anywhere_gives_its_whole_frames_and_one_line(tmp_path: Path, make):
    """Every byte length from behind the head to the end: frames are a prefix, and a broken end is told with its place."""
    whole = make(FRAMES)
    head = len(make([]))
    for length in range(head, len(whole), 7):
        path = write(tmp_path / "cut", whole[:length])
        source = PcapSource([path])

        read = [(frame.time_us, frame.data) for frame in source]

        assert read == FRAMES[: len(read)]
        is_whole = whole[:length] == make(FRAMES[: len(read)])
        assert len(source.troubles) == (0 if is_whole else 1)
        assert all("breaks off at byte" in line and str(path) in line for line in source.troubles)


def test_a_gzip_stream_that_breaks_off_is_told(tmp_path: Path):
    path = write(tmp_path / "c.gz", pcap(FRAMES * 500), zipped=True)
    path.write_bytes(path.read_bytes()[:-20])
    source = PcapSource([path])

    assert len(list(source)) > 0
    assert "breaks off" in source.troubles[0]
    assert source.losses() == {"capture_truncated": 1}


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        pytest.param(b"", CaptureEmpty, "is empty", id="empty"),
        pytest.param(b"hello, this is text", NotACapture, "pcap and pcapng", id="text"),
        pytest.param(pcap([])[:10], NotACapture, "ends inside the file header", id="half a head"),
        pytest.param(pcap([], link_type=1), LinkTypeUnknown, "link type 1 .*127", id="Ethernet"),
    ],
)
def test_a_file_that_is_no_capture_is_refused_before_the_first_frame(
    tmp_path: Path, content: bytes, error: type, words: str
):
    path = write(tmp_path / "x.pcap", content)

    with pytest.raises(error, match=words) as caught:
        PcapSource([path])
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(CaptureMissing, match=r"absent\.pcap.*exists"):
        PcapSource([tmp_path / "absent.pcap"])


def test_an_ethernet_interface_in_pcapng_is_refused(tmp_path: Path):
    with pytest.raises(LinkTypeUnknown, match="link type 1"):
        list(PcapSource([write(tmp_path / "e", pcapng(FRAMES, link_type=1))]))


def test_pcapng_simple_and_old_packet_blocks_are_read(tmp_path: Path):
    data = heard(GLOBAL)
    simple = block("<", 3, struct.pack("<I", len(data)) + data)
    old = block("<", 2, struct.pack("<HHIIII", 0, 0, T0_US >> 32, T0_US & 0xFFFFFFFF, len(data), len(data)) + data)

    read = list(PcapSource([write(tmp_path / "b", pcapng([]) + old + simple)]))

    assert [frame.data for frame in read] == [data, data]
    assert read[0].time_us == read[1].time_us == T0_US


def test_no_capture_at_all_is_said():
    with pytest.raises(SourceError, match="no capture was given"):
        PcapSource([])


def test_an_unknown_source_lists_those_that_exist():
    with pytest.raises(SourceUnknown, match="pcap"):
        load_source("telepathy")


@settings(max_examples=150, deadline=None)
@given(data=st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(lambda junk: pcapng(FRAMES[:1]) + junk)))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = write(tmp_path_factory.getbasetemp() / "any", data)
    said = ""
    try:
        list(PcapSource([path]))
    except SourceError as error:
        said = str(error)
    assert not said or str(path) in said
