"""Requests over real sockets, to a server on this machine that behaves well, badly, slowly, or not at all."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from support.certificates import self_signed
from support.stand_in_cloud import Answer, stand_in_cloud

from agent.upload.errors import UploadDeferred, UploadRefused
from agent.upload.https import MAX_ANSWER_BYTES, Connection, Response
from agent.upload.plan import Verdict
from agent.upload.uploader import BATCHES_PATH, LOCKED_OUT_WAIT_S, Uploader


def post(connection: Connection, body: bytes = b"batch") -> Response:
    return connection.request("POST", "/v1/batches", body, Content_Type="application/cose")


def connections_used(requests: list) -> int:
    return len({request.connection for request in requests})


def test_a_request_says_what_it_carries_and_the_answer_comes_back():
    answer = Answer(503, b"later", {"Retry-After": "7", "ETag": '"abc"'})
    with stand_in_cloud(answer) as cloud:
        response = post(Connection(cloud.url))

    assert (response.status, response.retry_after, response.etag, response.body) == (503, "7", '"abc"', b"later")
    (request,) = cloud.requests
    assert (request.method, request.path, request.body) == ("POST", "/v1/batches", b"batch")
    assert request.headers["Content-Type"] == "application/cose"


def test_a_path_in_the_address_comes_before_ours():
    with stand_in_cloud() as cloud:
        post(Connection(cloud.url + "/shops/"))

    assert cloud.requests[0].path == "/shops/v1/batches"


def test_one_connection_is_kept():
    with stand_in_cloud() as cloud:
        connection = Connection(cloud.url)
        for _ in range(3):
            post(connection)

    assert connections_used(cloud.requests) == 1


def test_a_kept_connection_that_the_cloud_closed_is_made_anew():
    """It said nothing about closing, so only the next request finds out."""
    with stand_in_cloud(Answer(202, closes=True)) as cloud:
        connection = Connection(cloud.url)
        statuses = [post(connection).status for _ in range(3)]

    assert statuses == [202, 202, 202]
    assert connections_used(cloud.requests) == 3


def test_nobody_there_is_a_reason_to_try_later():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

    with pytest.raises(UploadDeferred, match=rf"cloud {url} did not answer \(.*refused"):
        post(Connection(url))


def test_a_name_that_does_not_resolve_is_a_reason_to_try_later():
    with pytest.raises(UploadDeferred, match="did not answer"):
        post(Connection("https://cloud.invalid", timeout_s=2))


def test_a_slow_cloud_is_given_its_time_and_no_more():
    """One wait, not two: that it is slow is said about the cloud, not about a kept connection."""
    with stand_in_cloud(Answer(202), Answer(202, delay_s=1.5)) as cloud:
        connection = Connection(cloud.url, timeout_s=0.2)
        post(connection)
        with pytest.raises(UploadDeferred, match="timed out"):
            post(connection)

    assert len(cloud.requests) == 2


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00" * 9, id="another protocol"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol, in text"),
        pytest.param(b"HTTP/1.1 abc\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="chunks that are none"),
        pytest.param(b"HTTP/1.1 202 OK\r\n" + b"X: y\r\n" * 500, id="headers without end"),
        pytest.param(b"g" * 70_000, id="a line without end"),
    ],
)
def test_garbage_is_no_answer_and_its_text_is_bounded(raw: bytes):
    with stand_in_cloud(Answer(raw=raw)) as cloud, pytest.raises(UploadDeferred) as caught:
        post(Connection(cloud.url, timeout_s=2))

    assert len(str(caught.value)) < 300


def test_a_status_counts_even_where_the_body_ends_early():
    cut_short = Answer(raw=b"HTTP/1.1 202 OK\r\nContent-Length: 100\r\n\r\nshort")
    with stand_in_cloud(cut_short, Answer(200)) as cloud:
        connection = Connection(cloud.url)
        first, second = post(connection), post(connection)

    assert (first.status, first.body, second.status) == (202, b"short", 200)


def test_a_huge_answer_is_cut_and_the_next_request_is_not_confused_by_the_rest():
    with stand_in_cloud(Answer(400, b"x" * 1_000_000), Answer(202, b"fine")) as cloud:
        connection = Connection(cloud.url)
        first, second = post(connection), post(connection)

    assert len(first.body) == MAX_ANSWER_BYTES
    assert (second.status, second.body) == (202, b"fine")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        pytest.param("https://Cloud.Example", b"cloud.example", id="a name"),
        pytest.param("https://büro.example", b"xn--bro-hoa.example", id="a name in German"),
        pytest.param("https://cloud.example:443", b"cloud.example", id="the usual port"),
        pytest.param("https://cloud.example:8443", b"cloud.example:8443", id="another port"),
        pytest.param("http://[::1]:8600", b"[::1]:8600", id="IPv6"),
    ],
)
def test_the_cloud_hears_by_which_name_it_was_called(url: str, host: bytes, monkeypatch: pytest.MonkeyPatch):
    ours, theirs = socket.socketpair()
    connection = Connection(url)
    monkeypatch.setattr(connection, "_connect", lambda: _open(connection, ours))
    theirs.sendall(b"HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n")

    assert post(connection).status == 202
    assert b"\r\nHost: " + host + b"\r\n" in theirs.recv(1000)


def _open(connection: Connection, sock: socket.socket) -> socket.socket:
    connection._stream, connection._socket = sock.makefile("rb"), sock
    return sock


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("", "is none; use https://host", id="empty"),
        pytest.param("cloud.example", "is none", id="no scheme"),
        pytest.param("ftp://cloud.example", "is none", id="another scheme"),
        pytest.param("https://", "is none", id="no host"),
        pytest.param("https://cloud.example:port", "is none", id="a port that is no number"),
        pytest.param("https://cloud.example:99999", "is none", id="a port beyond all"),
        pytest.param("https://[::1", "is none", id="half an address"),
        pytest.param("https://a..example", "is none", id="an empty part"),
        pytest.param("http://cloud.example", "not encrypted; use https://", id="in the clear"),
        pytest.param("http://192.0.2.7:8600", "not encrypted", id="in the clear, by number"),
        pytest.param("http://127.0.0.1.example", "not encrypted", id="looks like this machine"),
        pytest.param("http://127.0.0.1@cloud.example/", "not encrypted", id="looks like this machine, before the @"),
    ],
)
def test_an_address_that_may_not_be_used_is_refused_before_anything_is_sent(url: str, words: str):
    with pytest.raises(UploadRefused, match=words):
        Connection(url)


# --- TLS ------------------------------------------------------------------------------------------------------------


def test_a_cloud_whose_certificate_is_trusted_is_spoken_to(tmp_path: Path):
    trusted, context = self_signed(tmp_path)
    with stand_in_cloud(context=context) as cloud:
        assert post(Connection(cloud.url, ca_file=str(trusted))).status == 202


def test_a_cloud_that_nobody_vouches_for_gets_nothing(tmp_path: Path):
    _, context = self_signed(tmp_path)
    with stand_in_cloud(context=context) as cloud:
        with pytest.raises(UploadDeferred, match=r"CERTIFICATE_VERIFY_FAILED"):
            post(Connection(cloud.url))
        assert cloud.requests == []


def test_a_certificate_for_another_host_is_not_enough(tmp_path: Path):
    trusted, context = self_signed(tmp_path, address="192.0.2.7")
    with stand_in_cloud(context=context) as cloud:
        with pytest.raises(UploadDeferred, match=r"CERTIFICATE_VERIFY_FAILED"):
            post(Connection(cloud.url, ca_file=str(trusted)))
        assert cloud.requests == []


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_certificates_that_cannot_be_read_are_named(tmp_path: Path, content: bytes | None):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UploadRefused, match=r"cloud\.ca_file .*ca\.pem: no certificates can be read"):
        Connection("https://cloud.example", ca_file=str(path))


# --- the uploader ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "verdict", "wish_s", "counted"),
    [
        pytest.param(Answer(202), Verdict.ACKNOWLEDGED, None, (1, 0, 0, 5), id="stored"),
        pytest.param(Answer(200), Verdict.ACKNOWLEDGED, None, (1, 0, 0, 5), id="stored earlier"),
        pytest.param(Answer(422, b"clock"), Verdict.REFUSED, None, (0, 1, 0, 0), id="refused"),
        pytest.param(Answer(401), Verdict.LOCKED_OUT, LOCKED_OUT_WAIT_S, (0, 0, 0, 0), id="locked out"),
        pytest.param(Answer(503, headers={"Retry-After": "9"}), Verdict.DEFERRED, 9.0, (0, 0, 1, 0), id="deferred"),
        pytest.param(Answer(raw=b""), Verdict.DEFERRED, None, (0, 0, 1, 0), id="silence"),
    ],
)
def test_what_was_sent_is_counted_and_said(answer: Answer, verdict: Verdict, wish_s: float | None, counted: tuple):
    with stand_in_cloud(answer) as cloud:
        uploader = Uploader(Connection(cloud.url))
        assert uploader.send(b"batch") == (verdict, wish_s)

    counts = uploader.counts
    assert (counts.acknowledged, counts.refused, counts.deferred, counts.bytes) == counted
    assert bool(uploader.last_trouble) is (verdict is not Verdict.ACKNOWLEDGED)
    assert cloud.requests[0].path == BATCHES_PATH


def test_an_outage_is_one_line_not_thousands(capsys: pytest.CaptureFixture[str]):
    with stand_in_cloud(*[Answer(503, b"full")] * 5, Answer(202), Answer(503, b"full")) as cloud:
        uploader = Uploader(Connection(cloud.url))
        for _ in range(7):
            uploader.send(b"batch")

    assert capsys.readouterr().err.count("upload_deferred") == 2


def test_of_what_the_cloud_said_the_first_line_is_kept(capsys: pytest.CaptureFixture[str]):
    with stand_in_cloud(Answer(400, b"  malformed " + b"x" * 900 + b"\nsecond line")) as cloud:
        uploader = Uploader(Connection(cloud.url))
        uploader.send(b"batch")

    assert "400: malformed x" in uploader.last_trouble and "second" not in uploader.last_trouble
    assert len(uploader.last_trouble) < 300
    assert "upload_refused" in capsys.readouterr().err
