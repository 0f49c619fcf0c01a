"""The corpus: small inputs that reach far, all of them made here and synthetic; and inputs that once broke something, kept in corpus/.

`python -m fuzz.corpus FOLDER` writes the made ones for atheris to begin with.
"""

from __future__ import annotations

import json
import struct
import sys
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import cbor2
from support.batches import KEY, START_MS, batch, sighting, signed
from support.frames import GLOBAL, T0_US, heard, pcap, pcapng, probe, radiotap, with_fcs

from agent.sources.blobmsg import attribute, encode_table
from agent.sources.ubus import Message, encode_message
from agent.wire.codec import inflate
from agent.wire.cose import open_message
from agent.wire.model import LegalMode, ZoneCount
from agent.wire.receipts import Head, make_receipt

FOUND = Path(__file__).with_name("corpus")
PROBE_EVENT = {"address": "00:00:5e:00:53:01", "target": "ff:ff:ff:ff:ff:ff", "signal": -61, "freq": 2437}
CONFIG = "agent:\n  id: ap\n  site: shop\nbatch: {window_s: 30, max_age_s: 60}\nprivacy:\n  mode: count\nsource:\n  paths: [a, b]\n"
UCI = "ivizone.agent=agent\nivizone.agent.id='ap'\nivizone.source.paths='a' 'b c'\nivizone.batch.window_s='30'\nivizone.radio.phy='phy0'\n"


KEY32, KEY64 = (b64encode(bytes(size)).decode() for size in (32, 64))
KEY_CHANGES = [
    b"\1"
    + json.dumps({"agent": "ap-1", "time": 1, "old": KEY32, "new": KEY32, "by_old": KEY64, "by_new": KEY64}).encode(),
]


def chain() -> list[str]:
    """Three receipts, the second of which hands over to the key that it has."""
    head, lines, key = Head(), [], KEY.public_key().public_bytes_raw()
    for what, about in (
        ("keys_erased", {"days": 3}),
        ("key_changed", {"next_key": b64encode(key).decode()}),
        ("x", {}),
    ):
        lines.append(make_receipt(head, at_ms=1, by="ap-1", key=key, what=what, about=about, sign=KEY.sign))
        head = Head.of(lines[-1])
    return lines


def seeds() -> dict[str, list[bytes]]:
    """Target -> inputs."""
    frames = [(T0_US + n * 400_000, heard(bytes((2, 0, 0, 0, 0, n)), sequence=n)) for n in range(6)]
    frame = with_fcs(probe())
    counts = batch(mode=LegalMode.COUNT)
    messages = [
        signed(batch(*(sighting(n, START_MS + n) for n in range(5)))),
        signed(replace(counts, windows=(), counts=(ZoneCount(START_MS, "inside", 3.0, 2.0, 4.5),))),
        signed(batch()),
    ]
    payloads = [open_message(message).payload for message in messages]
    table = encode_table(PROBE_EVENT)
    clients = encode_table(
        {"freq": 2437, "clients": {"00:00:5e:00:53:02": {"assoc": True, "authorized": True, "signal": -50}}}
    )
    wire = encode_message(Message(7, 1, 5, attribute(4, b"probe\0") + attribute(7, table)))
    return {
        "capture": [
            pcap(frames), pcap(frames, order=">", nanoseconds=True), pcapng(frames), pcapng(frames, order=">", resolution=9, offset_s=5),
            b"\xff" + pcap(frames), b"\xff" + pcapng(frames), pcap(frames, snap=30), pcap(frames, link_type=105),
        ],
        "frame": [
            frame, probe(GLOBAL), radiotap() + frame, radiotap(rssi=None, flags=None) + frame, struct.pack(">I", 0x80211001) + bytes(60) + frame,
            struct.pack("<II", 0x44, 144) + bytes(136) + frame, struct.pack("<BBHI", 0, 0, 32, 105) + struct.pack("<HH", 2, 20) + bytes(20) + frame,
        ],
        "air": [b"".join(bytes((n % 5, len(data) % 256, 44)) + data[: len(data) % 256] for n, (_, data) in enumerate(frames))],
        "ubus": [b"\x10" + wire, b"\x03" + wire + wire],
        "event": [bytes((n,)) + content for n in range(7) for content in (table, clients)],
        "batch": [
            *(b"\0" + message for message in messages), *(b"\1" + payload for payload in payloads),
            *(b"\2" + inflate(payload) for payload in payloads), b"\2" + cbor2.dumps({0: 1}),
        ],
        "config": [CONFIG.encode(), b"a: &a [*a]\n", b"agent: {id: ap, id: ap2}\n"],
        "uci": [UCI.encode()],
        "answer": [
            b"\0HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\nRetry-After: 9\r\n\r\nok",
            b"\0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nETag: a\r\n\r\n",
            b"\0HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 503 Away\r\n\r\n",
            b'\1{"agent":"ap-1","config":{"privacy":{"access_points":"several","mode":"day"}},"site":"shop"}',
        ],
        "own": [b"\0" + json.dumps({"token": "t", "public_key": KEY32, "software": "0.1.0"}).encode(), *KEY_CHANGES,
                b"\x0200:00:5e:00:53:01", b"\x0202-00-00-00-00-01"],
        "receipts": [b"\0" + "\n".join(chain()).encode(), b"\1" + "\n".join(chain()).encode()],
        "page": [
            b"\2" + bytes((n,)) + query
            for n in range(26)
            for query in (b"date=2026-11-20&preset=ivizone", b"from=2026-11-01&to=2026-11-20&format=csv", b"week=2026-W47&lang=fr")
        ] + [b"\1" + bytes((n,)) + form for n in range(12) for form in (b"email=a&consent=on&code=ABCD", b'{"code":"ABCD","token":"x"}')],
    }  # fmt: skip


def found(target: str) -> list[bytes]:
    """What once broke something, or what atheris kept."""
    return [path.read_bytes() for path in sorted((FOUND / target).glob("*"))]


def main(folder: Path) -> None:
    """Write the made inputs, a folder for each target."""
    for target, inputs in seeds().items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / target / f"seed-{number:03d}").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
