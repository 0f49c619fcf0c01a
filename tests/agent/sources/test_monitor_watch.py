"""What the watch makes of looks: what it holds the interface for, what it has done, and which time it believes was listened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.monitor_watch import ARPHRD_IEEE80211_RADIOTAP, Condition, Decision, Look, Watch

SECOND_US = 1_000_000
ETHERNET = 1
FIRST, SECOND = 3, 4
"""Two interfaces of one name, one after the other."""


@dataclass
class Shell:
    """Looks once a second and does what is decided, as the source does; ``can_open`` says whether opening works."""

    watch: Watch = field(default_factory=Watch)
    now_us: int = 1_000 * SECOND_US
    can_open: bool = True
    done: list[tuple[int, str]] = field(default_factory=list)
    listened_us: Counter[int] = field(default_factory=Counter)
    gaps_s: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start_us = self.now_us
        self.watch.opened(FIRST, self.now_us)

    def look(self, seconds: int = 1, **changes: object) -> Condition:
        """So many looks, all of which see the same; usual is an interface that hears."""
        for _ in range(seconds):
            self.now_us += SECOND_US
            seen = {
                "ifindex": FIRST,
                "link_type": ARPHRD_IEEE80211_RADIOTAP,
                "is_up": True,
                "frames": 12,
                "received": 2,
            }
            seen |= {"was_interrupted": False, "channel": 6, **changes}
            self._do(self.watch.decide(Look(self.now_us, **seen)), seen["ifindex"])  # type: ignore[arg-type]
        return self.watch.condition

    def _do(self, decision: Decision, ifindex: int | None) -> None:
        after_s = (self.now_us - self.start_us) // SECOND_US
        if decision.closes:
            self.watch.closed()
            self.done.append((after_s, "close"))
        if decision.opens:
            self.watch.closed()
            self.done.append((after_s, "open"))
            if self.can_open and ifindex is not None:
                self.watch.opened(ifindex, self.now_us)
        if decision.asks:
            self.done.append((after_s, "ask"))
        self.listened_us.update(decision.listened_us)
        if decision.gap_us is not None:
            self.gaps_s.append(decision.gap_us // SECOND_US)

    def listened_s(self) -> float:
        return self.listened_us.total() / SECOND_US


GONE = {"ifindex": None, "link_type": None, "is_up": False, "frames": 0, "received": None}
DOWN = {"is_up": False, "frames": 0, "received": 0}
MANAGED = {"link_type": ETHERNET, "frames": 0, "received": 0}
SILENT = {"frames": 0, "received": 0}
QUIET = {"frames": 1, "received": 1}
ONLY_OWN = {"frames": 10, "received": 0}


def test_an_interface_that_hears_listens_all_the_time():
    """From the first frame on: what was before it nobody knows."""
    shell = Shell()

    assert shell.look(61) is Condition.LISTENING
    assert shell.listened_us == {6: 60 * SECOND_US}
    assert shell.done == []


def test_a_short_silence_is_listened_once_a_frame_proves_it():
    """Nine seconds without a frame on a quiet channel, then one: the radio was there all the time."""
    shell = Shell()
    shell.look(30, **QUIET)

    assert shell.look(9, **SILENT) is Condition.LISTENING
    assert shell.listened_s() == 29
    shell.look()

    assert shell.listened_s() == 39
    assert shell.gaps_s == [1]  # the one before the first frame


def test_where_beacons_came_all_the_time_a_second_without_any_is_a_gap():
    """hostapd restarts within three seconds: too short for a silence, and yet nothing was heard."""
    shell = Shell()
    shell.look(30)

    shell.look(3, **SILENT)
    assert shell.look(5) is Condition.LISTENING

    assert shell.listened_s() == 29 + 4
    assert shell.gaps_s == [1, 4]
    assert shell.done == []


@pytest.mark.parametrize(("frames", "is_gap"), [(5, True), (6, False), (12, False), (900, False)])
def test_half_of_the_steady_frames_are_missed(frames: int, is_gap: bool):
    """An outage of 1.3 s takes at least 0.65 s of one look; the twelve beacons of a second never fall below six otherwise.
    A second in which somebody sent much sets no standard."""
    shell = Shell()
    shell.look(15)
    shell.look(frames=900)
    shell.look(9)

    shell.look(frames=frames)
    shell.look(3)

    assert (len(shell.gaps_s) == 2) is is_gap


@pytest.mark.parametrize(("is_planned", "gaps"), [(False, 2), (True, 1)])
def test_an_access_point_that_moves_to_another_channel_is_missed_a_plan_that_goes_there_is_not(
    is_planned: bool, gaps: int
):
    """hostapd that starts anew on another channel: the second in which the channel changes has less than half the frames."""
    shell = Shell()
    shell.look(15)

    shell.look(frames=4, channel=11, channel_since_us=shell.now_us if is_planned else 0)
    shell.look(3, channel=11)

    assert len(shell.gaps_s) == gaps


def test_the_end_of_a_download_is_no_gap():
    """For half a minute somebody sends without a pause; then there are the beacons, as before."""
    shell = Shell()
    shell.look(20)
    shell.look(30, frames=900)

    shell.look(20)

    assert shell.gaps_s == [1]


def test_a_look_sooner_than_the_others_may_see_less():
    """Whoever stops the source has it look once more, a moment after the last time."""
    shell = Shell()
    shell.look(30)

    shell.now_us -= 950_000
    shell.look(frames=1)

    assert shell.gaps_s == [1]


def test_a_hop_to_a_quiet_channel_is_no_gap():
    """Beacons on channel 6 say nothing of channel 11."""
    shell = Shell()
    shell.look(30)

    shell.look(3, **SILENT, channel=11, channel_since_us=shell.now_us)
    shell.look(channel=11, **QUIET)

    assert shell.listened_us[11] == 4 * SECOND_US


def test_a_long_silence_is_not_listened_and_the_capture_is_opened_anew():
    """hostapd stops: the interface stays up, no error, nothing is heard until there is an access point again."""
    shell = Shell()
    shell.look(10)

    assert shell.look(60, **SILENT) is Condition.SILENT
    assert shell.look(10) is Condition.LISTENING
    assert shell.listened_s() == 9 + 9
    assert shell.gaps_s == [1, 61]
    assert [when for when, what in shell.done if what == "open"] == [21, 41]
    assert [when for when, what in shell.done if what == "ask"] == [26, 36, 56]


def test_pauses_between_tries_grow_to_five_minutes_and_no_further():
    shell = Shell()
    shell.look(10)
    shell.look(3600, **SILENT)

    opened = [when for when, what in shell.done if what == "open"]
    pauses = [after - before for before, after in pairwise(opened)]

    assert pauses[:5] == [20, 40, 80, 160, 300]
    assert set(pauses[4:]) == {300}


def test_tries_begin_anew_after_it_has_listened_again():
    shell = Shell()
    shell.look(5)
    shell.look(300, **SILENT)
    shell.look(5)
    shell.done.clear()

    shell.look(12, **SILENT)

    assert [what for _, what in shell.done] == ["open"]


def test_an_interface_that_goes_down_and_up_is_listened_on_again_without_opening():
    """The same socket hears again by itself."""
    shell = Shell()
    shell.look(10)

    assert shell.look(4, **DOWN, was_interrupted=True) is Condition.DOWN
    assert shell.look() is Condition.LISTENING
    assert shell.done == []
    assert shell.gaps_s == [1, 5]


def test_an_interface_that_comes_back_is_given_time_to_hear_something():
    """Down for a minute, up, and the first frame comes after five seconds: that is no silence yet."""
    shell = Shell()
    shell.look(10)
    shell.look(60, **DOWN)

    assert shell.look(5, **SILENT) is Condition.WAITING
    assert shell.look() is Condition.LISTENING
    assert "open" not in [what for _, what in shell.done]


def test_down_and_up_between_two_looks_is_a_gap():
    """Only the socket's error tells: the looks before and after it saw an interface that is up."""
    shell = Shell()
    shell.look(10)

    shell.look(was_interrupted=True)

    assert shell.listened_s() == 9
    assert shell.gaps_s == [1, 1]


