"""Whatever happens to the monitor interface or to hostapd beside it, capture resumes, and the ledger says what was not heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.radio import Result, Results, events, listened_s, said_again, total

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
SENT_PER_S, WINDOW_S = 20, 5
LOOK_S = 1.0


@pytest.fixture(scope="module")
def faults(rig: Callable[..., Results], request: pytest.FixtureRequest) -> Results:
    """All of them, or those that the tests chosen (`-k down`) ask for."""
    chosen = {item.callspec.params.get("scenario") for item in request.session.items if hasattr(item, "callspec")}
    return rig(*(name for name in FAULTS if name in chosen), timeout_s=1200)


def healthy(result: Result) -> list[dict[str, Any]]:
    """The batches that began after capture had resumed; without the last, which the end of the run cuts short."""
    return [batch for batch in result["batches"][:-1] if batch["start"] >= result["ended"] + result["heard_again_s"]]


def gaps_s(result: Result) -> float:
    """How long the agent's log says that it did not listen; without the first gap, in which the agent starts."""
    return sum(event["gap_ms"] for event in events(result, "monitor_listened_again")[1:]) / 1000


def missing_s(result: Result) -> float:
    """Seconds that the ledgers do not say were listened; without the first batch, in which the agent starts."""
    return sum(batch["end"] - batch["start"] - listened_s(batch) for batch in result["batches"][1:])


@pytest.mark.parametrize("scenario", FAULTS)
def test_capture_resumes_within_ten_seconds(faults: Results, scenario: str):
    """Probe requests count as heard when the agent has counted more of them; that it says so too is of its log."""
    result = faults[scenario]

    assert result["heard_again_s"] is not None
    assert result["heard_again_s"] <= RESUMES_WITHIN_S
    assert said_again(result)["at"] - result["ended"] <= RESUMES_WITHIN_S
    assert result["after"]["condition"] == "listening"
    assert healthy(result)
    assert all(batch["frames"] >= SENT_PER_S * WINDOW_S / 2 for batch in healthy(result))


@pytest.mark.parametrize("scenario", [name for name in FAULTS if name != "hostapd_moves"])
def test_the_gap_is_missing_from_the_listening_time(faults: Results, scenario: str):
    """As long as the fault, up to the second before a look and the second after it. And once in a run the ledger falls behind by a second,
    when a look comes just after the end of a window and not just before it."""
    result = faults[scenario]

    assert said_again(result)["gap_ms"] / 1000 >= min(result["ended"] - result["began"], 1.0)
    assert gaps_s(result) - 1.5 * LOOK_S <= missing_s(result) <= gaps_s(result) + 2 * LOOK_S


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


@pytest.mark.parametrize("scenario", ["hostapd_moves"])
def test_listening_time_follows_the_access_point_to_another_channel(faults: Results, scenario: str):
    """hostapd went from channel 6 to 11 and back; the monitor beside it went along, and nobody told the agent."""
    channels = {int(channel) for batch in faults[scenario]["batches"] for channel in batch["listening_ms"]}

    assert {6, 11} <= channels <= {0, 6, 11}
