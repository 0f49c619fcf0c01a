"""Requests to the cloud over ``http.client`` (shell). One connection is kept; a broken one is made anew by the next request."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agent.upload.errors import UploadDeferred, UploadRefused

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_ANSWER_BYTES = 65_536
MAX_REASON = 200
"""Characters of an error's text; that of a garbled answer is the answer."""
ALLOWED = "use https://host or https://host:port"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, its body cut at MAX_ANSWER_BYTES."""

    status: int
    retry_after: str | None
    etag: str | None
    body: bytes
    date: str | None = None
    """The cloud's clock, as HTTP writes it."""


class Connection:
    """A connection to one cloud. Raises UploadRefused for an address that may not be used."""

    def __init__(self, url: str, *, ca_file: str = "", timeout_s: float = 20.0) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
            (parts.hostname or "").encode("idna")
        except ValueError as error:
            raise UploadRefused(f"cloud address {url!r} is none ({error}); {ALLOWED}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UploadRefused(f"cloud address {url!r} is none; {ALLOWED}")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise UploadRefused(
                f"cloud address {url!r} is not encrypted; use https:// (http:// is taken for this machine only)"
            )
        self.url = url
        self._prefix = parts.path.rstrip("/")
        self.tls_version: str | None = None
        """Such as "TLSv1.3", once a request was made; None without TLS."""
        self.certificate_expires_s: float | None = None
        """When the cloud's certificate ends, epoch s."""
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = _trusting(ca_file)
            self._connection = http.client.HTTPSConnection(parts.hostname, port, timeout=timeout_s, context=context)
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, port, timeout=timeout_s)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        """Send and wait. Raises UploadDeferred where no answer came; a body that ends early is given as far as it came."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for attempt in (1, 2):
            is_new = self._connection.sock is None
            try:
                self._connection.request(method, self._prefix + path, body, named)
                self._note_tls()
                answer = self._connection.getresponse()
                content = answer.read(MAX_ANSWER_BYTES + 1)
                if len(content) > MAX_ANSWER_BYTES:
                    self._connection.close()
                return Response(
                    answer.status,
                    answer.getheader("Retry-After"),
                    answer.getheader("ETag"),
                    content[:MAX_ANSWER_BYTES],
                    answer.getheader("Date"),
                )
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # A kept connection that the cloud has closed meanwhile says nothing about the cloud: try once on a new one.
                if is_new or attempt == 2 or isinstance(error, TimeoutError):
                    reason = str(error)[:MAX_REASON] or type(error).__name__
                    raise UploadDeferred(f"cloud {self.url} did not answer ({reason})") from error
        raise AssertionError("cannot happen: both attempts return or raise")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def _note_tls(self) -> None:
        """While the socket is open: a cloud may close it with its answer."""
        sock = self._connection.sock
        if isinstance(sock, ssl.SSLSocket):
            ends: Any = (sock.getpeercert() or {}).get("notAfter")
            self.tls_version = sock.version()
            self.certificate_expires_s = float(ssl.cert_time_to_seconds(ends)) if ends else None


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise UploadRefused(
            f"cloud.ca_file {ca_file}: no certificates can be read ({error.strerror or error}); name a PEM file"
        ) from error
