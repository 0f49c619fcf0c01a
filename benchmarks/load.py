"""A load generator for POST /v1/batches: distinct bodies, kept connections, one request under way on each.

``python -m benchmarks.load ADDRESS BODIES CONNECTIONS`` prints {"seconds", "answers": {status: n}, "p50_ms", "p95_ms"}.
It is written close to the sockets so that the server is what is measured: whole requests are laid out before the clock starts.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from benchmarks.rounds import percentile

LENGTH = struct.Struct(">I")
HEAD_END = b"\r\n\r\n"
REQUEST = (
    "POST /v1/batches HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/cose\r\nContent-Length: {length}\r\n\r\n"
)


def write_bodies(path: Path, bodies: Iterable[bytes]) -> None:
    """Each body behind its length."""
    with path.open("wb") as file:
        for body in bodies:
            file.write(LENGTH.pack(len(body)) + body)


def read_bodies(path: Path) -> Iterator[bytes]:
    """What ``write_bodies`` wrote."""
    data = path.read_bytes()
    position = 0
    while position < len(data):
        (length,) = LENGTH.unpack_from(data, position)
        position += LENGTH.size + length
        yield data[position - length : position]


class Load:
    """The requests that are left, and what was answered so far."""

    def __init__(self, requests: list[bytes]) -> None:
        self.left = iter(requests)
        self.answers: Counter[int] = Counter()
        self.took_ms: list[float] = []


class Client(asyncio.Protocol):
    """One connection: sends the next request when the answer to the last is whole. ``done`` is set when none is left."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answer = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def start(self) -> None:
        """Send the first."""
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(HEAD_END)
        if not found or len(body) < _content_length(head):
            return
        self._load.answers[int(head[9:12])] += 1
        self._load.took_ms.append((time.perf_counter() - self._sent_at) * 1000)
        self._answer = b""
        self._next()

    def connection_lost(self, exception: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exception or ConnectionError("the server closed a connection under load"))

    def _next(self) -> None:
        request = next(self._load.left, None)
        if request is not None:
            self._sent_at = time.perf_counter()
            self._transport.write(request)  # type: ignore[attr-defined]
        elif not self.done.done():
            self.done.set_result(None)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0


async def drive(address: str, bodies: list[bytes], connections: int) -> dict[str, object]:
    """All bodies over ``connections`` connections; the clock runs from the first request to the last answer."""
    parts = urlsplit(address)
    load = Load([REQUEST.format(host=parts.netloc, length=len(body)).encode() + body for body in bodies])
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(load), parts.hostname, parts.port))[1] for _ in range(connections)
    ]
    started = time.perf_counter()
    for client in clients:
        client.start()
    await asyncio.gather(*(client.done for client in clients))
    return {
        "seconds": time.perf_counter() - started,
        "answers": dict(load.answers),
        "p50_ms": percentile(load.took_ms, 50),
        "p95_ms": percentile(load.took_ms, 95),
    }


if __name__ == "__main__":
    address, path, connections = sys.argv[1:]
    uvloop.install()
    print(json.dumps(asyncio.run(drive(address, list(read_bodies(Path(path))), int(connections)))))
