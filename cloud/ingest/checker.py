"""Checks signatures in a process beside the event loop: what comes within one turn goes there together (shell; docs/adr/0015-ingest-speed.md).

A check costs as much as all else that ingest does with a batch, and holds the interpreter. Where few batches come, or there is one core
only, or that process is lost, they are checked where they are. ``python -m cloud.ingest.checker`` is the process: to it go questions of a
key (32 bytes), a signature (64), a length (4, big-endian) and what was signed; from it comes one byte for each in order, 1 where it holds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket as sockets
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from ed25519_zebra import ed_verify

log = structlog.get_logger()
QUESTION = struct.Struct(">32s64sI")
FEW = 2
"""So many in one turn are checked at once: the way to the process and back costs as much."""
AT_ONCE = 8
"""So many go on their way without waiting for the turn's end: loop, process and stream then work at the same time."""
SILENCE_S = 5.0
"""A process that does not answer for so long is ended."""
READ_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class _Question:
    key: bytes
    signature: bytes
    signed: bytes
    answer: asyncio.Future[bool]
    asked_at_s: float

    def settle(self, holds: bool) -> None:
        if not self.answer.done():  # who asked may have gone away
            self.answer.set_result(holds)

    def check(self) -> None:
        self.settle(ed_verify(self.signature, self.signed, self.key))


class Checker:
    """Answers from one event loop. ``cores`` is how many this process may use."""

    def __init__(self, cores: int | None = None) -> None:
        self._has_process = (cores or len(os.sched_getaffinity(0))) > 1
        self._gathered: list[_Question] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beside: _Beside | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def process_id(self) -> int | None:
        """Of the process that checks, where one is at work."""
        return self._beside.process_id if self._beside else None

    async def holds(self, key: bytes, signature: bytes, signed: bytes) -> bool:
        """True where ``signature`` (64 bytes) over ``signed`` is by ``key`` (32 bytes)."""
        loop = asyncio.get_running_loop()
        question = _Question(key, signature, signed, loop.create_future(), loop.time())
        if not self._gathered:
            loop.call_soon(self._hand_over, loop)
        self._gathered.append(question)
        if len(self._gathered) >= AT_ONCE:
            self._hand_over(loop)
        return await question.answer

    def close(self) -> None:
        """End the process. Whoever still waits is answered."""
        self._has_process = False
        if self._beside:
            self._beside.close()

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """All that one turn brought is read by now. Checked together it costs less, here too: the code is at hand in the processor's caches."""
        questions, self._gathered = self._gathered, []
        if len(questions) > FEW and self._has_process:
            if self._beside and self._beside.takes(questions, loop):
                return
            if self._starting is None:
                self._starting = loop.create_task(self._start(loop))
        for question in questions:
            question.check()

    async def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        ours, theirs = sockets.socketpair()
        try:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", __name__], stdin=theirs.fileno(), stdout=theirs.fileno()
                )
        except OSError as error:
            ours.close()
            log.error("signature_process_lost", waiting=0, error=str(error))
            return
        beside = _Beside(process, loop)
        await loop.create_unix_connection(lambda: beside, sock=ours)
        self._beside = beside
        if not self._has_process:
            beside.close()


class _Beside(asyncio.Protocol):
    """The process, and what it was asked and has not answered."""

    def __init__(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._process = process
        self._loop = loop
        self._waiting: deque[_Question] = deque()
        self._transport: asyncio.WriteTransport | None = None
        self._is_closing = False

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._transport else None

    def takes(self, questions: list[_Question], loop: asyncio.AbstractEventLoop) -> bool:
        """Ask them; False where the process is gone or hangs, or belongs to another event loop."""
        if self._waiting and loop.time() - self._waiting[0].asked_at_s > SILENCE_S:
            self._process.kill()  # connection_lost follows, and answers whoever waits
            return False
        if self._transport is None or self._loop is not loop:
            return False
        self._waiting.extend(questions)
        self._transport.writelines(
            [part for q in questions for part in (QUESTION.pack(q.key, q.signature, len(q.signed)), q.signed)]
        )
        return True

    def close(self) -> None:
        self._is_closing = True
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        for holds in data:
            self._waiting.popleft().settle(holds == 1)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if not self._is_closing:
            log.error("signature_process_lost", waiting=len(self._waiting), error=str(error or "it ended"))
        while self._waiting:
            self._waiting.popleft().check()
        self._process.kill()
        self._process.wait()


def answers(data: bytearray) -> Iterator[int]:
    """For each whole question at the begin of ``data``: 1 where the signature holds, else 0. What was answered is taken out of ``data``."""
    at = 0
    while len(data) - at >= QUESTION.size:
        key, signature, length = QUESTION.unpack_from(data, at)
        end = at + QUESTION.size + length
        if end > len(data):
            break
        yield int(ed_verify(signature, bytes(data[at + QUESTION.size : end]), key))
        at = end
    del data[:at]


def main() -> None:
    """Answer until the server closes its end, be it by dying."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the server, whose end ends this: Ctrl-C, systemctl stop
        signal.signal(number, signal.SIG_IGN)
    data = bytearray()
    while part := os.read(0, READ_BYTES):
        data += part
        os.write(1, bytes(answers(data)))


if __name__ == "__main__":
    main()
