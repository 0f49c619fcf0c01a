"""Captures of several days laid onto one, for a demonstration or a test of a crowd."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from support.frames import T0_US, heard, local, pcap, write

from agent.sources.pcap import PcapSource

DAY_US = 86_400_000_000
DAY = (date(2026, 11, 20) - date(1970, 1, 1)).days


def capture(tmp_path: Path, name: str, *times_us: int) -> Path:
    return write(tmp_path / name, pcap([(time_us, heard(local(1))) for time_us in times_us]))


def test_each_capture_keeps_its_time_of_day_and_frames_are_merged_anew(tmp_path: Path):
    first = capture(tmp_path, "late.pcap", T0_US + 2_000_000, T0_US + 4_000_000)
    second = capture(tmp_path, "early.pcap", T0_US - 30 * DAY_US + 1_000_000, T0_US - 30 * DAY_US + 3_000_000)

    frames = list(PcapSource([first, second], onto_day=DAY))

    assert [frame.capture for frame in frames] == [1, 0, 1, 0]
    assert {datetime.fromtimestamp(f.time_us / 1e6, UTC).date() for f in frames} == {date(2026, 11, 20)}
    assert [f.time_us % DAY_US - T0_US % DAY_US for f in frames] == [1_000_000, 2_000_000, 3_000_000, 4_000_000]


def test_a_capture_over_midnight_goes_on_into_the_next_day(tmp_path: Path):
    midnight_us = (T0_US // DAY_US + 1) * DAY_US
    path = capture(tmp_path, "night.pcap", midnight_us - 1, midnight_us + 1)

    assert [f.time_us // DAY_US for f in PcapSource([path], onto_day=DAY)] == [DAY, DAY + 1]


def test_the_day_is_part_of_what_the_captures_are(tmp_path: Path):
    """Else the second replay of a capture, onto another day, would be taken for the first."""
    path = capture(tmp_path, "one.pcap", T0_US)

    assert PcapSource([path], onto_day=DAY).identity() != PcapSource([path]).identity()
