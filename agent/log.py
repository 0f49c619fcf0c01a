"""Logging: structlog, events as past-tense facts, nothing that could name a phone (shell).

structlog is loaded with the first line that is written: on an access point it costs 13 MB of memory, and a replay or a
count that has nothing to say does not need it. Event names stand in docs/events.yaml; a test makes sure.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

ADDRESS = re.compile(
    r"(?i)(?<![0-9a-f])[0-9a-f]{2}([:\-._ ])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![0-9a-f])"
    r"|(?<![0-9a-f])(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}(?![0-9a-f])"
    r"|(?<![0-9a-z])[0-9a-f]{12}(?![0-9a-z])"
)
"""A MAC address as anybody writes one: separated by colons, hyphens, dots or blanks, in Cisco's groups, or bare."""
REFUSED_KEYS = frozenset(
    {"mac", "address", "addr", "bssid", "ssid", "elements", "key", "token", "secret", "password", "pseudonym"}
)
REFUSED = "(refused)"
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def refuse_addresses(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """structlog processor: a value that holds or may hold an address, a network name or a key is replaced."""
    for name, value in list(event.items()):
        if name.lower() in REFUSED_KEYS or not is_fit(value):
            event[name] = REFUSED
    return event


def is_fit(value: Any) -> bool:
    """True where a value may be written: a number, or text and containers of text without anything like an address."""
    if value is None or isinstance(value, bool | int | float):
        return True
    if isinstance(value, str):
        return not ADDRESS.search(value)
    if isinstance(value, Mapping):
        return all(is_fit(k) and is_fit(v) for k, v in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(is_fit, value))
    return (
        is_fit(str(value)) if isinstance(value, BaseException) else False
    )  # bytes may be an address; nothing else is expected


class Log:
    """``log.info("batch_spooled", number=3)``; the level decides before anything is loaded."""

    def __init__(self) -> None:
        self.level = LEVELS["info"]
        self.format = "console"
        self._logger: Any = None

    def configure(self, level: str, form: str) -> None:
        """Set the least severe level that is written, and the form ("console" or "json")."""
        self.level, self.format, self._logger = LEVELS[level], form, None

    def debug(self, event: str, **values: Any) -> None:
        """For whoever looks for a fault."""
        self._write("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        """Something happened as it should."""
        self._write("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Something went wrong that the agent deals with by itself."""
        self._write("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        """Something went wrong that somebody must look at."""
        self._write("error", event, values)

    def _write(self, level: str, event: str, values: dict[str, Any]) -> None:
        if LEVELS[level] < self.level:
            return
        if self._logger is None:
            self._logger = self._load()
        getattr(self._logger, level)(event, **values)

    def _load(self) -> Any:
        import structlog

        renderer: Any = structlog.processors.JSONRenderer()
        if self.format == "console":
            renderer = structlog.dev.ConsoleRenderer(
                colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            )
        return structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[
                refuse_addresses,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                renderer,
            ],
        )


log = Log()
