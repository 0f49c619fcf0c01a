"""Every frame is accounted for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ledger import SKIP_REASONS, Ledger
from agent.wire.model import LedgerCounts

milliseconds = st.dictionaries(st.integers(0, 14), st.integers(1, 5_000_000), max_size=5)


def test_close_gives_what_was_counted_and_starts_anew():
    ledger = Ledger()
    ledger.frames, ledger.probe_requests, ledger.evicted_batches = 5, 2, 1
    for reason in ("not_probe_request", "bad_fcs", "not_probe_request"):
        ledger.skip(reason)
    ledger.listen(6, 700)
    ledger.listen(1, 200)
    ledger.listen(6, 100)
    ledger.lose("kernel_drops", 4)
    ledger.lose("kernel_drops", 3)

    assert ledger.close(rssi_rejected=3, fcs_unflagged=2, evicted_tracks=9) == LedgerCounts(
        5, 2, {"bad_fcs": 1, "not_probe_request": 2}, 7, 3, 2, {1: 200, 6: 800}, 1, 9
    )
    assert ledger.close() == LedgerCounts(0, 0)


def test_a_ledger_that_does_not_close_is_an_error_of_ours():
    ledger = Ledger()
    ledger.frames = 3
    ledger.probe_requests = 1
    ledger.skip("bad_fcs")

    with pytest.raises(AssertionError, match="3 frames, 1 probe requests, 1 skipped"):
        ledger.close()


@pytest.mark.parametrize("nothing", [0, -5])
def test_no_time_and_no_loss_are_no_entries(nothing: int):
    ledger = Ledger()
    ledger.listen(6, nothing)
    ledger.lose("kernel_drops", nothing)

    assert ledger.close() == LedgerCounts(0, 0)


@given(st.lists(st.tuples(milliseconds, st.integers(0, 5_000_000)), max_size=5))
def test_no_batch_listened_longer_than_it_lasted_and_no_millisecond_is_lost(batches: list[tuple[dict[int, int], int]]):
    ledger, told = Ledger(), {}
    for listened, window_ms in batches:
        for channel, duration_ms in listened.items():
            ledger.listen(channel, duration_ms)
        counts = ledger.close(window_ms=window_ms)
        assert sum(counts.listening_ms.values()) <= window_ms
        assert all(duration_ms > 0 for duration_ms in counts.listening_ms.values())
        for channel, duration_ms in counts.listening_ms.items():
            told[channel] = told.get(channel, 0) + duration_ms
    for channel, duration_ms in ledger.close().listening_ms.items():
        told[channel] = told.get(channel, 0) + duration_ms

    assert told == {c: s for c in range(15) if (s := sum(listened.get(c, 0) for listened, _ in batches))}


def test_no_reason_stands_twice():
    assert len(set(SKIP_REASONS)) == len(SKIP_REASONS)
