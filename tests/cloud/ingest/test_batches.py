"""POST /v1/batches over real HTTP: every status of agent/wire/SPEC.md section 7, and that nothing else ever comes back."""

from __future__ import annotations

import itertools
import socket
import tracemalloc
import zlib
from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update
from starlette.applications import Starlette
from support.batches import KEY, batches, signed
from support.clouds import HOUR_MS, NOON_MS, Cloud, counted, heard, served, stay

from agent.wire.cbor import encode
from agent.wire.codec import encode_batch, peek_header
from agent.wire.cose import sign_message
from agent.wire.errors import MessageTooLarge
from agent.wire.limits import MAX_COMPRESSED_BYTES, MAX_INFLATED_BYTES
from agent.wire.model import ClockState, LegalMode
from cloud.databases.tables import agents
from cloud.domain.site import Site
from cloud.ingest.app import Ingest
from cloud.ingest.own import OwnAffairs
from cloud.streams.base import StreamError

DAY_S = 86_400
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
TABLE = {200, 202, 400, 401, 403, 413, 422, 429, 503, 507}
numbers = itertools.count()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A cloud whose consumer stands still, so that what ingest took can be counted."""
    made = Cloud(tmp_path_factory.mktemp("ingest"), allows_replay=False)
    made.embedded.fleet.add_site(Site("counting", "Counting", "UTC", "count"))
    made.embedded.fleet.add_site(Site("replays", "Replays", "UTC", "day", True))
    for name, site in (("ap-count", "counting"), ("ap-replay", "replays"), ("ap-gone", "shop")):
        made.add_agent(name, site=site, state="revoked" if name == "ap-gone" else "active")
    yield made
    made.close()


@pytest.fixture(scope="module")
def http(cloud):
    with served(cloud.embedded.app(works=False)) as client:
        yield client


def line_to(http) -> socket.socket:
    """A bare connection to the same server."""
    return socket.create_connection((http.base_url.host, http.base_url.port), timeout=20)


def send(http, message: bytes, **headers: str):
    return http.post("/v1/batches", content=message, headers={"Content-Type": "application/cose", **headers})


def fresh(**changes):
    """A batch that was never sent."""
    return heard(next(numbers), stay(1, NOON_MS - HOUR_MS, 6), **changes)


def raw(payload: bytes, agent: str = "ap-test", key: Ed25519PrivateKey = KEY) -> bytes:
    return sign_message(payload, agent, key.sign)


def ending(after_s: float, **changes):
    """A batch whose window ends so many seconds after the cloud's clock."""
    end_ms = NOON_MS + round(after_s * 1000)
    return signed(fresh(start_ms=end_ms - 30_000, end_ms=end_ms, **changes))


# --- the table --------------------------------------------------------------------------------------------------------