def test_a_deleted_interface_is_closed_and_the_next_of_its_name_opened():
    shell = Shell()
    shell.look(10)

    assert shell.look(3, **GONE) is Condition.GONE
    shell.look(ifindex=SECOND, frames=0)
    assert shell.look(2, ifindex=SECOND) is Condition.LISTENING
    assert shell.done == [(11, "close"), (14, "open")]
    assert shell.gaps_s == [1, 5]


def test_deleted_and_made_again_between_two_looks_is_noticed_by_its_index():
    shell = Shell()
    shell.look(10)

    shell.look(ifindex=SECOND, frames=0)
    shell.look(ifindex=SECOND)

    assert shell.done == [(11, "open")]
    assert shell.gaps_s == [1, 2]


def test_opening_is_tried_at_every_look_until_it_works():
    shell = Shell()
    shell.look(10)
    shell.can_open = False
    shell.look(3, ifindex=SECOND, frames=0)
    shell.can_open = True
    shell.look(2, ifindex=SECOND)

    assert [when for when, what in shell.done if what == "open"] == [11, 12, 13, 14]
    assert shell.watch.condition is Condition.LISTENING


def test_an_interface_that_leaves_monitor_mode_is_closed_until_it_is_back():
    """It keeps its name and its index, only the link type tells; frames of another kind must not be read as ours."""
    shell = Shell()
    shell.look(10)

    assert shell.look(4, **MANAGED) is Condition.NOT_MONITOR
    assert shell.look(2) is Condition.LISTENING
    assert shell.done == [(11, "close"), (15, "open")]


