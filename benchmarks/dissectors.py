"""The same fields of the same capture by other dissectors, each timed as its users would run it.

Fields: time, transmitter address, sequence number, signal, channel frequency, element numbers.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

TSHARK_FIELDS = (
    "frame.time_epoch",
    "wlan.sa",
    "wlan.seq",
    "radiotap.dbm_antsignal",
    "radiotap.channel.freq",
    "wlan.tag.number",
)


def scapy_frames_per_second(capture: Path, limit: int) -> float:
    """scapy reads ``limit`` frames and we take the fields from its layers."""
    from scapy.layers.dot11 import Dot11, Dot11Elt, RadioTap
    from scapy.utils import PcapReader

    started = time.process_time()
    done = 0
    with PcapReader(str(capture)) as packets:
        for packet in packets:
            radiotap, dot11 = packet[RadioTap], packet[Dot11]
            elements = []
            element = packet.getlayer(Dot11Elt)
            while isinstance(element, Dot11Elt):
                elements.append(element.ID)
                element = element.payload
            _ = (packet.time, dot11.addr2, dot11.SC >> 4, radiotap.dBm_AntSignal, radiotap.ChannelFrequency, elements)
            done += 1
            if done == limit:
                break
    return done / (time.process_time() - started)


def dpkt_frames_per_second(capture: Path) -> float:
    """dpkt reads every frame and we take the fields from its objects."""
    import dpkt

    started = time.process_time()
    done = 0
    with capture.open("rb") as stream:
        for stamp, data in dpkt.pcap.Reader(stream):
            done += 1
            try:
                radiotap = dpkt.radiotap.Radiotap(data)
                frame = radiotap.data
                elements = [element.id for element in frame.ies]
                _ = (stamp, frame.mgmt.src, radiotap.ant_sig.db, radiotap.channel.freq, elements)
            except (dpkt.UnpackError, AttributeError, IndexError, TypeError):
                continue  # dpkt knows neither every element nor extended presence words; such frames cost it less, not more
    return done / (time.process_time() - started)


def tshark_frames_per_second(capture: Path) -> float:
    """``tshark -T fields`` of the same fields, its start (measured on one frame) taken off."""

    def seconds(*options: str) -> tuple[float, int]:
        fields = [word for name in TSHARK_FIELDS for word in ("-e", name)]
        command = ["tshark", "-n", "-r", str(capture), *options, "-T", "fields", *fields]
        started = time.perf_counter()
        lines = subprocess.run(command, check=True, capture_output=True).stdout.count(b"\n")
        return time.perf_counter() - started, lines

    start_up, _ = seconds("-c", "1")
    whole, frames = seconds()
    return frames / (whole - start_up)
