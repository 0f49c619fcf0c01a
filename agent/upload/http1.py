"""One question and one answer of HTTP/1.1 as bytes (core: whoever holds the socket sends and reads). Source: RFC 9112, sections 3 to 9.3.

The standard library's client would do, and brings the whole of e-mail with it: a megabyte and a package on an access point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

MAX_LINE_BYTES = 8192
MAX_HEADERS = 100
MAX_INTERIM = 10
"""Of "wait" and "early hints", behind which the answer itself follows (RFC 9110, section 15.2)."""
MAX_LENGTH_DIGITS = 18
"""Of a body's length. Python itself refuses to read a number of more than 4,300, by an error that nobody here expects."""
WITHOUT_BODY = (204, 304)
BROKEN = "answer is no HTTP/1.1"


class NotHttp(Exception):
    """What came is no answer; the connection is worth nothing any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. Names of headers in lower case; of two of one name the last counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    keeps_open: bool
    """The connection may be used again: the answer was read to its end, and nobody said otherwise."""


def request_head(method: str, path: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Everything in front of the body. Raises ValueError for a character that would end a line or is none of ASCII."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a request's head holds a line break")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def read_answer(stream: BinaryIO, body_limit: int) -> Answer:
    """Read one answer, of its body at most ``body_limit`` bytes; a body that ends early is given as far as it came.

    Raises NotHttp, and OSError from the stream.
    """
    for _ in range(MAX_INTERIM + 1):
        version, status = _status(stream)
        headers = _headers(stream)
        if status >= 200:
            break
    else:
        raise NotHttp(f"{BROKEN}: more than {MAX_INTERIM} interim answers")
    body, is_whole = _body(stream, status, headers, body_limit)
    says_close = "close" in headers.get("connection", "").lower() or version == "HTTP/1.0"
    return Answer(status, headers, body, is_whole and not says_close)


def _line(stream: BinaryIO) -> str:
    line = stream.readline(MAX_LINE_BYTES + 1)
    if not line:
        raise NotHttp("connection ended without an answer")
    if len(line) > MAX_LINE_BYTES or line[-1:] != b"\n":
        raise NotHttp(f"{BROKEN}: a line without an end")
    return line.decode("latin-1").rstrip("\r\n")


def _status(stream: BinaryIO) -> tuple[str, int]:
    version, _, rest = _line(stream).partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.0", "HTTP/1.1") or not (code.isascii() and code.isdecimal()) or rest[3:4].strip():
        raise NotHttp(BROKEN)
    return version, int(code)


def _headers(stream: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(MAX_HEADERS + 1):
        line = _line(stream)
        if not line:
            return headers
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise NotHttp(f"{BROKEN}: a header without a name")
        headers[name.lower()] = value.strip()
    raise NotHttp(f"{BROKEN}: more than {MAX_HEADERS} headers")


def _body(stream: BinaryIO, status: int, headers: Mapping[str, str], limit: int) -> tuple[bytes, bool]:
    """The body, and whether it was read to its end. RFC 9112, section 6.3."""
    if status in WITHOUT_BODY:
        return b"", True
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked":
            raise NotHttp(f"{BROKEN}: a transfer encoding other than chunked")
        return _chunks(stream, limit)
    length = headers.get("content-length")
    if length is None:
        return stream.read(limit), False
    if not (length.isascii() and length.isdecimal() and len(length) <= MAX_LENGTH_DIGITS):
        raise NotHttp(f"{BROKEN}: a length that is no number")
    body = stream.read(min(int(length), limit))
    return body, len(body) == int(length)


def _chunks(stream: BinaryIO, limit: int) -> tuple[bytes, bool]:
    """RFC 9112, section 7.1."""
    body = b""
    while True:
        try:
            size = int(_line(stream).partition(";")[0], 16)
        except ValueError:
            raise NotHttp(f"{BROKEN}: a chunk without a size") from None
        if size == 0:
            _headers(stream)  # trailers
            return body, True
        body += stream.read(max(0, min(size, limit - len(body))))
        if len(body) >= limit or size < 0:
            return body, False
        _line(stream)
