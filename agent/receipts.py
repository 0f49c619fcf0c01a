"""The access point's own chain of deletion receipts: a file that only grows, signed with the agent's key (shell).

A line is some 500 bytes and comes once a day: ten years are 2 MB. `ivizone-agent receipts` prints it, `ivizone-cloud receipts verify FILE`
checks it; what a receipt proves and what not is said in agent/wire/receipts.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.config import ConfigError
from agent.own_key import load_key
from agent.wire.receipts import MAX_LINE_BYTES, Head, make_receipt

TAIL_BYTES = 2 * MAX_LINE_BYTES


class ReceiptFile:
    """``now_ms`` is the clock. The key is read anew for each receipt: it comes once a day, and the key may have changed."""

    def __init__(self, path: Path, agent: str, key_file: Path, now_ms: Callable[[], int]) -> None:
        self.path = path
        self._agent = agent
        self._key_file = key_file
        self._now_ms = now_ms

    def add(self, what: str, about: dict[str, Any]) -> None:
        """Write the next receipt, durably. A line that a power cut left half is written over. Raises ConfigError."""
        key = load_key(self._key_file)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                end, head = _end_of(file)
                line = make_receipt(
                    head,
                    at_ms=self._now_ms(),
                    by=self._agent,
                    key=key.public_key().public_bytes_raw(),
                    what=what,
                    about=about,
                    sign=key.sign,
                )
                file.seek(end)
                file.truncate()
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ConfigError(
                f"privacy.receipts_file {self.path}: cannot be written ({error.strerror}); choose a file that this user may write"
            ) from error

    def text(self) -> str:
        """The whole chain; empty where there is none. Raises ConfigError."""
        try:
            return self.path.read_text() if self.path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"privacy.receipts_file {self.path}: cannot be read") from error


def _end_of(file: Any) -> tuple[int, Head]:
    """Where the last whole line ends (bytes), and what it is."""
    size = file.seek(0, os.SEEK_END)
    begins = max(0, size - TAIL_BYTES)
    file.seek(begins)
    tail = file.read()
    whole, newline, _ = tail.rpartition(b"\n")
    if not newline:
        return 0, Head()
    return begins + len(whole) + 1, Head.of(whole.rpartition(b"\n")[2].decode())
