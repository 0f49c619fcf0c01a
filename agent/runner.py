"""The one loop, for live and replay alike: frames in, signed batches into the spool, batches out to the cloud (shell).

Order of a run: the main thread reads, decodes and spools; one worker thread uploads, so a slow cloud never stops the
radio. At the end (the source ended, or a signal came) the pipeline closes its last batch, the spool has it, and the
worker is given a bounded time to empty the spool. What is left stays on disk for the next run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from agent.dot11.captured import CapturedFrame, Tick
from agent.pipeline import Pipeline, SignedBatch, Totals
from agent.sources.base import Source

PROGRESS_EVERY_S = 1.0


class Delivery(Protocol):
    """Where signed batches go: a spool with an uploader behind it, a folder, or nowhere (a dry replay)."""

    def put(self, batch: SignedBatch) -> None:
        """Keep the batch durably. May wait for room; raises SpoolError where it cannot be kept."""
        ...

    def finish(self, within_s: float) -> None:
        """Send what is left, for at most ``within_s`` seconds."""
        ...


@dataclass(slots=True)
class Outcome:
    """What a run did."""

    totals: Totals
    seconds: float = 0.0
    troubles: list[str] = field(default_factory=list)


class DryDelivery:
    """Batches are made, signed and counted, then let go: a replay without a cloud."""

    def put(self, batch: SignedBatch) -> None:
        """Nothing to keep."""

    def finish(self, within_s: float) -> None:
        """Nothing to send."""


def run(
    source: Source,
    pipeline: Pipeline,
    delivery: Delivery,
    *,
    speed: float = 0.0,
    drain_s: float = 5.0,
    progress: Callable[[Totals, float], None] | None = None,
) -> Outcome:
    """Run until the source ends. ``speed`` is capture seconds a second, 0 for as fast as possible.

    Closes the source whatever happens. Raises SourceError and SpoolError; what was read before them is in the spool.
    """
    started = time.monotonic()
    frames: Iterable[CapturedFrame | Tick] = paced(source, speed) if speed else source
    try:
        for batch in pipeline.run(frames):
            pipeline.lose(source.losses())
            delivery.put(batch)
            if progress:
                progress(pipeline.totals, time.monotonic() - started)
        seconds = time.monotonic() - started
    finally:
        source.close()
    delivery.finish(drain_s)
    return Outcome(pipeline.totals, seconds, list(getattr(source, "troubles", ())))


def paced(frames: Iterable[CapturedFrame | Tick], speed: float) -> Iterator[CapturedFrame | Tick]:
    """Hold each frame back until its time has come, ``speed`` capture seconds a second; ticks fill the silence."""
    first_us: int | None = None
    started = time.monotonic()
    for frame in frames:
        if first_us is None:
            first_us = frame.time_us
        while True:
            ahead_s = (frame.time_us - first_us) / 1e6 / speed - (time.monotonic() - started)
            if ahead_s <= 0:
                break
            time.sleep(min(ahead_s, 1.0))
            if ahead_s > 1.0:
                yield Tick(first_us + int((time.monotonic() - started) * speed * 1e6))
        yield frame


class UploadingDelivery:
    """Spool first, then the cloud: ``put`` returns when the batch is durable, a worker thread sends.

    ``spool`` is touched by both threads only under ``_lock``; the sending itself happens outside it.
    """

    def __init__(self, spool: object, uploader: object) -> None:
        self._spool = spool
        self._uploader = uploader
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._worker = threading.Thread(target=self._work, name="ivizone-upload", daemon=True)
        self._worker.start()