ANSWERS = {
    "a new batch": (lambda: signed(fresh()), 202, ""),
    "mode count is less than the site's mode": (lambda: signed(counted(next(numbers), ("inside", 7.0))), 202, ""),
    "clock 300 s ahead": (lambda: ending(300), 202, ""),
    "clock 7 days behind": (lambda: ending(-7 * DAY_S), 202, ""),
    "clock not synced": (lambda: ending(0, clock=ClockState.UNSYNCED), 202, ""),
    "a replay where the site takes them": (lambda: ending(-900 * DAY_S, clock=ClockState.REPLAY, agent="ap-replay", site="replays"), 202, ""),
    "nothing": (lambda: b"", 400, "CBOR"),
    "no COSE": (lambda: b"hello", 400, "CBOR"),
    "a payload that is no deflate stream": (lambda: raw(b"hello"), 400, "inflate"),
    "a deflate stream cut short": (lambda: raw(encode_batch(fresh())[:-7]), 400, "cut short"),
    "a payload that is no CBOR": (lambda: raw(zlib.compress(b"\xff\xff")), 400, "CBOR"),
    "a payload that is no map": (lambda: raw(zlib.compress(encode([1, 2]))), 400, "map"),
    "a payload without header": (lambda: raw(zlib.compress(encode({2: {}}))), 400, "header"),
    "a version of the future": (lambda: signed(fresh(spec_version=2)), 400, "version 2"),
    "signed by one agent, made by another": (lambda: raw(encode_batch(fresh(agent="ap-other"))), 400, "another agent"),
    "an agent that nobody knows": (lambda: signed(fresh(agent="ap-nobody")), 401, "enrol"),
    "a known name, a stranger's key": (lambda: signed(fresh(), STRANGER), 401, "signature"),
    "a revoked agent": (lambda: signed(fresh(agent="ap-gone")), 403, "revoked"),
    "one byte too long": (lambda: bytes(MAX_COMPRESSED_BYTES + 1), 413, "65536"),
    "inflates to one byte too much": (lambda: raw(zlib.compress(bytes(MAX_INFLATED_BYTES + 1))), 413, "inflates"),
    "a zip bomb": (lambda: raw(zlib.compress(bytes(50_000_000), 9)), 413, "inflates"),
    "another site": (lambda: signed(fresh(site="counting")), 422, "site 'counting'"),
    "a mode that the site does not have": (lambda: signed(fresh(mode=LegalMode.CONSENT)), 422, "privacy.mode"),
    "sightings for a site that only counts": (lambda: signed(fresh(agent="ap-count", site="counting")), 422, "privacy.mode"),
    "clock 301 s ahead": (lambda: ending(301), 422, "301 s in the future"),
    "clock a year ahead": (lambda: ending(365 * DAY_S), 422, "future"),
    "clock a second more than 7 days behind": (lambda: ending(-7 * DAY_S - 1), 422, "604801 s ago"),
    "a clock that begins in 1970": (lambda: signed(fresh(start_ms=0, end_ms=30_000)), 422, "ago"),
    "a replay where the site takes none": (lambda: ending(-900 * DAY_S, clock=ClockState.REPLAY), 422, "--allow-replay"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_to(http, cloud, name):
    make, status, words = ANSWERS[name]
    before = cloud.embedded.stream.waiting()

    answer = send(http, make())

    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert cloud.embedded.stream.waiting() - before == (status == 202)


def test_a_lost_acknowledgement_costs_nothing(http, cloud):
    """The agent sends the same bytes again: 200, and the batch is there once."""
    message, before = signed(fresh()), cloud.embedded.stream.waiting()

    assert [send(http, message).status_code for _ in range(3)] == [202, 200, 200]
    assert cloud.embedded.stream.waiting() - before == 1


def test_the_signed_bytes_travel_untouched(http, cloud):
    message = signed(fresh())
    send(http, message)

    assert cloud.embedded.stream.read(10_000)[-1].message == message


def test_a_revoked_agent_is_turned_away_within_seconds(http, cloud, monkeypatch):
    monkeypatch.setattr("cloud.ingest.keys.CHANGES_S", 0.0)
    cloud.add_agent("ap-soon")
    assert send(http, signed(fresh(agent="ap-soon"))).status_code == 202

    cloud.embedded.fleet.revoke("ap-soon")
    assert send(http, signed(fresh(agent="ap-soon"))).status_code == 403
    with cloud.embedded.database.begin() as connection:
        connection.execute(update(agents).where(agents.c.agent == "ap-soon").values(state="active"))
    assert send(http, signed(fresh(agent="ap-soon"))).status_code == 202


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_message_altered_anywhere_is_never_taken(http, position, bit):
    message = bytearray(signed(heard(1_000_000, stay(1, NOON_MS - HOUR_MS, 6))))
    message[position % len(message)] ^= 1 << bit

    assert send(http, bytes(message)).status_code in (400, 401)


# --- any bytes --------------------------------------------------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_get_a_status_of_the_table(http, data):
    assert send(http, data).status_code in TABLE


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=200))
def test_any_payload_signed_by_a_known_agent_gets_a_status_of_the_table(http, data):
    """The signature is right; what is inside is still not trusted."""
    for payload in (data, zlib.compress(data)):
        assert send(http, raw(payload)).status_code in TABLE


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.binary(max_size=9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 20), inner, max_size=6),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.integers(1, 14), values, max_size=12), st.dictionaries(st.integers(2, 9), values, max_size=3))
def test_any_header_gets_a_status_of_the_table(http, header, rest):
    assert send(http, raw(zlib.compress(encode({1: {1: 1, **header}, **rest})))).status_code in TABLE


@settings(max_examples=40, deadline=None)
@given(batches())
def test_any_batch_that_the_wire_allows_gets_a_status_of_the_table(http, batch):
    for site, agent in (("shop", "ap-test"), ("replays", "ap-replay")):
        content = replace(batch, header=replace(batch.header, agent=agent, site=site))
        assert send(http, signed(content)).status_code in TABLE


def test_a_bomb_is_never_inflated_further_than_the_limit():
    bomb = zlib.compress(bytes(60_000_000), 9)
    assert len(bomb) < MAX_COMPRESSED_BYTES
    tracemalloc.start()

    with pytest.raises(MessageTooLarge):
        peek_header(bomb)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_INFLATED_BYTES


# --- HTTP -------------------------------------------------------------------------------------------------------------


