"""The one loop, for live and replay alike: frames in, signed batches out (shell).

At the end (the source ended, or a signal came) the pipeline closes its last batch and the delivery is given a bounded
time to send what is left; the rest stays in the spool for the next run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from agent.delivery import Delivery
from agent.dot11.captured import Heard, Tick
from agent.pipeline import Pipeline, Totals
from agent.sources.base import LiveSource, Source


@dataclass(slots=True)
class Outcome:
    """What a run did. ``seconds`` is the time until the last batch was made, without the sending of the rest."""

    totals: Totals
    seconds: float = 0.0
    troubles: list[str] = field(default_factory=list)


def run(
    source: Source,
    pipeline: Pipeline,
    delivery: Delivery,
    *,
    speed: float = 0.0,
    drain_s: float = 5.0,
    should_stop: Callable[[], bool] | None = None,
    progress: Callable[[Totals, float], None] | None = None,
    watched: Callable[[Iterable[Heard]], Iterable[Heard]] = iter,
) -> Outcome:
    """Run until the source ends or ``should_stop``. ``speed`` is capture seconds a second, 0 for as fast as possible;
    ``watched`` is put between the source and the pipeline.

    Closes the source whatever happens. Raises SourceError; the batches made before it are with the delivery.
    """
    started = time.monotonic()
    frames: Iterable[Heard] = until(source, should_stop) if should_stop else source
    if speed:
        frames = paced(frames, speed, should_stop)
    frames = watched(frames)
    pipeline.ledger.evicted_batches += delivery.untold
    try:
        for batch in pipeline.run(frames):
            pipeline.ledger.evicted_batches += delivery.put(batch)
            if progress:
                progress(pipeline.totals, time.monotonic() - started)
        seconds = time.monotonic() - started
    finally:
        source.close()
    delivery.finish(drain_s)
    return Outcome(pipeline.totals, seconds, list(getattr(source, "troubles", ())))


def until(source: Source, should_stop: Callable[[], bool]) -> Iterator[Heard]:
    """The frames until somebody wants us to stop, and then what a live source has of the time before."""
    for frame in source:
        yield frame
        if should_stop():
            break
    if isinstance(source, LiveSource):
        yield from source.rest()


def paced(frames: Iterable[Heard], speed: float, should_stop: Callable[[], bool] | None = None) -> Iterator[Heard]:
    """Hold each frame back until its time has come, ``speed`` capture seconds a second; ticks fill the silence."""
    first_us: int | None = None
    started = time.monotonic()
    for frame in frames:
        if first_us is None:
            first_us = frame.time_us
        while not (should_stop and should_stop()):
            ahead_s = (frame.time_us - first_us) / 1e6 / speed - (time.monotonic() - started)
            if ahead_s <= 0:
                break
            time.sleep(min(ahead_s, 0.5))
            if ahead_s > 0.5:
                yield Tick(first_us + int((time.monotonic() - started) * speed * 1e6))
        else:
            return  # whoever stops us has not heard what comes later
        yield frame
