"""What a capture holds, frame by frame, without batches, keys or a network: `count` and `explain` (core).

The whole survey is one air and one memory, whatever days it spans; nothing of it is kept or sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agent.dot11.captured import CapturedFrame, Heard
from agent.dot11.decoder import Decoder
from agent.dot11.errors import UnknownLinkType
from agent.dot11.probe_request import ProbeRequest, Skipped
from agent.proximity import Placer, ProximitySettings, ZoneState
from agent.tracking.bursts import Burst
from agent.tracking.estimate import DeviceEstimate
from agent.tracking.resolver import Resolver
from agent.tracking.tracker import Tracker, TrackingSettings

DECIDE_EVERY_US = 1_000_000
CLOCK_STEP_US = 60_000_000


@dataclass(frozen=True, slots=True)
class SurveyedFrame:
    """One frame: skipped with a reason, or a probe request and the burst that it went into."""

    frame: CapturedFrame
    request: ProbeRequest | Skipped
    burst: Burst | None


@dataclass
class Survey:
    """Feeds frames to a decoder and a tracker. ``frames`` may be walked once; counts grow while it is."""

    tracking: TrackingSettings
    proximity: ProximitySettings
    frames: int = 0
    probe_requests: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    steps_back: int = 0
    """How often a frame lay more than a minute before the one in front of it: the clock was set, or the capture is out of order."""

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.tracking)
        self._placer = Placer(self.proximity)
        self._resolver = Resolver()

    def resolve(self) -> DeviceEstimate:
        """How many devices, after a second look at all bursts together; each burst's ``device()`` is then the resolved one."""
        return self._resolver.resolve()

    def walk(self, frames: Iterable[Heard]) -> Iterator[SurveyedFrame]:
        """Each frame in turn. Its burst's track and p_inside are set when the walk is over."""
        tracker = self.tracker
        decoders: dict[int, Decoder | None] = {}
        now_us = next_us = shift_us = 0
        for frame in frames:
            if not isinstance(frame, CapturedFrame):
                continue
            if frame.link_type not in decoders:
                decoders[frame.link_type] = _decoder(frame.link_type)
            decoder = decoders[frame.link_type]
            self.frames += 1
            request = decoder.decode(frame.data, frame.is_cut) if decoder else Skipped("unknown_link_type")
            if isinstance(request, Skipped):
                self.skipped[request.reason] = self.skipped.get(request.reason, 0) + 1
                yield SurveyedFrame(frame, request, None)
                continue
            self.probe_requests += 1
            if frame.time_us + shift_us < now_us - CLOCK_STEP_US:
                self._place(tracker.flush())  # the clock was set back: for the tracker time goes on from here
                shift_us = now_us - frame.time_us
                self.steps_back += 1
            now_us = max(now_us, frame.time_us + shift_us)
            if now_us >= next_us:
                self._place(tracker.advance(now_us))
                next_us = now_us + DECIDE_EVERY_US
            yield SurveyedFrame(frame, request, tracker.observe(request, now_us))
        self._place(tracker.flush())

    def _place(self, bursts: list[Burst]) -> None:
        for burst in bursts:
            track = burst.track
            if burst.rssi:
                if track.inside is None:
                    track.inside = ZoneState(self.proximity)
                burst.p_inside = self._placer.place(burst.rssi, track.inside, burst.first_us - track.first_us)
        self._resolver.take(bursts)
        self.tracker.window_estimate()  # nobody asks for windows here, and an open one keeps its tracks


def _decoder(link_type: int) -> Decoder | None:
    try:
        return Decoder(link_type)
    except UnknownLinkType:
        return None
