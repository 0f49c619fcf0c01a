"""HTTP for access points. The status codes are those of agent/wire/SPEC.md, section 7; the decisions are in ``decide``.

| route | answers |
| --- | --- |
| POST /v1/batches | 202 stored, 200 stored earlier, 400, 401, 403, 413, 422, 503, 507; 408 for a body that does not come |
| POST /v1/enrol | 201, 400, 401, 503 |
| GET /v1/agents/self/config | 200, 304, 401, 403, 503 |
| GET /healthz, /readyz, /metrics | 200; readyz 503 while the stream or the database does not answer |
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any, Protocol

import cbor2
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.wire.codec import peek_header
from agent.wire.cose import open_message
from agent.wire.errors import BatchMalformed, WireError
from agent.wire.limits import MAX_COMPRESSED_BYTES
from cloud.domain.site import Site
from cloud.fleet.registry import EnrolmentRefused, Fleet
from cloud.ingest.deadline import Deadline
from cloud.ingest.decide import Rejected, decide_header, reject_message
from cloud.ingest.keys import KnownAgents
from cloud.ingest.metrics import Metrics
from cloud.streams.base import BatchName, StreamError, StreamFull

BATCHES_PATH = "/v1/batches"
RETRY_AFTER_S = 5
MAX_ENROL_BYTES = 4096
REQUEST_CLOCK_S = 300
LET_GO_BYTES = 1 << 20
BODY_S = 20.0
"""How long a body of at most 64 KiB may take: who sends a byte a minute holds a connection, and no longer than this."""
AUTHORIZATION = re.compile(r'Ivizone agent="([^"]{1,128})", time="(\d{1,12})", signature="([A-Za-z0-9+/=]{88})"')


STORED, KNOWN = Response(status_code=202), Response(status_code=200)
"""Made once: a response without a body or a cookie holds nothing of its request."""


class Intake(Protocol):
    """What ingest needs of a stream."""

    async def append(self, name: BatchName, site: str, received_ms: int, message: bytes) -> bool:
        """See ``Stream.append``."""
        ...

    def waiting(self) -> int:
        """How much waits: for the consumer, or for a stream that is another service. Raises StreamError."""
        ...


class Ingest:
    """The routes over a stream and a fleet. ``now_ms`` is the clock."""

    def __init__(self, stream: Intake, fleet: Fleet, now_ms: Callable[[], int]) -> None:
        self._stream = stream
        self._fleet = fleet
        self._now_ms = now_ms
        self._agents = KnownAgents(fleet)
        self.metrics = Metrics()
        self.batches = Batches(stream, self._agents, self.metrics, now_ms)

    def routes(self) -> list[Route]:
        """What to mount."""
        return [
            Route(BATCHES_PATH, self.batches, methods=["POST"]),
            Route("/v1/enrol", self.enrol, methods=["POST"]),
            Route("/v1/agents/self/config", self.config, methods=["GET"]),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics_text),
        ]

    async def enrol(self, request: Request) -> Response:
        """Register an access point against a one-time token."""
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(request.scope, request.receive, MAX_ENROL_BYTES)
        except TimeoutError:
            return _refusal(Rejected(408, f"the body did not come within {BODY_S:.0f} s; send it again"))
        asked = _enrolment(body or b"")
        if asked is None:
            return _refusal(Rejected(400, 'send {"token", "public_key": base64 of 32 bytes, "software"} as JSON'))
        try:
            agent, site = await run_in_threadpool(self._fleet.enrol, *asked)
        except EnrolmentRefused as error:
            return _refusal(Rejected(401, str(error)))
        except SQLAlchemyError:
            return _later(503, "the database does not answer")
        config = await run_in_threadpool(self._config_of, site)
        return JSONResponse({"agent": agent, "site": site.site, "config": config}, status_code=201)

    async def config(self, request: Request) -> Response:
        """The configuration that the cloud wants an access point to have, to whoever signs as it."""
        try:
            return await self._config(request)
        except SQLAlchemyError:
            return _later(503, "the database does not answer")

    async def _config(self, request: Request) -> Response:
        match = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        known = await self._agents.get(match[1]) if match else None
        if match is None or known is None or abs(int(match[2]) - self._now_ms() / 1000) > REQUEST_CLOCK_S:
            return _refusal(
                Rejected(401, "sign the request as agent/wire/SPEC.md, section 7 says, with a clock within 5 minutes")
            )
        signed = f"ivizone-request\n{request.method}\n{request.url.path}\n{match[2]}".encode()
        if not known.has_signed(_signature(match[3]), signed):
            return _refusal(Rejected(401, "bad signature"))
        if known.record.is_revoked:
            return _refusal(Rejected(403, "this agent was revoked"))
        site = await run_in_threadpool(self._fleet.site, known.record.site)
        if site is None:
            raise AssertionError("cannot happen: an agent's site is a foreign key")
        options = await run_in_threadpool(self._fleet.config_of, known.record.agent)
        config = await run_in_threadpool(self._config_of, site)
        content = json.dumps({**options, **config}, sort_keys=True).encode()
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return Response(content, media_type="application/json", headers={"ETag": etag})

    def _config_of(self, site: Site) -> dict[str, Any]:
        privacy = {"mode": site.legal_mode, "day_offset_min": site.key_day_offset_min(self._now_ms())}
        if sum(1 for row in self._fleet.agents_of(site.site) if row.state == "active") > 1:
            privacy["access_points"] = "several"
        return {"privacy": privacy}

    async def healthz(self, _request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _request: Request) -> Response:
        """The stream and the database answer."""
        try:
            await run_in_threadpool(self._fleet.sites)
            await run_in_threadpool(self._stream.waiting)
        except (SQLAlchemyError, StreamError, OSError):
            return _later(503, "the stream or the database does not answer")
        return PlainTextResponse("ready\n")

    async def metrics_text(self, _request: Request) -> Response:
        """Counters in OpenMetrics."""
        try:
            waiting = await run_in_threadpool(self._stream.waiting)
        except StreamError as error:
            return _later(503, str(error))
        return Response(
            self.metrics.text(waiting), media_type="application/openmetrics-text; version=1.0.0; charset=utf-8"
        )


class Batches:
    """POST /v1/batches as an application of its own, because each access point asks for it twice a minute and nothing else is asked
    for as often: no request object, no page's headers, no routes to try (docs/adr/0015-ingest-speed.md)."""

    def __init__(self, stream: Intake, agents: KnownAgents, metrics: Metrics, now_ms: Callable[[], int]) -> None:
        self._stream = stream
        self._agents = agents
        self._metrics = metrics
        self._now_ms = now_ms
        self._deadline = Deadline(BODY_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one signed batch."""
        body: bytes | None = b""
        try:
            with self._deadline:
                body = await _body(scope, receive, MAX_COMPRESSED_BYTES)
            if body is None:
                answer = _refusal(Rejected(413, f"a message may have at most {MAX_COMPRESSED_BYTES} bytes"))
            else:
                answer = await self._take(body)
        except TimeoutError:
            answer = _refusal(Rejected(408, f"the body did not come within {BODY_S:.0f} s; send it again"))
        self._metrics.count(answer.status_code, len(body or b""))
        await answer(scope, receive, send)

    async def _take(self, body: bytes) -> Response:
        try:
            message = open_message(body)
            known = await self._agents.get(message.agent)
            if known is None or not known.has_signed(message.signature, message.to_be_signed):
                return _refusal(
                    Rejected(401, "unknown agent or bad signature; enrol the agent, or send the message unaltered")
                )
            if known.record.is_revoked:
                return _refusal(Rejected(403, "this agent was revoked; enrol it again if it should send"))
            header = peek_header(message.payload, _first_value)
        except WireError as error:
            return _refusal(reject_message(error))
        except SQLAlchemyError:
            return _later(503, "the database does not answer")
        record, now_ms = known.record, self._now_ms()
        rejected = decide_header(
            header,
            agent=record.agent,
            site=record.site,
            legal_mode=record.mode_at(header.window_start_ms),
            allows_replay=record.allows_replay,
            now_ms=now_ms,
        )
        if rejected:
            with suppress(SQLAlchemyError, OverflowError):  # the answer does not depend on it
                refused = (header.boot, header.batch, header.window_start_ms, rejected.reason)
                await run_in_threadpool(self._agents.fleet.note_refused, record, *refused)
            return _refusal(rejected)
        try:
            is_new = await self._stream.append(
                BatchName(record.agent, header.boot, header.batch), record.site, now_ms, body
            )
        except StreamFull as error:
            return _later(507, str(error))
        except StreamError as error:
            return _later(503, str(error))
        return STORED if is_new else KNOWN


class PastTheRouter:
    """Hands batches to ``batches`` and everything else to the application behind it, but for what is no request: a
    query of other bytes than ASCII, which no URL can have (RFC 3986, section 2) and which the framework would fail at."""

    def __init__(self, app: ASGIApp, batches: ASGIApp) -> None:
        self._app = app
        self._batches = batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["query_string"].isascii():
            await _refusal(Rejected(400, "the query has bytes that are not ASCII; write them as %XX"))(
                scope, receive, send
            )
            return
        is_batch = scope["type"] == "http" and scope["path"] == BATCHES_PATH and scope["method"] == "POST"
        await (self._batches if is_batch else self._app)(scope, receive, send)


async def _body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """The body, None where it is longer than ``limit``; no more than that is ever kept.

    A body a little too long is read to its end and let go: a sender that is still writing would not read our answer.
    """
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > limit + LET_GO_BYTES:
        return None
    parts, size, has_more = [], 0, True
    while has_more and size <= limit + LET_GO_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        part = message.get("body", b"")
        has_more = message.get("more_body", False)
        size += len(part)
        if size <= limit:
            parts.append(part)
    return b"".join(parts) if size <= limit else None


def _first_value(data: bytes) -> Any:
    """The CBOR value that ``data`` begins with. Raises WireError."""
    try:
        return cbor2.CBORDecoder(BytesIO(data)).decode()
    except (cbor2.CBORError, ValueError, OverflowError, RecursionError) as error:
        raise BatchMalformed(f"the header is not CBOR: {type(error).__name__}") from error


def _enrolment(body: bytes) -> tuple[str, bytes, str] | None:
    """Token, public key and software of a request to enrol, None where it is none."""
    try:
        asked = json.loads(body)
        token, software = asked["token"], asked["software"]
        public_key = b64decode(asked["public_key"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    are_texts = isinstance(token, str) and isinstance(software, str) and token.isascii() and software.isprintable()
    return (token, public_key, software) if are_texts and len(public_key) == 32 and 0 < len(software) <= 128 else None


def _signature(text: str) -> bytes:
    """The bytes of a signature; none of it where it is no base64, and that signs nothing."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""


def _refusal(rejected: Rejected) -> Response:
    # Of a body that was not read to its end the server would read on, and a next request would begin in the middle of it.
    headers = {"Connection": "close"} if rejected.status in (408, 413) else None
    return PlainTextResponse(rejected.reason + "\n", status_code=rejected.status, headers=headers)


def _later(status: int, reason: str) -> Response:
    return PlainTextResponse(reason + "\n", status_code=status, headers={"Retry-After": str(RETRY_AFTER_S)})
