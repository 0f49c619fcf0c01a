"""Requests to the cloud over TLS (shell; ``http1`` has the bytes). One connection is kept; a broken one is made anew by the next request."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

from agent.upload.errors import UploadDeferred, UploadError, UploadRefused
from agent.upload.http1 import NotHttp, read_answer, request_head

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_ANSWER_BYTES = 65_536
MAX_SAID = 300
"""Characters of what the cloud says to a refusal."""
MAX_REASON = 200
"""Characters of an error's text; that of a garbled answer is the answer."""
ALLOWED = "use https://host or https://host:port"
PORTS = {"http": 80, "https": 443}
MAX_LABEL = 63
"""Characters of one part of a name. Source: RFC 1035, section 2.3.4."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, its body cut at MAX_ANSWER_BYTES."""

    status: int
    retry_after: str | None
    etag: str | None
    body: bytes
    date: str | None = None
    """The cloud's clock, as HTTP writes it."""


class Asks(Protocol):
    """What most of us need of a connection."""

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response: ...


def unexpected(response: Response, to_what: str) -> UploadError:
    """The error that an answer stands for, with what the cloud said: to be tried later where it is busy, else for somebody to look at."""
    said = response.body.decode("utf-8", "replace").strip()[:MAX_SAID]
    kind: type[UploadError] = UploadDeferred if response.status >= 500 or response.status == 429 else UploadRefused
    return kind(f"the cloud answered {response.status} {to_what}: {said}")


class Connection:
    """A connection to one cloud. Raises UploadRefused for an address that may not be used."""

    def __init__(self, url: str, *, ca_file: str = "", timeout_s: float = 20.0) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
            self._name = _encoded(parts.hostname or "")
        except ValueError as error:
            raise UploadRefused(f"cloud address {url!r} is none ({error}); {ALLOWED}") from error
        if parts.scheme not in PORTS or not parts.hostname:
            raise UploadRefused(f"cloud address {url!r} is none; {ALLOWED}")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise UploadRefused(
                f"cloud address {url!r} is not encrypted; use https:// (http:// is taken for this machine only)"
            )
        self.url = url
        self._prefix = parts.path.rstrip("/")
        self._port = port or PORTS[parts.scheme]
        name = self._name.decode("ascii")
        name = f"[{name}]" if ":" in name else name
        self._host = name if self._port == PORTS[parts.scheme] else f"{name}:{self._port}"
        self._timeout_s = timeout_s
        self._context = _trusting(ca_file) if parts.scheme == "https" else None
        self._socket: socket.socket | None = None
        self._stream: BinaryIO
        self.tls_version: str | None = None
        """Such as "TLSv1.3", once a request was made; None without TLS."""
        self._certificate_ends: str | None = None

    @property
    def certificate_expires_s(self) -> float | None:
        """When the cloud's certificate ends, epoch s; None before the first request, and without TLS."""
        return float(ssl.cert_time_to_seconds(self._certificate_ends)) if self._certificate_ends else None

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        """Send and wait. Raises UploadDeferred where no answer came; a body that ends early is given as far as it came."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        message = request_head(method, self._prefix + path, self._host, named, body) + (body or b"")
        for attempt in (1, 2):
            is_new = self._socket is None
            try:
                return self._exchange(message)
            except (OSError, NotHttp) as error:
                self.close()
                # A kept connection that the cloud has closed meanwhile says nothing about the cloud: try once on a new one.
                if is_new or attempt == 2 or isinstance(error, TimeoutError):
                    reason = str(error)[:MAX_REASON] or type(error).__name__
                    raise UploadDeferred(f"cloud {self.url} did not answer ({reason})") from error
        raise AssertionError("cannot happen: both attempts return or raise")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            for part in (self._stream, self._socket):
                with suppress(OSError):
                    part.close()
            self._socket = None

    def _exchange(self, message: bytes) -> Response:
        """Raises NotHttp, OSError."""
        sock = self._socket or self._connect()
        sock.sendall(message)
        answer = read_answer(self._stream, MAX_ANSWER_BYTES)
        if not answer.keeps_open:
            self.close()
        named = answer.headers.get
        return Response(answer.status, named("retry-after"), named("etag"), answer.body, named("date"))

    def _connect(self) -> socket.socket:
        """Raises OSError, of which what TLS finds wrong is one."""
        # By its bytes: for text Python would load the tables of all the world's letters to find that it is ASCII.
        place: Any = (self._name, self._port)
        plain = socket.create_connection(place, self._timeout_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = plain
            if self._context is not None:
                sock = self._context.wrap_socket(plain, server_hostname=self._name)
                self._note_tls(sock)
            self._stream = sock.makefile("rb")
        except BaseException:
            plain.close()
            raise
        self._socket = sock
        return sock

    def _note_tls(self, sock: ssl.SSLSocket) -> None:
        ends: Any = (sock.getpeercert() or {}).get("notAfter")
        self.tls_version, self._certificate_ends = sock.version(), ends


def _encoded(host: str) -> bytes:
    """The name as the network knows it. Raises ValueError."""
    if not host.isascii():
        return host.encode("idna")
    parts = host.removesuffix(".").split(".")
    if ":" not in host and not all(0 < len(part) <= MAX_LABEL for part in parts if host):
        raise ValueError(f"a part of its name has none or more than {MAX_LABEL} characters")
    return host.encode("ascii")


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise UploadRefused(
            f"cloud.ca_file {ca_file}: no certificates can be read ({error.strerror or error}); name a PEM file"
        ) from error
