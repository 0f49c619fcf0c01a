"""A cloud for the agent's tests: a real HTTP server on this machine that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()


@dataclass
class Answer:
    """One answer. ``raw`` is sent instead of everything else; ``closes`` ends the connection without having said so."""

    status: int = 202
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    closes: bool = False
    raw: bytes | None = None


@dataclass
class Request:
    """What the agent asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


class StandInCloud:
    """``answers`` are given in order, the last one for ever. ``requests`` fills."""

    def __init__(self, answers: Iterable[Answer], context: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with LOCK:
                    number = self.client_address[1]
                    cloud.requests.append(Request(self.command, self.path, dict(self.headers), body, number))
                    answer = cloud.answers.pop(0) if len(cloud.answers) > 1 else cloud.answers[0]
                time.sleep(answer.delay_s)
                if answer.raw is not None:
                    self.wfile.write(answer.raw)
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection = self.close_connection or answer.closes

            do_GET = do_POST = handle_one

            def log_message(self, *_: object) -> None:
                """Nothing on stderr: tests read it."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """An agent that hangs up on a slow or endless answer is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if context is not None else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def bodies(self) -> list[bytes]:
        """What was posted, in order."""
        return [request.body for request in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def stand_in_cloud(*answers: Answer, context: ssl.SSLContext | None = None) -> Iterator[StandInCloud]:
    """A cloud for as long as the block runs; without answers it stores everything."""
    cloud = StandInCloud(answers or (Answer(),), context)
    try:
        yield cloud
    finally:
        cloud.close()
