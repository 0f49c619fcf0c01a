"""Sends what waits in the spool, oldest first, one at a time (shell)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.log import log
from agent.upload.errors import UploadDeferred
from agent.upload.https import Response
from agent.upload.plan import Verdict, decide

BATCHES_PATH = "/v1/batches"
LOCKED_OUT_WAIT_S = 300.0


class Sender(Protocol):
    """What the uploader needs of a connection."""

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response: ...


@dataclass(slots=True)
class UploadCounts:
    """What was sent since the start."""

    acknowledged: int = 0
    refused: int = 0
    deferred: int = 0
    bytes: int = 0


class Uploader:
    """Sends one message and says what is to be done with it.

    ``is_ours`` tells whether this agent signed a message, as it is now. It is asked where the cloud knows neither agent nor signature: one
    file whose bits have flipped, or of an enrolment before this one, must not hold up all those behind it.
    """

    def __init__(self, sender: Sender, is_ours: Callable[[bytes], bool] = lambda _message: True) -> None:
        self._sender = sender
        self._is_ours = is_ours
        self.counts = UploadCounts()
        self.last_trouble = ""

    def send(self, message: bytes) -> tuple[Verdict, float | None]:
        """Send a batch. Gives the verdict and the cloud's wish for the next try (s)."""
        try:
            response = self._sender.request("POST", BATCHES_PATH, message, Content_Type="application/cose")
        except UploadDeferred as error:
            self._deferred(str(error), status=None)
            return Verdict.DEFERRED, None
        answer = decide(response.status, response.retry_after)
        if answer.verdict is Verdict.ACKNOWLEDGED:
            self.counts.acknowledged += 1
            self.counts.bytes += len(message)
            self.last_trouble = ""
        elif answer.verdict is Verdict.REFUSED:
            self.counts.refused += 1
            self.last_trouble = f"the cloud refused a batch with status {response.status}: {_said(response)}"
            log.error("upload_refused", status=response.status, said=_said(response))
        elif answer.verdict is Verdict.LOCKED_OUT and not self._is_ours(message):
            self.counts.refused += 1
            self.last_trouble = f"a batch in the spool does not bear this agent's signature (status {response.status}); it was set aside"
            log.error("upload_refused", status=response.status, said=self.last_trouble)
            return Verdict.REFUSED, None
        elif answer.verdict is Verdict.LOCKED_OUT:
            self.last_trouble = (
                f"the cloud does not take this agent's batches (status {response.status}: {_said(response)})"
            )
            log.error("upload_locked_out", status=response.status, said=_said(response), retry_in_s=LOCKED_OUT_WAIT_S)
            return answer.verdict, LOCKED_OUT_WAIT_S
        else:
            self._deferred(f"the cloud answered {response.status}: {_said(response)}", status=response.status)
        return answer.verdict, answer.retry_after_s

    def _deferred(self, trouble: str, status: int | None) -> None:
        self.counts.deferred += 1
        if trouble != self.last_trouble:  # an outage of a day is one line, not thousands
            log.warning("upload_deferred", status=status, trouble=trouble)
        self.last_trouble = trouble


def _said(response: Response) -> str:
    """The first line of the cloud's explanation, bounded."""
    return response.body.decode("utf-8", "replace").strip().split("\n")[0][:200]
