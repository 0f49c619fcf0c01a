"""Every kind of frame that the simulator makes, as independent decoders read it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from scapy.layers.dot11 import Dot11Elt, Dot11FCS, Dot11ProbeReq, RadioTap
from scapy.utils import RawPcapReader

from simulator.air import CHANNELS, frame
from simulator.capture import write_capture
from simulator.day import DaySettings, simulate
from simulator.phones import MODELS, PRINTER, VARIANTS, elements

ADDRESS = bytes.fromhex("02005e005301")


def every_kind() -> list[bytes]:
    """Each model on each channel in three builds, the printer among them; addresses, counters and levels differ."""
    random = Random(1)
    return [
        frame(
            model,
            build,
            channel,
            bytes((0x02,)) + random.randbytes(5),
            random.randrange(4096),
            random.randint(-95, -30),
        )
        for model in (*MODELS, PRINTER)
        for build in (0, 1, VARIANTS - 1)
        for channel in CHANNELS
    ]


def test_scapy_reads_every_kind_and_builds_the_same_bytes_from_its_layers():
    """Rebuilt from the fields with the FCS computed anew, so a wrong check sum or a misshapen element shows."""
    for data in every_kind():
        packet = RadioTap(data)
        assert packet.haslayer(Dot11ProbeReq)
        packet.clear_cache()
        packet[Dot11FCS].fcs = None

        assert bytes(packet) == data


def test_scapy_finds_the_fields_that_were_put_in():
    packet = RadioTap(frame(MODELS[3], 5, 11, ADDRESS, 4095, -67))

    assert (packet.addr2, packet.addr1, packet.SC >> 4) == ("02:00:5e:00:53:01", "ff:ff:ff:ff:ff:ff", 4095)
    assert (packet.dBm_AntSignal, packet.ChannelFrequency) == (-67, 2462)
    assert packet[Dot11Elt].info == b"", "the SSID is a wildcard"


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_ds_parameter_names_the_channel_it_was_sent_on(channel: int):
    """IEEE 802.11-2020 9.4.2.4: element 3, one byte."""
    assert bytes((3, 1, channel)) in elements(MODELS[0], 0, channel)


@pytest.mark.parametrize(("asked_dbm", "written_dbm"), [(-67, -67), (5, -1), (-200, -110)])
def test_no_level_is_written_that_a_receiver_could_not_give(asked_dbm: int, written_dbm: int):
    assert RadioTap(frame(PRINTER, 0, 6, ADDRESS, 1, asked_dbm)).dBm_AntSignal == written_dbm


def test_tshark_finds_nothing_malformed_in_any_kind_nor_in_a_day(tmp_path: Path):
    """Every frame is a probe request, its check sum right, nothing malformed in any element."""
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed (apt-get install tshark)")
    day, _ = simulate(DaySettings(seed=2, shoppers=60))
    frames = [(number * 1000, data) for number, data in enumerate(every_kind())] + day
    write_capture(tmp_path / "all.pcap", frames)
    good = "wlan.fc.type_subtype == 4 && wlan.fcs.status == 1 && !_ws.malformed && !_ws.expert.severity >= 6291456"
    command = [tshark, "-n", "-o", "wlan.check_checksum:TRUE", "-r", str(tmp_path / "all.pcap"), "-Y", good]

    printed = subprocess.run(
        [*command, "-T", "fields", "-e", "frame.number"], capture_output=True, text=True, check=True, timeout=120
    )

    assert len(printed.stdout.split()) == len(frames) > 1000


def test_the_capture_gives_back_times_and_bytes(tmp_path: Path):
    day, _ = simulate(DaySettings(seed=2, shoppers=5))
    write_capture(tmp_path / "day.pcap", day)

    with RawPcapReader(str(tmp_path / "day.pcap")) as records:
        read = [(about.sec * 1_000_000 + about.usec, data) for data, about in records]

    assert read == day
