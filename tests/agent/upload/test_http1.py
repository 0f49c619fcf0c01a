"""HTTP/1.1 as bytes: what is an answer, where its body ends, and what is none."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.upload.http1 import MAX_HEADERS, MAX_LINE_BYTES, Answer, NotHttp, read_answer, request_head

LIMIT = 1000


def read(raw: bytes, limit: int = LIMIT) -> Answer:
    return read_answer(BytesIO(raw), limit)


@pytest.mark.parametrize(
    ("raw", "status", "body", "keeps_open"),
    [
        pytest.param(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nokHTTP", 202, b"ok", True, id="by length"),
        pytest.param(b"HTTP/1.1 202 \r\ncontent-LENGTH:0\r\n\r\n", 202, b"", True, id="no reason, no body"),
        pytest.param(b"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", 202, b"", True, id="not even the blank"),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, b"ok", True, id="bare line feeds"),
        pytest.param(b"HTTP/1.1 204 None\r\n\r\nnext", 204, b"", True, id="204 has no body"),
        pytest.param(b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", 304, b"", True, id="304 has none either"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nall of it", 200, b"all of it", False, id="until the end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False, id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False, id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", 200, b"short", False, id="ends early"),
        pytest.param(b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n", 202, b"", True, id="100 first"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
            200, b"abc0123456789", True, id="chunks",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, 200, b"x" * LIMIT, False, id="too long"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n",
            200, b"x" * LIMIT, False, id="a chunk too long",
        ),
    ],
)  # fmt: skip
def test_an_answer_ends_where_the_standard_says(raw: bytes, status: int, body: bytes, keeps_open: bool):
    answer = read(raw)

    assert (answer.status, answer.body, answer.keeps_open) == (status, body, keeps_open)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 202 OK", id="half a line"),
        pytest.param(b"HTTP/1.1 202 OK\r\nContent-Le", id="half a header"),
        pytest.param(b"HTTP/2 202 OK\r\n\r\n", id="another version"),
        pytest.param(b"HTTP/1.1 2020 OK\r\n\r\n", id="four digits"),
        pytest.param("HTTP/1.1 ٢٠٢ OK\r\n\r\n".encode(), id="digits of another script"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", id="a header without a colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: 1\r\n B: 2\r\n\r\n", id="a folded header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="a length below nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", id="a length of 5,000 digits"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nxx", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", id="another transfer encoding"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", id="no chunk size"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * (MAX_HEADERS + 1) + b"\r\n", id="too many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"x" * MAX_LINE_BYTES + b"\r\n\r\n", id="a header too long"),
        pytest.param(b"HTTP/1.1 100 Go on\r\n\r\n", id="only a promise"),
        pytest.param(b"HTTP/1.1 100 Go on\r\n\r\n" * 20, id="promises without end"),
        pytest.param(b"HTTP/1.1 099 Odd\r\n\r\n", id="a status below all"),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(raw: bytes):
    with pytest.raises(NotHttp):
        read(raw)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]),
)
def test_any_bytes_are_an_answer_or_none(rest: bytes, begin: bytes):
    try:
        answer = read(begin + rest)
    except NotHttp:
        return
    assert len(answer.body) <= LIMIT


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_two_answers_on_one_connection_are_read_apart(first: bytes, second: bytes):
    def whole(body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    stream = BytesIO(whole(first) + whole(second))

    assert [read_answer(stream, LIMIT).body for _ in range(2)] == [first, second]


def test_a_request_names_host_length_and_what_it_carries():
    head = request_head("POST", "/v1/batches", "cloud.example", {"Content-Type": "application/cose"}, b"batch")

    assert head == (
        b"POST /v1/batches HTTP/1.1\r\nHost: cloud.example\r\nContent-Type: application/cose\r\nContent-Length: 5\r\n\r\n"
    )


def test_a_request_without_a_body_names_no_length():
    assert request_head("GET", "/", "h", {}, None) == b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nb", "ä"])
def test_nothing_can_be_smuggled_into_a_head(value: str):
    with pytest.raises(ValueError):
        request_head("GET", "/", "h", {"If-None-Match": value}, None)
