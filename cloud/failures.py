"""What happens to a request that fails by a mistake of ours: 500 without a word of why, and one line that says where (shell).

Left to the server, the error's text and its traceback go to the log, and nobody knows what they hold: a form's fields, a link's secret.
"""

from __future__ import annotations

from types import TracebackType

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from cloud.dashboard.headers import HEADERS

log = structlog.get_logger()
OURS = ("cloud.", "agent.")
SORRY = "Something went wrong here; it has been noted. Try again in a minute.\n"


def note_failure(error: Exception) -> None:
    """Log the kind of an error and the innermost line of ours that it came through; nothing of its text."""
    log.error("request_failed", error=type(error).__name__, place=_place(error.__traceback__))


def sorry(_request: Request | None = None, _error: Exception | None = None) -> Response:
    """The answer."""
    return PlainTextResponse(SORRY, 500, headers=dict(HEADERS))


def _place(traceback: TracebackType | None) -> str:
    place = "elsewhere"
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.startswith(OURS):
            place = f"{module}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
