"""Every probe request on the air is in the ledger, as heard or with the reason why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.radio import Results, total


@pytest.fixture(scope="module")
def rates(rig: Callable[..., Results]) -> Results:
    return rig("rate_300", "rate_1000", timeout_s=600)


def heard(result: dict[str, Any]) -> int:
    """Probe requests and frames skipped, which the ledger's law says are all frames."""
    return total(result, "probe_requests") + sum(sum(batch["skipped"].values()) for batch in result["batches"])


@pytest.mark.parametrize("scenario", ["rate_300", "rate_1000"])
def test_every_probe_request_sent_is_heard_or_dropped_with_a_reason(rates: Results, scenario: str):
    """For 60 s, by 400 addresses. The interface's own counter says that the air lost none."""
    result = rates[scenario]

    assert result["delivered"] == result["sent"]
    assert heard(result) == total(result, "frames")
    assert heard(result) + total(result, "kernel_drops") == result["sent"]


def test_none_of_300_a_second_is_dropped(rates: Results):
    result = rates["rate_300"]

    assert total(result, "kernel_drops") == 0
    assert total(result, "probe_requests") == result["sent"] == 18_000


@pytest.mark.parametrize("scenario", ["rate_300", "rate_1000"])
def test_a_stopped_agent_has_handed_everything_over(rates: Results, scenario: str):
    """It ends by itself after SIGTERM, and its batches are in the spool."""
    result = rates[scenario]

    assert result["exit"] == 0
    assert total(result, "evicted_batches") == 0
    assert result["events"][-1]["event"] == "agent_stopped"
