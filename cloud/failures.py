"""What happens to a request that fails by a mistake of ours: 500 without a word of why, and one line that says where (shell).

Left to the server, the error's text and its traceback go to the log, and nobody knows what they hold: a form's fields, a link's secret.
"""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from cloud.dashboard.headers import HEADERS
from cloud.log import kind_and_place

log = structlog.get_logger()
SORRY = "Something went wrong here; it has been noted. Try again in a minute.\n"


def note_failure(error: Exception) -> None:
    """Log the kind of an error and the innermost line of ours that it came through; nothing of its text."""
    log.error("request_failed", error=kind_and_place(error))


def sorry(_request: Request | None = None, _error: Exception | None = None) -> Response:
    """The answer."""
    return PlainTextResponse(SORRY, 500, headers=dict(HEADERS))
