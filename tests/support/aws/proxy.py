"""A proxy of ours between boto3 and an emulator: it throttles, fails single records, answers 500, hangs, and loses acknowledgements.

No emulator does any of this. Faults come in the order of a script, or by a seeded draw; a fault is counted when it happened.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KINDS = ("throttle", "some", "error", "error_after", "drop", "drop_after", "hang")
"""throttle: refused for want of room. some: single records of a PutRecords are refused. error, drop: 500 or a closed connection, and
nothing was done. error_after, drop_after: it was done, and the answer is lost. hang: no answer until the client has given up."""
THROTTLED = "ProvisionedThroughputExceededException"
HANG_S = 1.5


class Proxy:
    """``choose(operation, number)`` gives the fault of a request, None for none; ``operation`` is Kinesis's, or S3's HTTP method."""

    def __init__(self, target: str, choose: Callable[[str, int], str | None]) -> None:
        self.choose = choose
        self.faults: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.random = random.Random(0)  # which records of a PutRecords fail
        self._lock = threading.Lock()
        self._number = 0
        address = urlsplit(target).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def handle_one(self) -> None:
                body = _read_body(self)
                operation = (self.headers.get("X-Amz-Target") or self.command).rpartition(".")[2]
                proxy.answer(self, operation, body)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_one

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: object) -> None:
                """A client that hangs up on us is what some tests are about."""

        self._address = address
        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, handler: Any, operation: str, body: bytes) -> None:
        """One request, with or without a fault."""
        with self._lock:
            self._number += 1
            self.requests[operation] += 1
            fault = self.choose(operation, self._number)
            if fault == "some" and operation != "PutRecords":
                fault = "throttle"
            if fault:
                self.faults[fault] += 1
        if fault in ("drop", "hang"):
            time.sleep(HANG_S if fault == "hang" else 0)
            _hang_up(handler)
        elif fault == "throttle" and handler.headers.get("X-Amz-Target"):
            _send(handler, 400, json.dumps({"__type": THROTTLED, "message": "Rate exceeded"}).encode())
        elif fault in ("throttle", "error"):
            _send(handler, 503 if fault == "throttle" else 500, b"<Error><Code>SlowDown</Code></Error>")
        elif fault == "some":
            self._fail_some(handler, body)
        else:
            status, headers, content = self._forward(handler, body)
            if fault == "drop_after":
                _hang_up(handler)
            elif fault == "error_after":
                _send(handler, 500, b"")
            else:
                _send(handler, status, content, headers)

    def _fail_some(self, handler: Any, body: bytes) -> None:
        """Hand on some of the records and answer for all, in order, as Kinesis does."""
        asked = json.loads(body)
        with self._lock:
            fails = [self.random.random() < 0.5 for _ in asked["Records"]]
        passed = [record for record, fail in zip(asked["Records"], fails, strict=True) if not fail]
        answers: Iterator[Any] = iter(())
        if passed:
            _status, _headers, content = self._forward(handler, json.dumps({**asked, "Records": passed}).encode())
            answers = iter(json.loads(content)["Records"])
        refused = {"ErrorCode": THROTTLED, "ErrorMessage": "Rate exceeded for shard"}
        records = [refused if fail else next(answers) for fail in fails]
        _send(handler, 200, json.dumps({"FailedRecordCount": sum(fails), "Records": records}).encode())

    def _forward(self, handler: Any, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        skipped = ("host", "content-length", "transfer-encoding", "connection", "expect")
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in skipped}
        connection.request(handler.command, handler.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), content

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _read_body(handler: Any) -> bytes:
    if handler.headers.get("Expect", "").lower() == "100-continue":
        pass  # http.server has answered it already
    if "chunked" not in handler.headers.get("Transfer-Encoding", ""):
        return bytes(handler.rfile.read(int(handler.headers.get("Content-Length") or 0)))
    parts = []
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        parts.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(parts)


def _send(handler: Any, status: int, content: bytes, headers: list[tuple[str, str]] | None = None) -> None:
    handler.send_response_only(status)
    for name, value in headers or [("Content-Type", "application/x-amz-json-1.1")]:
        if name.lower() not in ("content-length", "connection", "transfer-encoding", "keep-alive"):
            handler.send_header(name, value)
    if handler.command == "HEAD" or status == 304:
        handler.send_header("Content-Length", dict(headers or []).get("Content-Length", "0"))
        content = b""
    else:
        handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def _hang_up(handler: Any) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def never(_operation: str, _number: int) -> str | None:
    """No fault at all."""
    return None


def script(*faults: str | None, operation: str = "PutRecords") -> Callable[[str, int], str | None]:
    """These faults, one for each request of that operation; then none."""
    left = list(faults)
    return lambda asked, _number: left.pop(0) if asked == operation and left else None


def drawn(seed: int, share: float, kinds: tuple[str, ...] = KINDS, most: int = 40) -> Callable[[str, int], str | None]:
    """A share of all requests fails, each in one of these ways; so many at ``most``, so that every run ends."""
    chance, left = random.Random(seed), [most]

    def choose(_operation: str, _number: int) -> str | None:
        if left[0] and chance.random() < share:
            left[0] -= 1
            return chance.choice(kinds)
        return None

    return choose


@contextmanager
def faulty(target: str, choose: Callable[[str, int], str | None] = never) -> Iterator[Proxy]:
    """A proxy for as long as the block runs."""
    proxy = Proxy(target, choose)
    try:
        yield proxy
    finally:
        proxy.close()
