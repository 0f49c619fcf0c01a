"""Joins its standard input and output to a TCP port of this machine's loopback.

run.sh starts one for each connection that the guest makes to 10.0.2.100:PORT.
"""

import os
import socket
import sys
import threading


def main() -> None:
    peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
    peer.settimeout(None)

    def outward() -> None:
        while data := os.read(0, 65536):
            peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)

    threading.Thread(target=outward, daemon=True).start()
    while data := peer.recv(65536):
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
