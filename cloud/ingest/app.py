"""HTTP for access points. The status codes are those of agent/wire/SPEC.md, section 7; the decisions are in ``decide``.

| route | answers |
| --- | --- |
| POST /v1/batches | 202 stored, 200 stored earlier, 400, 401, 403, 413, 422, 503, 507; 408 for a body that does not come |
| GET /healthz, /readyz, /metrics | 200; readyz 503 while the stream or the database does not answer |
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any, Protocol

import cbor2
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.wire.codec import peek_header
from agent.wire.cose import SignedMessage, open_message
from agent.wire.errors import BatchMalformed, WireError
from agent.wire.limits import MAX_COMPRESSED_BYTES
from cloud.fleet.registry import Fleet
from cloud.ingest.answers import BODY_S, later, read_body, refusal
from cloud.ingest.checker import Checker
from cloud.ingest.deadline import Deadline
from cloud.ingest.decide import Rejected, decide_header, reject_message
from cloud.ingest.keys import KnownAgent, KnownAgents
from cloud.ingest.metrics import Metrics
from cloud.streams.base import BatchName, StreamError, StreamFull

BATCHES_PATH = "/v1/batches"


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
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics_text),
        ]

    async def healthz(self, _request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _request: Request) -> Response:
        """The stream and the database answer."""
        try:
            await run_in_threadpool(self._fleet.sites)
            await run_in_threadpool(self._stream.waiting)
        except (SQLAlchemyError, StreamError, OSError):
            return later(503, "the stream or the database does not answer")
        return PlainTextResponse("ready\n")

    async def metrics_text(self, _request: Request) -> Response:
        """Counters in OpenMetrics."""
        try:
            waiting = await run_in_threadpool(self._stream.waiting)
        except StreamError as error:
            return later(503, str(error))
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
        self.checker = Checker()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one signed batch."""
        body: bytes | None = b""
        try:
            with self._deadline:
                body = await read_body(scope, receive, MAX_COMPRESSED_BYTES)
            if body is None:
                answer = refusal(Rejected(413, f"a message may have at most {MAX_COMPRESSED_BYTES} bytes"))
            else:
                answer = await self._take(body)
        except TimeoutError:
            answer = refusal(Rejected(408, f"the body did not come within {BODY_S:.0f} s; send it again"))
        self._metrics.count(answer.status_code, len(body or b""))
        await answer(scope, receive, send)

    async def _take(self, body: bytes) -> Response:
        try:
            message = open_message(body)
            known = await self._agents.get(message.agent)
            if known is None or not await self._has_signed(known, message):
                return refusal(
                    Rejected(401, "unknown agent or bad signature; enrol the agent, or send the message unaltered")
                )
            if known.record.is_revoked:
                return refusal(Rejected(403, "this agent was revoked; enrol it again if it should send"))
            header = peek_header(message.payload, _first_value)
        except WireError as error:
            return refusal(reject_message(error))
        except SQLAlchemyError:
            return later(503, "the database does not answer")
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
            return refusal(rejected)
        try:
            is_new = await self._stream.append(
                BatchName(record.agent, header.boot, header.batch), record.site, now_ms, body
            )
        except StreamFull as error:
            return later(507, str(error))
        except StreamError as error:
            return later(503, str(error))
        return STORED if is_new else KNOWN

    async def _has_signed(self, known: KnownAgent, message: SignedMessage) -> bool:
        """Under the access point's key, or under its former one a batch of that one's time."""
        signature, signed = message.signature, message.to_be_signed
        if known.is_sound and await self.checker.holds(known.record.public_key, signature, signed):
            return True
        return known.had_signed(signature, signed)


class PastTheRouter:
    """Hands batches to ``batches`` and everything else to the application behind it, but for what is no request: a
    query of other bytes than ASCII, which no URL can have (RFC 3986, section 2) and which the framework would fail at."""

    def __init__(self, app: ASGIApp, batches: ASGIApp) -> None:
        self._app = app
        self._batches = batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["query_string"].isascii():
            await refusal(Rejected(400, "the query has bytes that are not ASCII; write them as %XX"))(
                scope, receive, send
            )
            return
        is_batch = scope["type"] == "http" and scope["path"] == BATCHES_PATH and scope["method"] == "POST"
        await (self._batches if is_batch else self._app)(scope, receive, send)


def _first_value(data: bytes) -> Any:
    """The CBOR value that ``data`` begins with. Raises WireError."""
    try:
        return cbor2.CBORDecoder(BytesIO(data)).decode()
    except (cbor2.CBORError, ValueError, OverflowError, RecursionError) as error:
        raise BatchMalformed(f"the header is not CBOR: {type(error).__name__}") from error
