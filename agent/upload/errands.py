"""What a running agent asks the cloud beside sending batches, now and then, in a thread of its own (shell).

Each errand opens its connection and closes it: held open, one would cost an access point 200 KB for minutes of use a year. A cloud that is
away is asked again at the next turn; nothing here holds up a batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.config import ConfigError
from agent.log import log
from agent.privacy.errors import PrivacyError
from agent.upload.errors import UploadError

LOOK_S = 30.0
"""How often it is looked whether an errand is due."""


@dataclass(slots=True)
class Errand:
    """``run`` is called each ``every_s``, and a first time at once."""

    name: str
    every_s: float
    run: Callable[[], None]
    next_s: float = 0.0


class Errands:
    """Runs errands until ``stopping`` is set, which an errand that has to wait can wait for too."""

    def __init__(self, errands: Sequence[Errand], stopping: threading.Event) -> None:
        self._errands = errands
        self._stopping = stopping
        self._thread = threading.Thread(target=self._work, name="ivizone-errands", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; what is under way ends by itself, or at its next start."""
        self._stopping.set()

    def turn(self, now_s: float) -> None:
        """Run what is due at ``now_s`` (monotonic)."""
        for errand in self._errands:
            if now_s < errand.next_s or self._stopping.is_set():
                continue
            errand.next_s = now_s + errand.every_s
            try:
                errand.run()
            except (UploadError, ConfigError, PrivacyError, OSError) as error:
                log.warning("errand_failed", errand=errand.name, trouble=str(error))

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self.turn(time.monotonic())
            except Exception as error:  # such as no memory left just now: no reason to end a thread for good
                log.error("errands_failed", error=type(error).__name__)
            self._stopping.wait(LOOK_S)
