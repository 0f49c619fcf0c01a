"""Whatever happens to the monitor interface or to hostapd beside it, capture resumes, and the ledger says what was not heard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.radio import Result, Results, events, listened_s, total

FAULTS = {
    "down": "down",
    "deleted": "gone",
    "replaced": None,
    "managed": "not_monitor",
    "hostapd_stop": "silent",
    "hostapd_restart": None,
    "hostapd_moves": None,
}
"""Scenario -> what the agent holds the interface for while the fault lasts; None where that passes too fast to be asked."""
RESUMES_WITHIN_S = 10.0
LOOK_S = 1.0


@pytest.fixture(scope="module")
def faults(rig: Callable[..., Results]) -> Results:
    return rig(*FAULTS, timeout_s=900)


def resumed_s(result: Result) -> float:
    """When the agent's log says that it listened again, in seconds after the fault ended."""
    return float(events(result, "monitor_listened_again")[-1]["at"] - result["ended"])


def gap_s(result: Result) -> float:
    """How long the agent's log says that it did not listen."""
    return float(events(result, "monitor_listened_again")[-1]["gap_ms"] / 1000)


def missing_s(result: Result) -> float:
    """Seconds that the ledgers do not say were listened; without the first batch, in which the agent starts."""
    return sum(batch["end"] - batch["start"] - listened_s(batch) for batch in result["batches"][1:])


@pytest.mark.parametrize("scenario", FAULTS)
def test_capture_resumes_within_ten_seconds(faults: Results, scenario: str):
    result = faults[scenario]
    healthy = [batch for batch in result["batches"][:-1] if batch["end"] > result["ended"] + RESUMES_WITHIN_S]

    assert resumed_s(result) <= RESUMES_WITHIN_S
    assert result["after"]["condition"] == "listening"
    assert all(batch["frames"] > 0 for batch in healthy)


@pytest.mark.parametrize("scenario", [name for name in FAULTS if name != "hostapd_moves"])
def test_the_gap_is_missing_from_the_listening_time(faults: Results, scenario: str):
    """As long as the fault, up to the second before a look and the second after it. And once in a run the ledger falls behind by a second,
    when a look comes just after the end of a window and not just before it."""
    result = faults[scenario]
    silent_s = gap_s(result)

    assert silent_s >= min(result["ended"] - result["began"], 1.0)
    assert silent_s - 1.5 * LOOK_S <= missing_s(result) <= silent_s + 2 * LOOK_S


@pytest.mark.parametrize(("scenario", "condition"), [item for item in FAULTS.items() if item[1]])
def test_the_agent_says_what_became_of_the_interface(faults: Results, scenario: str, condition: str):
    result = faults[scenario]

    assert result["during"]["condition"] == condition
    assert condition in [event["condition"] for event in events(result, "monitor_lost")]


@pytest.mark.parametrize("scenario", FAULTS)
def test_no_frame_of_another_kind_is_taken_for_ours(faults: Results, scenario: str):
    """Not even while the interface is no monitor."""
    assert total(faults[scenario], "frames") == total(faults[scenario], "probe_requests")
    assert faults[scenario]["exit"] == 0


def test_listening_time_follows_the_access_point_to_another_channel(faults: Results):
    """hostapd went from channel 6 to 11 and back; the monitor beside it went along, and nobody told the agent."""
    channels = {int(channel) for batch in faults["hostapd_moves"]["batches"] for channel in batch["listening_ms"]}

    assert {6, 11} <= channels <= {0, 6, 11}
