"""What is fuzzed: each target takes any bytes and may answer them or refuse them by name; anything else is a finding.

A refusal is the error of the component (``SourceError``, ``WireError``, ``ConfigError``) or a status below 500. Every target has a limit on
the length of its input, on its time and on its memory (run.py), and keeps nothing from one input to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support.batches import KEY

from agent.config import ConfigError, parse_config
from agent.doctor import is_told_of_others, judge_clocks
from agent.dot11.captured import CapturedFrame
from agent.dot11.decoder import LINK_TYPES, Decoder
from agent.dot11.probe_request import ProbeRequest, Skipped
from agent.ledger import SKIP_REASONS
from agent.sources.blobmsg import decode_table, read_attributes
from agent.sources.errors import SourceError, UbusMalformed
from agent.sources.hostapd_events import EventReader
from agent.sources.hostapd_session import Notice
from agent.sources.pcap import PcapSource
from agent.sources.ubus import MessageReader
from agent.uci import render
from agent.upload.enrol import enrol, enrolled_config
from agent.upload.errors import UploadError
from agent.upload.http1 import NotHttp, read_answer
from agent.upload.https import MAX_ANSWER_BYTES, Response
from agent.upload.plan import decide
from agent.wire.codec import decode_batch, peek_header
from agent.wire.cose import open_message, sign_message
from agent.wire.errors import WireError
from agent.wire.receipts import ReceiptError, verify_chain
from cloud.domain.opt_out import is_private, read_address
from cloud.ingest.own import read_enrolment, read_key_change
from cloud.signatures import is_signature

T0_US = 1_700_000_000_000_000
EVENTS = ("probe", "assoc", "auth", "disassoc", "get_clients", "key-mismatch", "")
PAGES = (
    "/", "/stores", "/sites/shop", "/sites/shop/figures.json", "/sites/shop/weeks", "/sites/shop/report", "/fleet", "/account", "/setup",
    "/sites/shop/setup", "/p/shop/sign", "/api/v1/openapi.json", "/api/v1/sites", "/api/v1/sites/shop/days", "/api/v1/sites/shop/quarters",
    "/api/v1/sites/shop/dwell", "/api/v1/sites/shop/ledger", "/api/v1/export", "/p/shop", "/p/shop/till", "/sign-in", "/welcome/x", "/metrics",
    "/p/shop/opt-out", "/v1/agents/self/opt-outs", "/v1/agents/self/config",
)  # fmt: skip
FORMS = (
    "/p/shop", "/p/shop/join", "/p/shop/consent", "/p/shop/till", "/p/shop/till/check", "/p/shop/till/redeem", "/sign-in", "/language",
    "/v1/enrol", "/v1/batches", "/p/shop/opt-out", "/v1/agents/self/key",
)  # fmt: skip
"""Paths that do not exist answer 404, which is a refusal like another."""


@dataclass(frozen=True)
class Target:
    """One thing to fuzz. ``longest`` bounds the input (bytes), ``seconds`` one input's time, ``memory_mib`` the process."""

    run: Callable[[bytes], None]
    longest: int
    seconds: int = 5
    memory_mib: int = 512
    modules: tuple[str, ...] = ("agent",)
    prepare: Callable[[], object] = bool
    """Is called once, before the time of the first input is taken."""


# --- captures -------------------------------------------------------------------------------------------------------------------


@cache
def scratch() -> str:
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    return tempfile.mkstemp(prefix="ivizone-fuzz-", dir=folder)[1]


def capture(data: bytes) -> None:
    """pcap, pcapng and gzip of either: the first byte 0xff zips what follows."""
    Path(scratch()).write_bytes(gzip.compress(data[1:], 1) if data[:1] == b"\xff" else data)
    try:
        source = PcapSource([scratch()])
        try:
            for frame in source:
                assert type(frame.data) is bytes and type(frame.time_us) is int, frame
            source.identity()
        finally:
            source.close()
    except SourceError:
        return


# --- frames ---------------------------------------------------------------------------------------------------------------------


@cache
def decoders() -> list[Decoder]:
    return [Decoder(link_type) for link_type in sorted(LINK_TYPES)]


