"""How the cloud logs: one event a line on stderr; names are past-tense facts listed in docs/events.yaml."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog

OURS = ("cloud.", "agent.")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str, *, as_json: bool = False) -> None:
    """Set the least severe level that is written, and the form: text for people, JSON for machines."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer() if as_json else structlog.processors.LogfmtRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, _LossyStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def kind_and_place(error: BaseException) -> str:
    """What may be said of an error that nobody foresaw: its kind, and the innermost line of ours that it came through. Its text may hold
    anything that was worked on."""
    place, traceback = "elsewhere", error.__traceback__
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.startswith(OURS):
            place = f"{module}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return f"{type(error).__name__} at {place}"


class _LossyStream:
    """A stream, as far as print uses one. What cannot be written (a full disk, a pipe that nobody reads any more) is lost: a line is worth
    neither a batch nor a thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()