def test_a_chunked_body_is_as_good_as_one_with_a_length(http):
    message = signed(fresh())

    assert send(http, iter([message[:10], message[10:]])).status_code == 202


def test_a_body_that_never_ends_is_cut_off(http):
    sent = 0
    with line_to(http) as line, suppress(ConnectionError):  # the server hangs up while we still talk
        line.sendall(b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < 50_000_000:
            line.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")
            sent += 65_536
    assert sent < 20_000_000


def test_a_sender_of_a_body_somewhat_too_long_gets_to_read_why(http):
    for body in (bytes(900_000), iter([bytes(300_000)] * 3)):
        answer = send(http, body)
        assert (answer.status_code, answer.headers["Connection"]) == (413, "close")


def test_the_content_type_decides_nothing_because_the_signature_does(http):
    assert send(http, signed(fresh()), **{"Content-Type": "text/plain"}).status_code == 202


@pytest.mark.parametrize("length", ["-1", "2000000", "99999999999999999999"])
def test_a_declared_length_that_cannot_be_is_refused_before_the_body(http, length):
    with line_to(http) as line:
        line.sendall(f"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert line.recv(4096).split(b" ")[1] in (b"400", b"413")


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/enrol", "/v1/agents/self/key"])
def test_a_body_that_does_not_come_is_given_up(cloud, monkeypatch, path):
    monkeypatch.setattr("cloud.ingest.app.BODY_S", 0.2)
    monkeypatch.setattr("cloud.ingest.own.BODY_S", 0.2)
    before = cloud.embedded.stream.waiting()
    with client_of(cloud) as http, line_to(http) as line:
        line.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhello".encode())
        assert line.recv(4096).split(b" ")[1] == b"408"
    assert cloud.embedded.stream.waiting() == before


def test_a_sender_that_hangs_up_in_the_middle_leaves_nothing(http, cloud):
    message, before = signed(fresh()), cloud.embedded.stream.waiting()
    with line_to(http) as line:
        line.sendall(
            b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(message) + message[:-1]
        )

    assert http.get("/healthz").status_code == 200
    assert cloud.embedded.stream.waiting() == before


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/batches", 405), ("POST", "/v1/nothing", 404), ("PUT", "/v1/enrol", 405)]
)
def test_other_methods_and_routes_are_refused(http, method, path, status):
    assert http.request(method, path).status_code == status


# --- parts that do not answer -------------------------------------------------------------------------------------------


class BrokenStream:
    """A stream whose disk is gone."""

    async def append(self, *_arguments):
        raise StreamError("the stream could not be written: disk I/O error")

    def waiting(self):
        raise StreamError("the stream could not be read: disk I/O error")


def client_of(cloud, stream=None):
    ingest = Ingest(stream or cloud.embedded.stream, cloud.embedded.fleet, cloud.clock)
    own = OwnAffairs(cloud.embedded.database, cloud.embedded.fleet, cloud.clock)
    return served(Starlette(routes=[*ingest.routes(), *own.routes()]))


def test_a_full_stream_is_507_with_a_time_to_come_back(tmp_path, monkeypatch):
    cloud = Cloud(tmp_path)
    monkeypatch.setattr(cloud.embedded.stream, "_limit_bytes", 10)
    with client_of(cloud) as client:
        answer = send(client, signed(fresh()))
    cloud.close()

    assert (answer.status_code, answer.headers["Retry-After"]) == (507, "5")
    assert "the limit is 10" in answer.text


def test_a_stream_that_cannot_be_written_is_503_and_not_an_acknowledgement(cloud):
    with client_of(cloud, BrokenStream()) as client:
        answers = [send(client, signed(fresh())), client.get("/readyz"), client.get("/metrics")]

    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in answers} == {(503, "5")}


def test_a_database_that_does_not_answer_is_503_everywhere(tmp_path):
    cloud = Cloud(tmp_path)
    with cloud.embedded.database.begin() as connection:
        for table in ("agents", "sites", "enrolment_tokens"):
            connection.execute(text(f"ALTER TABLE {table} RENAME TO was_{table}"))
    signature = "A" * 86 + "=="
    with client_of(cloud) as client:
        answers = [
            send(client, signed(fresh())),
            client.get("/readyz"),
            client.post("/v1/enrol", json={"token": "t", "public_key": "A" * 43 + "=", "software": "1"}),
            client.get(
                "/v1/agents/self/config",
                headers={"Authorization": f'Ivizone agent="ap-test", time="1", signature="{signature}"'},
            ),
        ]
        alive = client.get("/healthz").status_code
    cloud.close()

    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in answers} == {(503, "5")}
    assert alive == 200
