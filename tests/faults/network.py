"""The line between agent and cloud, as bad as a seed wants it: a proxy of ours, for a process of its own.

It answers errors before and after the batch was stored, hangs, trickles, cuts connections, answers with rubbish, sends a batch twice
and once more much later, behind its successors. It never says 202 for what the cloud did not store: that no cloud may (agent/wire/SPEC.md).
"""

from __future__ import annotations

import http.client
import mmap
import signal
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

BEFORE = ("error", "busy", "drop", "hang", "trickle", "rubbish")
AFTER = ("error_after", "drop_after", "hang_after", "half_after", "rubbish_after", "twice", "late")
KINDS = (*BEFORE, *AFTER)
"""Before: nothing was done. After: the cloud has answered, and the agent does not hear of it; or the cloud hears it again."""
HANG_S = 0.5
"""A little longer than the schedules' agents wait."""
RUBBISH = b"HTTP/1.1 banana\r\n\r\n"


class Line:
    """``share`` of the requests meet a fault, at most ``most`` of them. ``faults`` counts them, also for other processes."""

    def __init__(self, port: int, cloud_port: int, seed: int, share: float, most: int, kinds: tuple[str, ...]) -> None:
        self._cloud_port = cloud_port
        self._chance = Random(seed)
        self._share, self._most, self._kinds = share, most, kinds
        self._shared = mmap.mmap(-1, 16 * len(KINDS))
        self._lock = threading.Lock()
        self._late: list[bytes] = []
        self.port = port

    def faults(self) -> dict[str, int]:
        """Kind -> how often."""
        counts = {kind: int(self._shared[16 * n : 16 * n + 16].rstrip(b"\0") or b"0") for n, kind in enumerate(KINDS)}
        return {kind: count for kind, count in counts.items() if count}

    def serve(self) -> None:
        """Until the process is ended."""
        line = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                line.answer(self, body)

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Agents die and hang up; that is what it is for."""

        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        Server(("127.0.0.1", self.port), Handler).serve_forever(poll_interval=0.05)

    def answer(self, handler: Any, body: bytes) -> None:
        """One request."""
        fault = self._draw()
        if fault in BEFORE:
            self._fail(handler, fault)
            return
        answer = self._forward(body)
        if answer is None:
            handler.close_connection = True  # the cloud is not there
            return
        if fault == "twice":
            answer = self._forward(body) or answer
        if fault == "late":
            with self._lock:
                self._late.append(body)
        elif not fault:
            self._send_late()
        if fault in AFTER and fault not in ("twice", "late"):
            self._fail(handler, fault.removesuffix("_after"))
        else:
            _reply(handler, *answer)

    def _draw(self) -> str | None:
        with self._lock:
            if self._most <= 0 or self._chance.random() >= self._share:
                return None
            self._most -= 1
            fault = self._chance.choice(self._kinds)
            place = 16 * KINDS.index(fault)
            count = int(self._shared[place : place + 16].rstrip(b"\0") or b"0") + 1
            self._shared[place : place + 16] = str(count).encode().ljust(16, b"\0")
            return fault

    def _fail(self, handler: Any, how: str) -> None:
        handler.close_connection = True
        if how == "hang":
            time.sleep(HANG_S)
        elif how == "error":
            _reply(handler, self._chance.choice((500, 502, 504, 404)), b"<html>a gateway's page</html>", None)
        elif how == "busy":
            _reply(handler, self._chance.choice((429, 503, 507)), b"later\n", "0")
        elif how == "rubbish":
            handler.wfile.write(RUBBISH)
        elif how == "half":
            handler.wfile.write(b"HTTP/1.1 20")
        elif how == "trickle":
            with suppress(OSError):
                for byte in b"HTTP/1.1 503":
                    handler.wfile.write(bytes((byte,)))
                    time.sleep(0.05)

    def _forward(self, body: bytes) -> tuple[int, bytes, str | None] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._cloud_port, timeout=10)
        try:
            connection.request("POST", "/v1/batches", body, {"Content-Type": "application/cose"})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheader("Retry-After")
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _send_late(self) -> None:
        """What a lost packet's way round took: a batch again, behind those that followed it."""
        with self._lock:
            late, self._late = self._late, []
        for body in late:
            self._forward(body)


def _reply(handler: Any, status: int, body: bytes, retry_after: str | None) -> None:
    with suppress(OSError):
        handler.send_response(status)
        if retry_after is not None:
            handler.send_header("Retry-After", "0" if retry_after == "5" else retry_after)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
