"""HTTP for what an access point settles for itself, beside its batches: name, configuration, key, whom not to count.

Decisions are in ``decide``; source: agent/wire/SPEC.md, section 7.

| route | answers |
| --- | --- |
| POST /v1/enrol | 201, 400, 401, 503; 408 for a body that does not come |
| GET /v1/agents/self/config | 200, 304, 401, 403, 503 |
| POST /v1/agents/self/key | 200 the new key is the agent's, 400, 401, 403, 409, 503 |
| GET /v1/agents/self/opt-outs | 200 the store's filter, 304, 401, 403, 503 |
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.wire.key_change import KEY_CHANGE_PATH, key_change_text
from cloud.domain.site import Site
from cloud.fleet.opt_outs import OptOuts
from cloud.fleet.registry import AgentRecord, EnrolmentRefused, Fleet
from cloud.ingest.answers import BODY_S, later, read_body, refusal
from cloud.ingest.decide import REQUEST_CLOCK_S, Rejected, decide_key_change
from cloud.signatures import is_signature

ENROL_PATH, CONFIG_PATH, OPT_OUTS_PATH = "/v1/enrol", "/v1/agents/self/config", "/v1/agents/self/opt-outs"
MAX_BODY_BYTES = 4096
AUTHORIZATION = re.compile(r'Ivizone agent="([^"]{1,128})", time="(\d{1,12})", signature="([A-Za-z0-9+/=]{88})"')
KEY_BYTES, SIGNATURE_BYTES = 32, 64
ASK_SO = (
    'send {"agent", "time", "old", "new", "by_old", "by_new"} as JSON: keys of 32 bytes, signatures of 64, in base64'
)
AWAY = "the database does not answer"
TOO_SLOW = Rejected(408, f"the body did not come within {BODY_S:.0f} s; send it again")
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
            Route(ENROL_PATH, self.enrol, methods=["POST"]),
            Route(CONFIG_PATH, self.config, methods=["GET"]),
            Route(KEY_CHANGE_PATH, self.change_key, methods=["POST"]),
            Route(OPT_OUTS_PATH, self.opt_outs, methods=["GET"]),
        ]

    async def enrol(self, request: Request) -> Response:
        """Register an access point against a one-time token."""
        try:
            asked = read_enrolment(await _read(request))
        except TimeoutError:
            return refusal(TOO_SLOW)
        if asked is None:
            return refusal(Rejected(400, 'send {"token", "public_key": base64 of 32 bytes, "software"} as JSON'))
        try:
            agent, site = await run_in_threadpool(self._fleet.enrol, *asked)
            config = await run_in_threadpool(self._config_of, site)
        except EnrolmentRefused as error:
            return refusal(Rejected(401, str(error)))
        except SQLAlchemyError:
            return later(503, AWAY)
        return JSONResponse({"agent": agent, "site": site.site, "config": config}, status_code=201)

    async def config(self, request: Request) -> Response:
        """The configuration that the cloud wants an access point to have."""
        return await self._told(request, self._whole_config, "application/json")

    async def opt_outs(self, request: Request) -> Response:
        """The filter of the access point's store: a key of 16 bytes and the filter's, nothing where nobody opted out."""
        return await self._told(request, lambda record: self._opt_outs.content(record.site), "application/octet-stream")

    async def change_key(self, request: Request) -> Response:
        """Register the next key of an access point, signed with the one it has."""
        try:
            change = read_key_change(await _read(request))
        except TimeoutError:
            return refusal(TOO_SLOW)
        if change is None:
            return refusal(Rejected(400, ASK_SO))
        try:
            rejected = await run_in_threadpool(self._change_key, change)
        except SQLAlchemyError:
            return later(503, AWAY)
        return refusal(rejected) if rejected else Response(status_code=200)

    async def _told(self, request: Request, content_of: Callable[[AgentRecord], bytes], media_type: str) -> Response:
        """``content_of`` the access point that asks, to whoever signs as it; 304 where it has that already."""
        try:
            found = await run_in_threadpool(self._signer, request)
            if isinstance(found, Rejected):
                return refusal(found)
            content = await run_in_threadpool(content_of, found)
        except SQLAlchemyError:
            return later(503, AWAY)
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return Response(content, media_type=media_type, headers={"ETag": etag})

    # --- beside the event loop ----------------------------------------------------------------------------------------

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

    def _whole_config(self, record: AgentRecord) -> bytes:
        options = self._fleet.config_of(record.agent)
        return json.dumps({**options, **self._config_of(record.site_then)}, sort_keys=True).encode()

    def _config_of(self, site: Site) -> dict[str, Any]:
        privacy = {"mode": site.legal_mode, "day_offset_min": site.key_day_offset_min(self._now_ms())}
        if sum(1 for row in self._fleet.agents_of(site.site) if row.state == "active") > 1:
            privacy["access_points"] = "several"
        return {"privacy": privacy}

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


def read_key_change(body: bytes) -> KeyChange | None:
    """Take a request apart; None for what is none."""
    try:
        asked = json.loads(body)
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


def read_enrolment(body: bytes) -> tuple[str, bytes, str] | None:
    """Token, public key and software of a request to enrol, None where it is none."""
    try:
        asked = json.loads(body)
        token, software = asked["token"], asked["software"]
        public_key = b64decode(asked["public_key"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    are_texts = isinstance(token, str) and isinstance(software, str) and token.isascii() and software.isprintable()
    return (token, public_key, software) if are_texts and len(public_key) == 32 and 0 < len(software) <= 128 else None


async def _read(request: Request) -> bytes:
    """The body, empty where it is longer than any of these can be. Raises TimeoutError."""
    async with asyncio.timeout(BODY_S):
        return await read_body(request.scope, request.receive, MAX_BODY_BYTES) or b""
