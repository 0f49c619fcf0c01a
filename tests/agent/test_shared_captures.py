"""Every frame of the shared captures beside an independent decoder: 11 real phones, and the simulated radios of the kernel.

What differs is told by the number of the frame, never by what is in it: these are addresses of real phones.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.frames import pcap, write
from support.shared_data import shared_data

from agent.dot11.captured import CapturedFrame
from agent.dot11.decoder import Decoder
from agent.dot11.elements import split_elements
from agent.dot11.probe_request import ProbeRequest, Skipped
from agent.sources.pcap import PcapSource

PROBE_REQUEST, GOOD = "0x0004", "1"
FIELDS = (
    "wlan.fc.type_subtype",
    "wlan.ta",
    "wlan.seq",
    "radiotap.dbm_antsignal",
    "wlan_radio.channel",
    "radiotap.flags.fcs",
    "wlan.fcs.status",
    "wlan.tag.number",
)


class Seen(NamedTuple):
    """A frame, what we made of it and what tshark says."""

    frame: CapturedFrame
    ours: ProbeRequest | Skipped
    theirs: dict[str, str]

    def __repr__(self) -> str:
        """What a failing test prints."""
        return "Seen(...)"


def frames_of(folder: str) -> list[CapturedFrame]:
    paths = sorted(shared_data(folder).rglob("*.pcap"))
    assert paths, f"no capture in {folder}"
    return [frame for path in paths for frame in PcapSource([path])]


def dissected(frames: list[CapturedFrame], folder: Path) -> list[dict[str, str]]:
    """All frames by one tshark, in order. It checks FCS only when told to."""
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed (apt-get install tshark)")
    capture = write(folder / "all.pcap", pcap([(n, frame.data) for n, frame in enumerate(frames)]))
    command = ["tshark", "-r", str(capture), "-o", "wlan.check_checksum:TRUE", "-T", "fields", "-E", "separator=/t"]
    command += [part for field in FIELDS for part in ("-e", field)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    lines = [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in out.splitlines()]
    assert len(lines) == len(frames)
    return lines


@pytest.fixture(scope="module", params=["phones", "hwsim"])
def air(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    frames = frames_of(request.param)
    theirs = dissected(frames, tmp_path_factory.mktemp("tshark"))
    decoder = Decoder(127)
    assert {frame.link_type for frame in frames} == {127}
    return [Seen(f, decoder.decode(f.data, f.is_cut), t) for f, t in zip(frames, theirs, strict=True)]


def probes(air: list[Seen]) -> list[tuple[int, ProbeRequest, dict[str, str]]]:
    found = [(n, seen.ours, seen.theirs) for n, seen in enumerate(air) if isinstance(seen.ours, ProbeRequest)]
    assert found
    return found


def differing(
    air: list[Seen], ours: Callable[[ProbeRequest], Any], theirs: Callable[[dict[str, str]], Any]
) -> list[int]:
    return [n for n, request, dissection in probes(air) if ours(request) != theirs(dissection)]


@pytest.mark.parametrize("folder", ["phones", "hwsim"])
def test_every_frame_is_a_probe_request_or_skipped_with_a_reason(folder: str):
    """The phones' captures hold nothing but probe requests, and each of them is whole."""
    decoder = Decoder(127)
    outcomes = Counter(
        "probe request" if isinstance(ours := decoder.decode(f.data, f.is_cut), ProbeRequest) else ours.reason
        for f in frames_of(folder)
    )

    assert outcomes["probe request"] > 50
    if folder == "phones":
        assert set(outcomes) == {"probe request"}
    else:
        assert set(outcomes) == {"probe request", "no_signal", "not_probe_request"}


def test_the_same_frames_are_probe_requests(air: list[Seen]):
    """Those that the radio sent itself carry no signal, and were not heard."""
    ours = {n for n, seen in enumerate(air) if isinstance(seen.ours, ProbeRequest)}
    sent = {n for n, seen in enumerate(air) if isinstance(seen.ours, Skipped) and seen.ours.reason == "no_signal"}
    theirs = {n for n, seen in enumerate(air) if seen.theirs["wlan.fc.type_subtype"] == PROBE_REQUEST}

    assert sorted(ours ^ (theirs - sent)) == []
    assert all(not air[n].theirs["radiotap.dbm_antsignal"] for n in sent)


def test_the_same_check_sums_are_good(air: list[Seen]):
    """Where the header announces an FCS, tshark has verified it too."""
    announced = [n for n, _, theirs in probes(air) if theirs["radiotap.flags.fcs"] in ("1", "True")]

    assert [n for n in announced if air[n].theirs["wlan.fcs.status"] != GOOD] == []
    damaged = 0
    for n in announced[:200]:
        data = bytearray(air[n].frame.data)
        data[-10] ^= 1
        damaged += Decoder(127).decode(bytes(data), False) == Skipped("bad_fcs")
    assert damaged == len(announced[:200])


def test_the_same_address_and_sequence_number(air: list[Seen]):
    assert differing(air, lambda r: r.address.hex(":"), lambda t: t["wlan.ta"]) == []
    assert differing(air, lambda r: str(r.sequence), lambda t: t["wlan.seq"]) == []


def test_the_same_level_of_the_strongest_antenna(air: list[Seen]):
    def strongest(theirs: dict[str, str]) -> int | None:
        levels = [int(level) for level in theirs["radiotap.dbm_antsignal"].split(",") if level]
        return max((level for level in levels if -110 <= level < 0), default=None)

    assert differing(air, lambda r: r.rssi_dbm, strongest) == []


def test_the_same_channel(air: list[Seen]):
    assert differing(air, lambda r: str(r.channel or ""), lambda t: t["wlan_radio.channel"]) == []


def test_the_same_elements_in_the_same_order(air: list[Seen]):
    def numbers(request: ProbeRequest) -> str:
        return ",".join(str(number) for number, _ in split_elements(request.elements or b""))

    assert differing(air, numbers, lambda t: t["wlan.tag.number"]) == []
