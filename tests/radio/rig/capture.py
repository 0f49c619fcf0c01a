"""Writes what a monitor interface hears to a pcap and counts probe requests (in the guest).

capture.py IFACE FILE.pcap SECONDS
"""

import collections
import errno
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
ifname, path, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
sock.bind((ifname, ETH_P_ALL))
frames, seen = 0, collections.Counter()
with open(path, "wb") as out:
    out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 127))
    end = time.time() + seconds
    while time.time() < end:
        if not select.select([sock], [], [], 0.3)[0]:
            continue
        try:
            data = sock.recv(65535)
        except OSError as error:  # ENETDOWN once when the interface goes down or away
            print(ifname, "recv:", errno.errorcode.get(error.errno, error.errno), flush=True)
            continue
        frames += 1
        now = time.time()
        out.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(data), len(data)) + data)
        (rt,) = struct.unpack_from("<H", data, 2)
        if data[rt] == 0x40:
            n = data[rt + 25]
            seen[data[rt + 10 : rt + 16].hex(":"), data[rt + 26 : rt + 26 + n].decode("ascii", "replace")] += 1
print(f"{ifname}: {frames} frames, {sum(seen.values())} probe requests")
for (mac, ssid), n in sorted(seen.items()):
    print(f"  {mac} {ssid!r} x{n}")
