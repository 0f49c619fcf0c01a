"""HTTP for what an access point asks about itself, beside its batches. Decisions are in ``decide``, the text is agent/wire/SPEC.md, section 7.

| route | answers |
| --- | --- |
| POST /v1/agents/self/key | 200 the new key is the agent's, 400, 401, 403, 409, 503 |
| GET /v1/agents/self/opt-outs | 200 the store's filter, 304, 401, 403, 503 |
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agent.wire.key_change import KEY_CHANGE_PATH, key_change_text
from cloud.fleet.opt_outs import OptOuts
from cloud.fleet.registry import AgentRecord, Fleet
from cloud.ingest.app import AUTHORIZATION, BODY_S, MAX_ENROL_BYTES, RETRY_AFTER_S
from cloud.ingest.decide import REQUEST_CLOCK_S, Rejected, decide_key_change
from cloud.retention.receipts import is_signature

OPT_OUTS_PATH = "/v1/agents/self/opt-outs"
KEY_BYTES, SIGNATURE_BYTES = 32, 64
ASK_SO = (
    'send {"agent", "time", "old", "new", "by_old", "by_new"} as JSON: keys of 32 bytes, signatures of 64, in base64'
)
REVOKED = Rejected(403, "this agent was revoked; enrol it again if it should send")


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A request to change a key, taken apart; nothing of it is believed yet."""

    agent: str
    asked_s: int
    old: bytes
    new: bytes
    by_old: bytes
    by_new: bytes

    def is_signed(self) -> bool:
        """True where both keys have signed it."""
        text = key_change_text(self.agent, self.old, self.new, self.asked_s)
        return is_signature(self.old, self.by_old, text) and is_signature(self.new, self.by_new, text)


class OwnAffairs:
    """The routes. ``now_ms`` is the clock. They are asked seldom, so nothing here is remembered from one request to the next."""

    def __init__(self, database: Engine, fleet: Fleet, now_ms: Callable[[], int]) -> None:
        self._fleet = fleet
        self._opt_outs = OptOuts(database, now_ms)
        self._now_ms = now_ms

    def routes(self) -> list[Route]:
        """What to mount."""
        return [
            Route(KEY_CHANGE_PATH, self.change_key, methods=["POST"]),
            Route(OPT_OUTS_PATH, self.opt_outs, methods=["GET"]),
        ]

    async def change_key(self, request: Request) -> Response:
        """Register the next key of an access point, signed with the one it has."""
        change = read_key_change(await _body(request))
        if change is None:
            return _refusal(Rejected(400, ASK_SO))
        try:
            rejected = await run_in_threadpool(self._change_key, change)
        except SQLAlchemyError:
            return _later()
        return _refusal(rejected) if rejected else Response(status_code=200)

    def _change_key(self, change: KeyChange) -> Rejected | None:
        record = self._fleet.agent(change.agent)
        if record is None or not change.is_signed():
            return Rejected(401, "unknown agent or bad signature; sign with the old key and with the new one")
        rejected = decide_key_change(
            current=record.public_key,
            former=record.former_key,
            rekeyed_ms=record.rekeyed_ms,
            old=change.old,
            new=change.new,
            asked_s=change.asked_s,
            now_ms=self._now_ms(),
        )
        if rejected or record.is_revoked:
            return rejected or REVOKED
        if not self._fleet.change_key(change.agent, change.old, change.new):
            return Rejected(401, "the old key is not this agent's key any more; enrol the agent again")
        return None

    async def opt_outs(self, request: Request) -> Response:
        """The filter of the access point's store: a key of 16 bytes and the filter's, nothing where nobody opted out."""
        try:
            found = await run_in_threadpool(self._signer, request)
            if isinstance(found, Rejected):
                return _refusal(found)
            content = await run_in_threadpool(self._opt_outs.content, found.site)
        except SQLAlchemyError:
            return _later()
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return Response(content, media_type="application/octet-stream", headers={"ETag": etag})

    def _signer(self, request: Request) -> AgentRecord | Rejected:
        """The access point that signed a request (SPEC.md, section 7), or why there is none."""
        match = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        record = self._fleet.agent(match[1]) if match else None
        if match is None or record is None or abs(int(match[2]) - self._now_ms() / 1000) > REQUEST_CLOCK_S:
            return Rejected(
                401, "sign the request as agent/wire/SPEC.md, section 7 says, with a clock within 5 minutes"
            )
        signed = f"ivizone-request\n{request.method}\n{request.url.path}\n{match[2]}".encode()
        if not is_signature(record.public_key, _bytes(match[3], SIGNATURE_BYTES) or b"", signed):
            return Rejected(401, "bad signature")
        return REVOKED if record.is_revoked else record


def read_key_change(body: bytes | None) -> KeyChange | None:
    """Take a request apart; None for what is none, or is longer than one can be."""
    try:
        asked = json.loads(body or b"")
        agent, asked_s = asked["agent"], asked["time"]
        keys = [_bytes(asked[name], KEY_BYTES) for name in ("old", "new")]
        signatures = [_bytes(asked[name], SIGNATURE_BYTES) for name in ("by_old", "by_new")]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(agent, str) or not agent.isascii() or type(asked_s) is not int or not 0 <= asked_s < 10**12:
        return None
    old, new, by_old, by_new = *keys, *signatures
    if old is None or new is None or by_old is None or by_new is None:
        return None
    return KeyChange(agent, asked_s, old, new, by_old, by_new)


def _bytes(text: object, size: int) -> bytes | None:
    """The bytes of a base64 text; None where they are not ``size``."""
    try:
        found = b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        return None
    return found if len(found) == size else None


async def _body(request: Request) -> bytes | None:
    """The body, None where it is longer than ``MAX_ENROL_BYTES`` or does not come; no more than that is kept."""
    parts, size = [], 0
    with suppress(TimeoutError):
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                size += len(part)
                if size > MAX_ENROL_BYTES:
                    return None
                parts.append(part)
            return b"".join(parts)
    return None


def _refusal(rejected: Rejected) -> Response:
    return PlainTextResponse(rejected.reason + "\n", status_code=rejected.status)


def _later() -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return PlainTextResponse("the database does not answer\n", status_code=503, headers=headers)
