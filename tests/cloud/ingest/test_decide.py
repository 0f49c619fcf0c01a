"""The pure decisions: which batches of which agents a site takes, in a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.batches import header

from agent.wire.errors import BatchMalformed, MessageMalformed, MessageTooLarge, VersionUnknown
from agent.wire.model import ClockState, LegalMode
from cloud.ingest.decide import Rejected, decide_header, reject_message

NOW_MS = 1_800_000_000_000
COUNT, DAY, CONSENT = LegalMode.COUNT, LegalMode.DAY, LegalMode.CONSENT


def decide(legal_mode: str = "day", allows_replay: bool = False, **changes):
    usual = {"window_start_ms": NOW_MS - 30_000, "window_end_ms": NOW_MS, "clock": ClockState.SYNCED}
    return decide_header(
        header(**usual | changes), agent="ap-test", site="shop", legal_mode=legal_mode, allows_replay=allows_replay, now_ms=NOW_MS
    )  # fmt: skip


@pytest.mark.parametrize(
    ("site", "taken", "refused"),
    [("count", [COUNT], [DAY, CONSENT]), ("day", [COUNT, DAY], [CONSENT]), ("consent", [COUNT, DAY, CONSENT], [])],
)
def test_a_site_takes_its_own_mode_and_those_that_say_less(site, taken, refused):
    assert all(decide(site, mode=mode) is None for mode in taken)
    assert all(decide(site, mode=mode).status == 422 for mode in refused)


@pytest.mark.parametrize("clock", [ClockState.SYNCED, ClockState.UNSYNCED])
@pytest.mark.parametrize(
    ("end_ms", "is_taken"),
    [(300_000, True), (300_001, False), (-7 * 86_400_000, True), (-7 * 86_400_000 - 1, False)],
)
def test_a_window_must_end_within_the_limits_of_the_clock(clock, end_ms, is_taken):
    decided = decide(clock=clock, window_end_ms=NOW_MS + end_ms, window_start_ms=NOW_MS + end_ms - 1)

    assert (decided is None) is is_taken


@pytest.mark.parametrize("end_ms", [-NOW_MS, -365 * 86_400_000, 0, 365 * 86_400_000])
def test_a_replay_may_be_of_any_time_where_the_site_takes_replays(end_ms):
    replayed = {"clock": ClockState.REPLAY, "window_end_ms": NOW_MS + end_ms}

    assert decide(allows_replay=True, **replayed) is None
    assert decide(allows_replay=False, **replayed).status == 422


def test_a_site_that_takes_replays_still_wants_a_live_agents_clock_set():
    assert decide(allows_replay=True, window_end_ms=NOW_MS + 301_000).status == 422


@pytest.mark.parametrize(("changes", "status"), [({"agent": "ap-2"}, 400), ({"site": "other"}, 422)])
def test_a_batch_must_name_the_agent_that_signed_it_and_that_agents_site(changes, status):
    assert decide(**changes).status == status


@pytest.mark.parametrize(
    ("error", "status"), [(MessageTooLarge, 413), (MessageMalformed, 400), (BatchMalformed, 400), (VersionUnknown, 400)]
)
def test_what_cannot_be_opened_is_malformed_or_too_large(error, status):
    assert reject_message(error("why")) == Rejected(status, "why")


@given(st.integers(0, 1 << 47), st.sampled_from(ClockState), st.sampled_from(LegalMode), st.booleans())
def test_every_header_is_taken_or_refused_with_a_reason(end_ms, clock, mode, allows_replay):
    decided = decide(allows_replay=allows_replay, window_end_ms=end_ms, clock=clock, mode=mode)

    assert decided is None or (decided.status == 422 and decided.reason)
