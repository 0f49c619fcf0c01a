"""Requests to the cloud over ``http.client`` (shell). One connection is kept; a broken one is made anew by the next request."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.upload.errors import UploadDeferred, UploadRefused

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_ANSWER_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, its body cut at MAX_ANSWER_BYTES."""

    status: int
    retry_after: str | None
    etag: str | None
    body: bytes


class Connection:
    """A connection to one cloud. Raises UploadRefused for an address that may not be used."""

    def __init__(self, url: str, *, ca_file: str = "", timeout_s: float = 20.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UploadRefused(f"cloud address {url!r} is none; use https://host or https://host:port")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise UploadRefused(
                f"cloud address {url!r} is not encrypted; use https:// (http:// is taken for this machine only)"
            )
        self.url = url
        self._prefix = parts.path.rstrip("/")
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca_file or None)
            self._connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout_s, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        """Send and wait. Raises UploadDeferred where no whole answer came."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for attempt in (1, 2):
            is_new = self._connection.sock is None
            try:
                self._connection.request(method, self._prefix + path, body, named)
                answer = self._connection.getresponse()
                content = answer.read(MAX_ANSWER_BYTES + 1)
                if len(content) > MAX_ANSWER_BYTES:
                    self._connection.close()
                return Response(
                    answer.status, answer.getheader("Retry-After"), answer.getheader("ETag"), content[:MAX_ANSWER_BYTES]
                )
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # A kept connection that the cloud has closed meanwhile says nothing about the cloud: try once on a new one.
                if is_new or attempt == 2:
                    raise UploadDeferred(
                        f"cloud {self.url} did not answer ({error or type(error).__name__})"
                    ) from error
        raise AssertionError("cannot happen: both attempts return or raise")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()