def frame(data: bytes) -> None:
    """One frame under every link type, whole and cut: a probe request within its ranges, or a reason."""
    for decoder in decoders():
        for is_cut in (False, True):
            found = decoder.decode(data, is_cut)
            if isinstance(found, Skipped):
                assert found.reason in SKIP_REASONS, found.reason
                continue
            assert isinstance(found, ProbeRequest) and len(found.address) == 6
            assert found.rssi_dbm is None or -128 <= found.rssi_dbm <= 127
            assert found.sequence is None or 0 <= found.sequence <= 4095


def air(data: bytes) -> None:
    """A whole pipeline: records of (link type, length, seconds since the last, frame). The ledger closes, and the batch is read again."""
    from support.days import pipeline

    made = pipeline(batch_max_age_s=60)
    frames, at, time_us = [], 0, T0_US
    while at + 3 <= len(data):
        link_type = sorted(LINK_TYPES)[data[at] % len(LINK_TYPES)]
        time_us += (data[at + 2] - 40) * 500_000
        frames.append(CapturedFrame(data[at + 3 : at + 3 + data[at + 1]], time_us, link_type, 0, False))
        at += 3 + data[at + 1]
    batches = [decode_batch(open_message(batch.message).payload) for batch in made.run(frames)]
    assert sum(batch.ledger.frames for batch in batches) == len(frames)


# --- ubus -----------------------------------------------------------------------------------------------------------------------


def ubus(data: bytes) -> None:
    """Bytes of the socket in two pieces, then each message's attributes; and the same bytes as an event's table."""
    reader = MessageReader()
    middle = data[0] % (len(data) + 1) if data else 0
    with contextlib.suppress(UbusMalformed):
        for message in [*reader.feed(data[1:middle]), *reader.feed(data[max(1, middle) :])]:
            for content in read_attributes(message.attributes).values():
                with contextlib.suppress(UbusMalformed):
                    decode_table(content, depth=8)


def event(data: bytes) -> None:
    """An event's table: exactly one word of a frame for each event but ``get_clients``."""
    if not data:
        return
    name = EVENTS[data[0] % len(EVENTS)]
    words = list(EventReader().read(Notice(name, data[1:], data[0] >> 4), T0_US))
    counted = [word for word in words if type(word).__name__ == "Event"]
    assert name == "get_clients" or len(counted) == 1, words


# --- batches ---------------------------------------------------------------------------------------------------------------------


@cache
def shop() -> Any:
    from cloud.domain.site import Site

    return Site("shop", "The shop", "Europe/Paris", "day", False, {})


