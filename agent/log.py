"""Logging: structlog, events as past-tense facts, nothing that could name a phone (shell).

structlog is loaded with the first line that is written, without what it brings and nobody uses (``agent.frugal``): a replay or a
count that has nothing to say does not need it. Event names stand in docs/events.yaml; a test makes sure.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any

ADDRESS = re.compile(
    r"(?i)(?<![0-9a-f])[0-9a-f]{2}([:\-._ ,]|, |%3a)(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![0-9a-f])"
    r"|(?<![0-9a-f:])[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}(?![0-9a-f:])"
    r"|0x[0-9a-f]{1,2}(?:[,:; -]+0x[0-9a-f]{1,2}){5}"
    r"|(?<![0-9a-f])[0-9a-f]{4}([.:-])[0-9a-f]{4}\2[0-9a-f]{4}(?![0-9a-f])"
    r"|(?<![0-9a-f])[0-9a-f]{6}[:-][0-9a-f]{6}(?![0-9a-f])"
    r"|(?<![0-9a-z])(?:0x)?[0-9a-f]{12}(?![0-9a-z])"
    r"|(?<![0-9a-z])b['\"]"
)
"""A MAC address as anybody writes one: octets between colons, hyphens, dots, commas or blanks, in groups of four (Cisco) or six
(HP), without leading zeros (ARP tables), each octet with 0x, in a URL, or bare; and any bytes as Python prints them."""
REFUSED_WORDS = frozenset(
    {"mac", "address", "addr", "bssid", "ssid", "elements", "key", "token", "secret", "password", "pseudonym"}
)
"""Names of values, and last words of such names (``site_key``), that are refused whatever they hold."""
REFUSED = "(refused)"
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def refuse_addresses(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """structlog processor: a value that holds or may hold an address, a network name or a key is replaced."""
    for name in ("exc_info", "stack_info"):
        event.pop(name, None)  # a traceback prints whatever its exceptions hold
    for name, value in list(event.items()):
        if is_refused(name) or not is_fit(value):
            event[name] = REFUSED
    return event


def is_refused(name: str) -> bool:
    """True for a name that says what must not be written."""
    return name.lower().rsplit("_", 1)[-1] in REFUSED_WORDS


def is_fit(value: Any) -> bool:
    """True where a value may be written: a number, or text and containers of text without anything like an address."""
    if value is None or isinstance(value, bool | int | float):
        return True
    if isinstance(value, str):
        return not ADDRESS.search(value)
    if isinstance(value, Mapping):
        return all(not is_refused(str(k)) and is_fit(k) and is_fit(v) for k, v in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(is_fit, value))
    if isinstance(value, BaseException):
        return is_fit(value.args) and is_fit(str(value))
    return False  # bytes may be an address; nothing else is expected


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
        with suppress(OSError, ValueError):  # whoever read our stderr is gone; that must not stop the radio
            getattr(self._logger, level)(event, **values)

    def _load(self) -> Any:
        from agent.frugal import frugal

        with frugal():
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
