"""Signed batches as a store makes them, from simulated days through the agent's pipeline; and case 3, their size."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from statistics import median

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import __version__
from agent.dot11.captured import CapturedFrame
from agent.pipeline import Pipeline, PipelineSettings, SignedBatch
from agent.privacy.pseudonym import Pseudonymiser
from agent.wire.cose import sign_message
from agent.wire.limits import MAX_SIGHTINGS
from agent.wire.model import ClockState, LegalMode
from benchmarks.inputs import FIRST_DAY
from benchmarks.report import Row, Section, at_most, show
from simulator.day import DaySettings, simulate

DAY_S = 86_400
LIVE_S = 30
SMALL, LARGE = 200, MAX_SIGHTINGS
SMALL_BYTES, LARGE_BYTES = 14, 8
"""Promised bytes for each sighting in a batch of SMALL and of LARGE sightings."""
Frames = list[tuple[int, bytes]]


def batches_of(
    frames: Frames,
    *,
    agent: str = "ap-bench",
    site: str = "bench",
    boot: bytes = b"bootboot",
    key: Ed25519PrivateKey | None = None,
    clock: ClockState = ClockState.REPLAY,
    max_age_s: int = LIVE_S,
    max_sightings: int = 2000,
) -> list[SignedBatch]:
    """The batches of these frames, closed as a live agent closes them unless told otherwise."""
    signing = key or Ed25519PrivateKey.generate()
    settings = PipelineSettings(
        agent,
        site,
        boot,
        "monitor",
        clock,
        LegalMode.DAY,
        bytes(8),
        __version__,
        window_s=LIVE_S,
        batch_max_age_s=max_age_s,
        batch_max_sightings=max_sightings,
    )
    pipeline = Pipeline(settings, lambda payload: sign_message(payload, agent, signing.sign), _pseudonymiser)
    return list(pipeline.run(_captured(frames)))


def _pseudonymiser(day: int) -> Pseudonymiser:
    return Pseudonymiser(day.to_bytes(32, "big"))


def _captured(frames: Frames) -> Iterator[CapturedFrame]:
    return (CapturedFrame(data, time_us, 127, 0, False) for time_us, data in frames)


def size_section(shoppers: int, days: int, large: int = LARGE) -> Section:
    """Bytes for each sighting of full batches, everything counted that travels."""
    small_sizes: list[float] = []
    large_sizes: list[float] = []
    for number in range(days):
        day = (FIRST_DAY + timedelta(days=number)).isoformat()
        frames, _ = simulate(DaySettings(seed=number + 1, date=day, shoppers=shoppers))
        small_sizes += bytes_per_sighting(frames, SMALL)
        large_sizes += bytes_per_sighting(frames, large)
    return Section(
        "Bytes per sighting",
        f"Whole signed messages (envelope, header, ledger, window estimates, 64-byte signature) that the pipeline makes of {days} simulated days "
        f"of {shoppers:,} shoppers, divided by the sightings in them; only batches that are full. Other days give other sizes, so the largest "
        "is shown beside the median. A batch that a live agent closes after half a minute holds a few dozen sightings and costs more for each.",
        [*_rows(SMALL, small_sizes, SMALL_BYTES), *_rows(large, large_sizes, LARGE_BYTES)],
    )


def bytes_per_sighting(frames: Frames, sightings: int) -> list[float]:
    """Of each batch that closed because it held so many sightings. A day's end closes a batch too, however old it may grow."""
    made = batches_of(frames, max_age_s=DAY_S, max_sightings=sightings)
    return [len(batch.message) / sightings for batch in made if batch.sightings == sightings]


def _rows(sightings: int, sizes: list[float], promised: float) -> list[Row]:
    what = f"batches of {sightings:,} sightings"
    if not sizes:
        return [Row(what, "not measured: the days are too quiet to fill one")]
    return [
        at_most(f"{what}, median of {len(sizes)}", median(sizes), promised, "bytes"),
        Row(f"{what}, largest", show(max(sizes), "bytes")),
    ]


def day_frames(day: date, shoppers: int, seed: int = 1) -> Frames:
    """The frames of a simulated day."""
    return simulate(DaySettings(seed=seed, date=day.isoformat(), shoppers=shoppers))[0]
