"""Sends 802.11 probe requests through a monitor interface (in the guest).

    inject.py IFACE MAC [--ssid TEXT] [--count N | --seconds S] [--rate PER_SECOND] [--ies HEX] [--new-mac | --addresses N]

--ies appends ready information elements; --new-mac gives each frame its own random address, --addresses N cycles through N
local ones. Ends with one line that says how many were sent in which time.
"""

import argparse
import os
import socket
import struct
import time


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("iface")
    p.add_argument("mac")
    p.add_argument("--ssid", default="")
    p.add_argument("--count", type=int, default=1)
    p.add_argument("--rate", type=float, default=50.0)
    p.add_argument("--ies", default="")
    p.add_argument("--new-mac", action="store_true")
    p.add_argument("--addresses", type=int, default=0)
    p.add_argument("--seconds", type=float, default=0.0)
    a = p.parse_args()
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((a.iface, 0))
    mac = bytes.fromhex(a.mac.replace(":", ""))
    ssid = a.ssid.encode()
    body = bytes([0, len(ssid)]) + ssid + bytes([1, 4, 2, 4, 11, 22]) + bytes.fromhex(a.ies)
    radiotap = struct.pack("<BBHI", 0, 0, 8, 0)
    count = round(a.rate * a.seconds) if a.seconds else a.count
    start = time.monotonic()
    for n in range(count):
        if a.new_mac:
            raw = bytearray(os.urandom(6))
            raw[0] = raw[0] & 0xFC | 2
            mac = bytes(raw)
        elif a.addresses:
            mac = b"\x02" + (n // 4 % a.addresses).to_bytes(5, "big")
        header = b"\x40\0\0\0" + b"\xff" * 6 + mac + b"\xff" * 6 + struct.pack("<H", (n & 0xFFF) << 4)
        out.send(radiotap + header + body)
        wait = start + (n + 1) / a.rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
    print(f"sent {count} in {time.monotonic() - start:.2f} s")


if __name__ == "__main__":
    main()
