"""`count` and `explain` walk captures once, in one memory, whatever their clocks do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.frames import GLOBAL, LOCAL, T0_US, heard, local, scans

from agent.dot11.captured import CapturedFrame, Tick
from agent.dot11.probe_request import Skipped
from agent.proximity import ProximitySettings
from agent.survey import Survey, SurveyedFrame
from agent.tracking.tracker import TrackingSettings

S = 1_000_000


def frame(time_us: int, data: bytes, link_type: int = 127) -> CapturedFrame:
    return CapturedFrame(data, time_us, link_type, 0, False)


def walked(frames: list[CapturedFrame | Tick]) -> tuple[Survey, list[SurveyedFrame]]:
    survey = Survey(TrackingSettings(), ProximitySettings())
    return survey, list(survey.walk(frames))


def test_a_link_type_that_nobody_knows_is_a_reason():
    survey, seen = walked([frame(T0_US, b"Ethernet", 1), frame(T0_US, heard())])

    assert seen[0].request == Skipped("unknown_link_type")
    assert (survey.frames, survey.probe_requests, survey.skipped) == (2, 1, {"unknown_link_type": 1})


def test_a_clock_set_back_between_captures_closes_what_was_open():
    """An address keeps its device, and a burst never reaches over the step."""
    air = [*scans(GLOBAL, T0_US, 2), *scans(GLOBAL, T0_US - 3600 * S, 2)]
    survey, seen = walked([frame(time_us, data) for time_us, data in air])

    bursts = [s.burst for s in seen if s.burst]
    assert len({id(burst) for burst in bursts}) == 4
    assert {burst.track.number for burst in bursts} == {0}
    assert survey.tracker.estimate().devices == 1
    assert survey.steps_back == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1000, 30_000, 2 * S, 70 * S, 2000 * S, -20_000, -90 * S, -4000 * S]),
            st.sampled_from([heard(LOCAL), heard(local(3), rssi=-80), heard(GLOBAL, rssi=None), b"", heard()[:-1]])
            | st.none(),
        ),
        max_size=40,
    )
)
def test_every_frame_has_its_row_in_order_and_every_probe_request_its_device(steps: list[tuple[int, bytes | None]]):
    time_us, air = T0_US, []
    for gap_us, data in steps:
        time_us += gap_us
        air.append(Tick(time_us) if data is None else frame(time_us, data))

    survey, seen = walked(air)

    assert [s.frame for s in seen] == [f for f in air if isinstance(f, CapturedFrame)]
    assert survey.frames == survey.probe_requests + sum(survey.skipped.values()) == len(seen)
    for row in seen:
        assert (row.burst is None) is isinstance(row.request, Skipped)
        if row.burst is not None:
            assert row.burst.track.number >= 0
            assert (row.burst.p_inside is None) is (row.burst.rssi == [])