@pytest.mark.parametrize("fault", [GONE, DOWN, MANAGED], ids=["gone", "down", "not monitor"])
def test_somebody_with_rights_is_asked_after_five_seconds(fault: dict[str, object]):
    shell = Shell()
    shell.look(10)
    shell.look(30, **fault)

    assert [when for when, what in shell.done if what == "ask"] == [16, 26]


def test_own_beacons_prove_that_a_quiet_shop_is_listened_to():
    """At night nobody else sends; a quarter of an hour of that is believed."""
    shell = Shell()
    shell.look(10)

    assert shell.look(900, **ONLY_OWN) is Condition.LISTENING
    assert shell.listened_s() == 909


def test_a_radio_that_hears_only_itself_for_too_long_is_deaf():
    """Its beacons go out and are shown to us; whether it still receives nobody knows."""
    shell = Shell()
    shell.look(10)

    assert shell.look(1000, **ONLY_OWN) is Condition.DEAF
    assert shell.listened_s() == 909
    assert {what for _, what in shell.done} == {"open", "ask"}
    assert shell.look() is Condition.LISTENING


def test_a_driver_that_counts_nothing_is_believed():
    shell = Shell()

    assert shell.look(2000, frames=10, received=None) is Condition.LISTENING


def test_time_is_booked_on_the_channel_that_it_was_spent_on():
    """A hop between two looks parts the second."""
    shell = Shell()
    shell.look(2, channel=1)
    hop_us = shell.now_us + 250_000

    shell.look(channel=6, channel_since_us=hop_us)
    shell.look(2, channel=6, channel_since_us=hop_us)

    assert shell.listened_us == {1: 1_250_000, 6: 2_750_000}


def test_a_stretch_in_which_nobody_looked_is_not_listened():
    """The process stood still for a minute; frames after it prove nothing of the time before."""
    shell = Shell()
    shell.look(10)
    shell.now_us += 60 * SECOND_US
    shell.look()

    assert shell.listened_s() == 9
    assert shell.gaps_s == [1, 61]


looks = st.lists(
    st.tuples(st.sampled_from([{}, GONE, DOWN, MANAGED, SILENT, ONLY_OWN, {"ifindex": SECOND}]), st.integers(1, 40)),
    max_size=20,
)


@given(story=looks)
def test_whatever_happens_listened_and_gaps_never_exceed_the_time_and_hearing_ends_every_fault(
    story: list[tuple[dict[str, object], int]],
):
    """Two seconds after an interface hears again, it is listened on, and every second is listened or in a gap."""
    shell = Shell()
    for changes, seconds in story:
        shell.look(seconds, **changes)
    shell.look(3)

    assert shell.watch.condition is Condition.LISTENING
    assert shell.listened_s() + sum(shell.gaps_s) == (shell.now_us - shell.start_us) / SECOND_US
