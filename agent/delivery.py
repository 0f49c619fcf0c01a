"""Where signed batches go: into the spool and from there to the cloud, or nowhere (shell).

The thread that reads the radio only ever writes to the disk; one worker thread talks to the cloud, so a slow cloud never
stops the radio. A disk that takes nothing does not stop it either: batches wait in memory, as many as fit, and go from there.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from agent.log import log
from agent.pipeline import SignedBatch
from agent.spool import Spool, SpoolEntry, SpoolError, TieredSpool
from agent.spool.forgetting import Forgetting
from agent.upload.backoff import Backoff
from agent.upload.plan import Verdict
from agent.upload.uploader import UploadCounts, Uploader

HURRIED_EVERY_S = 0.5
"""How often a wait for room looks whether the run shall end."""
WORKER_RESTS_S = 1.0
"""After a fault outside the sending itself."""
MEMORY_BATCHES = 64
"""Batches that may wait in memory while the disk takes none: at most 4 MiB."""


class Delivery(Protocol):
    """What the runner needs of it. ``left`` batches still wait, because of ``trouble`` (words, empty where there is none)."""

    @property
    def left(self) -> int: ...

    @property
    def trouble(self) -> str: ...

    @property
    def untold(self) -> int:
        """Batches that an earlier run gave up and told nobody of; the first ledger must say so."""
        ...

    def put(self, batch: SignedBatch) -> int:
        """Take a batch. Gives how many older ones were given up for it, and with them those that they told of: the next ledger must
        say so."""
        ...

    def finish(self, within_s: float) -> None:
        """Send what is left, for at most ``within_s`` seconds."""
        ...


class DryDelivery:
    """Batches are made, signed and counted, then let go: a replay without a cloud."""

    left = 0
    trouble = ""
    untold = 0

    def put(self, batch: SignedBatch) -> int:
        """Nothing to keep."""
        return 0

    def finish(self, within_s: float) -> None:
        """Nothing to send."""


class SpoolDelivery:
    """Spool first, then the cloud.

    ``waits_for_room``: a replay rather waits than evicts, because its capture can wait; a radio cannot. It waits until
    ``is_hurried``. ``forgetting`` says what may wait no longer; ``told`` is told how many batches were removed for it.
    """

    is_hurried: Callable[[], bool] = staticmethod(bool)
    """True once somebody wants the run to end."""

    def __init__(
        self,
        spool: Spool | TieredSpool,
        uploader: Uploader | None,
        backoff: Backoff,
        *,
        waits_for_room: bool,
        forgetting: Forgetting | None = None,
        told: Callable[[int], None] = lambda _batches: None,
    ) -> None:
        self._spool = spool
        self._uploader = uploader
        self._backoff = backoff
        self._waits_for_room = waits_for_room
        self._forgetting = forgetting
        self._told = told
        self._memory: deque[SignedBatch] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._locked_out = False
        self._next_try_s = 0.0  # by the monotonic clock; 0 while one is under way
        self._given_up = 0
        self._spool_trouble = ""
        self._last_taken_s = time.monotonic()
        self._forget()
        self._worker = threading.Thread(target=self._work, name="ivizone-upload", daemon=True)
        if uploader is not None:
            self._worker.start()

    @property
    def left(self) -> int:
        """Batches that still wait."""
        with self._changed:
            return len(self._spool.entries()) + len(self._memory)

    @property
    def untold(self) -> int:
        """See ``Delivery.untold``."""
        return self._spool.untold_batches

    @property
    def waiting_bytes(self) -> int:
        """Their size."""
        with self._changed:
            return self._spool.pending_bytes + sum(len(batch.message) for batch in self._memory)

    @property
    def evicted_batches(self) -> int:
        """Batches given up since the start, because neither disk nor memory had room."""
        return self._spool.evicted_batches + self._given_up

    @property
    def flash_bytes_written(self) -> int:
        """Bytes written to the lasting directory since the start."""
        return self._spool.flash_bytes_written

    @property
    def uploads(self) -> UploadCounts:
        """What the cloud has taken since the start."""
        return self._uploader.counts if self._uploader else UploadCounts()

    @property
    def trouble(self) -> str:
        """What keeps them waiting, in words; empty where nothing does."""
        return self._spool_trouble or (self._uploader.last_trouble if self._uploader else "")

    def put(self, batch: SignedBatch) -> int:
        """Take a batch: onto the disk if it can be, else into memory."""
        with self._changed:
            if self._waits_for_room and self._uploader is not None:
                self._wait_for_room(len(batch.message))
            lost_before = self._spool.lost_batches
            self._forget()
            self._memory.append(batch)
            self._memory_to_disk()
            given_up = []
            while len(self._memory) > MEMORY_BATCHES:
                given_up.append(self._memory[1])  # the first may be with the cloud, and stored
                del self._memory[1]
            self._given_up += len(given_up)
            self._changed.notify_all()
            return sum(1 + gone.told for gone in given_up) + self._spool.lost_batches - lost_before

    def finish(self, within_s: float) -> None:
        """Wait until nothing is left, the cloud is lost or will not be asked in time, or the time is over; then stop the worker."""
        deadline = time.monotonic() + within_s

        def is_over() -> bool:
            return not self.left or self._locked_out or self._next_try_s > deadline

        with self._changed:
            self._memory_to_disk()
            self._changed.notify_all()
            if self._uploader is not None:
                self._changed.wait_for(is_over, max(0.0, deadline - time.monotonic()))
            self._stopping = True
            self._changed.notify_all()
        if self._worker.is_alive():
            self._worker.join(max(0.2, deadline - time.monotonic()))

    def _wait_for_room(self, size: int) -> None:
        while not (self._has_room(size) or self._locked_out or self._is_away() or self.is_hurried()):
            self._changed.wait(HURRIED_EVERY_S)

    def _has_room(self, size: int) -> bool:
        return not self._spool.entries() or self._spool.pending_bytes + size <= self._spool.limit_bytes

    def _is_away(self) -> bool:
        """The cloud has not answered well for so long that waiting for it makes no sense."""
        return self._backoff.failures > 8

    def _forget(self) -> None:
        """Remove what may wait no longer; where the disk does not do it, it is tried again with the next batch."""
        if self._forgetting is None:
            return
        try:
            gone = self._spool.give_up(self._forgetting.over("spool", self._spool.entries(), self._spool.read))
            aside = self._forgetting.over("aside", self._spool.set_aside(), lambda entry: entry.path.read_bytes())
            for entry in aside:
                self._spool.remove_aside(entry)
        except (SpoolError, OSError) as error:
            log.error("spool_unwritable", trouble=str(error), waiting_batches=len(self._memory))
            return
        if gone or aside:
            log.info("spool_forgot", batches=gone, set_aside=len(aside))
            self._told(gone + len(aside))

    def _memory_to_disk(self) -> None:
        while self._memory:
            batch = self._memory[0]
            try:
                self._spool.append(batch.boot, batch.number, batch.message, batch.told)
            except SpoolError as error:
                if not self._spool_trouble:
                    log.error("spool_unwritable", trouble=str(error), waiting_batches=len(self._memory))
                self._spool_trouble = str(error)
                return
            self._memory.popleft()
            if self._spool_trouble:
                self._spool_trouble = ""
                log.info("spool_recovered")

    # --- the worker -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except Exception:  # such as no memory left just now: a worker that is gone would send nothing ever after
                time.sleep(WORKER_RESTS_S)

    def _turn(self) -> None:
        """Send the next batch, once there is one, and wait as long as the cloud's answer asks for."""
        with self._changed:
            self._changed.wait_for(lambda: self.left or self._stopping)
            if self._stopping:
                return
            item = self._next()
            self._spool.held = item[0] if item and isinstance(item[0], SpoolEntry) else None
        wait_s = self._try_to_send(*item) if item else 1.0
        with self._changed:
            self._next_try_s = time.monotonic() + wait_s
            self._changed.notify_all()
            if wait_s:
                self._changed.wait_for(lambda: self._stopping, wait_s)
            self._next_try_s = 0.0

    def _next(self) -> tuple[SpoolEntry | SignedBatch, bytes] | None:
        entry = self._spool.oldest()
        if entry is None:
            return self._memory[0], self._memory[0].message
        try:
            return entry, self._spool.read(entry)
        except SpoolError as error:
            log.error("spool_unreadable", trouble=str(error))
            self._let_go(entry, self._spool.refuse)
            return None

    def _try_to_send(self, item: SpoolEntry | SignedBatch, message: bytes) -> float:
        try:
            return self._send(item, message)
        except Exception as error:  # a fault of ours: said, and no reason to send nothing ever after
            log.error("upload_failed", error=type(error).__name__)
            return self._backoff.failed()

    def _send(self, item: SpoolEntry | SignedBatch, message: bytes) -> float:
        """Send one and book the answer. Gives the seconds to wait before the next."""
        if self._uploader is None:
            raise AssertionError("cannot happen: the worker runs only with an uploader")
        verdict, wish_s = self._uploader.send(message)
        with self._changed:
            self._spool.held = None
            if verdict in (Verdict.ACKNOWLEDGED, Verdict.REFUSED):
                self._last_taken_s = time.monotonic()
            self._spool.cloud_is_away(time.monotonic() - self._last_taken_s)
            if verdict is Verdict.DEFERRED:
                return self._backoff.failed(wish_s)
            if verdict is Verdict.LOCKED_OUT:
                self._locked_out = True
                return wish_s or 0.0
            self._locked_out = False
            self._backoff.succeeded()
            if isinstance(item, SignedBatch):
                if self._memory and self._memory[0] is item:
                    self._spool.tell(self._memory.popleft().told)
            elif verdict is Verdict.ACKNOWLEDGED:
                self._let_go(item, self._spool.acknowledge)
            else:
                self._let_go(item, self._spool.refuse)
            return 0.0

    def _let_go(self, entry: SpoolEntry, how: Callable[[SpoolEntry], None]) -> None:
        try:
            how(entry)
        except SpoolError as error:
            log.error("spool_unwritable", trouble=str(error), waiting_batches=len(self._memory))