def batch(data: bytes) -> None:
    """A message as ingest and consumer take it. First byte 0: the message itself; 1: a payload; 2: a payload before it is deflated."""
    from cloud.consumer.transform import read_batch, rows_of
    from cloud.ingest.app import _first_value
    from cloud.ingest.decide import decide_header
    from cloud.stores.lake import to_parquet

    kind, body = (data[0] % 3, data[1:]) if data else (0, b"")
    payload = zlib.compress(body, 1) if kind == 2 else body
    message = body if kind == 0 else sign_message(payload, "ap-test", lambda _: bytes(64))
    try:
        opened = open_message(message)
        header = peek_header(opened.payload, _first_value)
        decide_header(header, agent="ap-test", site="shop", legal_mode="day", allows_replay=False, now_ms=T0_US // 1000)
    except WireError:
        return
    with contextlib.suppress(WireError):
        for (table, _), rows in rows_of(read_batch(message), shop(), 0, message).items():
            to_parquet(table, rows)
    with contextlib.suppress(WireError):
        decode_batch(opened.payload)


# --- configuration -----------------------------------------------------------------------------------------------------------------


def config(data: bytes) -> None:
    """The owner's YAML."""
    with contextlib.suppress(ConfigError, UnicodeDecodeError):
        parse_config(data.decode(), "agent.yaml")


def uci(data: bytes) -> None:
    """What `uci show` printed."""
    with contextlib.suppress(ConfigError):
        parse_config(render(data.decode("utf-8", "surrogateescape")), "agent.yaml")


# --- what one side says to the other beside batches ---------------------------------------------------------------------------------


class OneAnswer:
    """A connection whose only answer are these bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        found = read_answer(io.BytesIO(self._data), MAX_ANSWER_BYTES)
        named = found.headers.get
        return Response(found.status, named("retry-after"), named("etag"), found.body, named("date"))


ENROLLED = b"HTTP/1.1 201 Created\r\n\r\n"


def answer(data: bytes) -> None:
    """What a lying cloud answers. First byte 0: all of HTTP; else: the body of an enrolment that the agent asked for."""
    said = data[1:] if data[:1] == b"\0" else ENROLLED + data[1:]
    with contextlib.suppress(NotHttp):
        found = OneAnswer(said).request("GET", "/")
        decide(found.status, found.retry_after)
        judge_clocks(found.date, T0_US / 1e6)
        is_told_of_others(found)
    with contextlib.suppress(NotHttp, UploadError, ConfigError):
        enrolled = enrol(OneAnswer(said), "token", KEY, "0.1.0")
        enrolled_config("batch: {window_s: 30}\n", "agent.yaml", "https://cloud.example", enrolled)


def own(data: bytes) -> None:
    """What a stranger sends as an access point's own request, or a shopper as an address. First byte: which."""
    kind, body = (data[0] % 3, data[1:]) if data else (0, b"")
    if kind == 0:
        found = read_enrolment(body)
        assert found is None or len(found[1]) == 32
    elif kind == 1:
        change = read_key_change(body)
        assert change is None or change.is_signed() in (True, False)
    elif (address := read_address(body.decode("utf-8", "replace"))) is not None:
        assert len(address) == 6 and not address[0] & 1
        is_private(address)


def receipts(data: bytes) -> None:
    """A chain that an auditor is given. First byte odd: every signature counts as good, so that what lies behind is reached."""
    lines = data[1:].decode("utf-8", "surrogateescape").splitlines()
    takes_all = bool(data and data[0] & 1)
    with contextlib.suppress(ReceiptError):
        found = verify_chain(lines, (lambda *_: True) if takes_all else is_signature)
        assert [receipt["number"] for receipt in found] == list(range(1, len(found) + 1))


# --- pages -------------------------------------------------------------------------------------------------------------------------


@cache
def application() -> Any:
    """The whole embedded application over a shop with a day in it, open to everybody so that pages answer."""
    import logging

    import structlog
    from support.clouds import Cloud, busy_hour, heard

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    cloud = Cloud(Path(tempfile.mkdtemp(prefix="ivizone-fuzz-")))
    cloud.take(heard(0, *busy_hour()))
    return cloud.embedded.app(works=False, is_open=True), asyncio.new_event_loop()


def page(data: bytes) -> None:
    """A request. First byte: which page and whether the rest is its query, its form or its path."""
    if len(data) < 2:
        return
    app, loop = application()
    method, path, query, body = "GET", PAGES[data[1] % len(PAGES)], b"", b""
    if data[0] % 4 == 0:
        path = "/" + data[1:].decode("utf-8", "replace")
    elif data[0] % 4 == 1:
        method, path, body = "POST", FORMS[data[1] % len(FORMS)], data[2:]
    else:
        query = data[2:].replace(b"#", b"")
    kind = b"application/json" if data[0] & 16 else b"application/x-www-form-urlencoded"
    headers = [(b"host", b"localhost"), (b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if path == "/sites/shop/events" or path.endswith("/events"):
        return  # a page that never ends
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path,
        "raw_path": path.encode("utf-8", "replace"), "query_string": query, "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("localhost", 80), "state": {},
    }  # fmt: skip
    status: list[int] = []
    given: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return given.pop() if given else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    loop.run_until_complete(asyncio.wait_for(app(scope, receive, send), 5))
    assert status and (status[0] < 500 or status[0] in (503,)), (method, path, query, status)


CLOUD = ("agent.wire", "cloud")
TARGETS = {
    "capture": Target(capture, 4096, modules=("agent.sources",)),
    "frame": Target(frame, 512, modules=("agent.dot11",)),
    "air": Target(air, 4096),
    "ubus": Target(ubus, 2048, modules=("agent.sources",)),
    "event": Target(event, 1024, modules=("agent.sources", "agent.dot11")),
    "batch": Target(
        batch, 4096, memory_mib=1024, modules=("agent.wire", "cloud.consumer", "cloud.ingest", "cloud.domain")
    ),
    "config": Target(config, 2048),
    "uci": Target(uci, 2048),
    "answer": Target(answer, 2048, modules=("agent.upload", "agent.doctor")),
    "own": Target(own, 1024, modules=("cloud.ingest.own", "cloud.domain.opt_out")),
    "receipts": Target(receipts, 4096, modules=("agent.wire.receipts",)),
    "page": Target(page, 512, memory_mib=1024, modules=CLOUD, prepare=application),
}
