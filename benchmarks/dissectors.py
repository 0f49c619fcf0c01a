"""The same fields of the same capture by other dissectors, as their users would take them.

Fields: time, transmitter address, sequence number, signal, channel frequency, element numbers.
``python -m benchmarks.dissectors scapy|dpkt CAPTURE`` prints how many frames gave them.
"""

from __future__ import annotations

import sys
from pathlib import Path

TSHARK_FIELDS = (
    "frame.time_epoch",
    "wlan.sa",
    "wlan.seq",
    "radiotap.dbm_antsignal",
    "radiotap.channel.freq",
    "wlan.tag.number",
)


def tshark_command(capture: Path) -> list[str]:
    """``tshark -T fields``, without name resolution."""
    return [
        "tshark",
        "-n",
        "-r",
        str(capture),
        "-T",
        "fields",
        *(word for name in TSHARK_FIELDS for word in ("-e", name)),
    ]


def by_scapy(capture: Path) -> int:
    """scapy reads every frame and we take the fields from its layers."""
    from scapy.layers.dot11 import Dot11, Dot11Elt, RadioTap
    from scapy.utils import PcapReader

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
    return done


def by_dpkt(capture: Path) -> int:
    """dpkt reads every frame and we take the fields from its objects."""
    import dpkt

    done = 0
    with capture.open("rb") as stream:
        for stamp, data in dpkt.pcap.Reader(stream):
            try:
                radiotap = dpkt.radiotap.Radiotap(data)
                frame = radiotap.data
                elements = [element.id for element in frame.ies]
                _ = (stamp, frame.mgmt.src, frame.mgmt.frag_seq, radiotap.ant_sig.db, radiotap.channel.freq, elements)
                done += 1
            except (dpkt.UnpackError, AttributeError, IndexError, TypeError):
                continue  # dpkt knows neither every element nor extended presence words; such frames cost it less, not more
    return done


if __name__ == "__main__":
    print({"scapy": by_scapy, "dpkt": by_dpkt}[sys.argv[1]](Path(sys.argv[2])))
