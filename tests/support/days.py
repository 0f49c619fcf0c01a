"""Simulated days through the agent's pipeline, for tests and benchmarks that need sightings as a store makes them."""

from __future__ import annotations

from collections.abc import Iterator

from support.batches import KEY

from agent.dot11.captured import CapturedFrame
from agent.pipeline import Pipeline, PipelineSettings, SignedBatch
from agent.privacy.pseudonym import Pseudonymiser
from agent.wire.cose import sign_message
from agent.wire.model import ClockState, LegalMode
from simulator.day import DaySettings, simulate


def pipeline(
    agent: str = "ap-test", site: str = "shop", mode: LegalMode = LegalMode.DAY, **changes: object
) -> Pipeline:
    """A pipeline with a fixed key, signing as ``agent``."""
    settings = PipelineSettings(
        agent,
        site,
        b"bootboot",
        "pcap",
        ClockState.REPLAY,
        mode,
        b"confhash",
        "0.1.0",
        **changes,  # type: ignore[arg-type]
    )
    return Pipeline(settings, lambda payload: sign_message(payload, agent, KEY.sign), pseudonymiser_for)


def pseudonymiser_for(day: int) -> Pseudonymiser:
    """A day's pseudonymiser, from no secret."""
    return Pseudonymiser(day.to_bytes(32, "big"))


def captured(frames: list[tuple[int, bytes]]) -> Iterator[CapturedFrame]:
    """Frames as a source gives them."""
    return (CapturedFrame(data, time_us, 127, 0, False) for time_us, data in frames)


def day_batches(settings: DaySettings, **changes: object) -> list[SignedBatch]:
    """The signed batches of a simulated day."""
    return list(pipeline(**changes).run(captured(simulate(settings)[0])))
