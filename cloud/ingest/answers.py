"""What all of ingest answers with, and how it reads what it is sent (shell)."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope

from cloud.ingest.decide import Rejected

RETRY_AFTER_S = 5
LET_GO_BYTES = 1 << 20
BODY_S = 20.0
"""How long a body of at most 64 KiB may take: who sends a byte a minute holds a connection, and no longer than this."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
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


def refusal(rejected: Rejected) -> Response:
    """A refusal, in one line."""
    # Of a body that was not read to its end the server would read on, and a next request would begin in the middle of it.
    headers = {"Connection": "close"} if rejected.status in (408, 413) else None
    return PlainTextResponse(rejected.reason + "\n", status_code=rejected.status, headers=headers)


def later(status: int, reason: str) -> Response:
    """Something does not answer just now: come again."""
    return PlainTextResponse(reason + "\n", status_code=status, headers={"Retry-After": str(RETRY_AFTER_S)})
