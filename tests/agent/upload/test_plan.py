"""What an answer means and when to ask again: pure, so tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.upload.backoff import Backoff
from agent.upload.plan import MAX_RETRY_AFTER_S, Answer, Verdict, decide

NAMED = {
    **dict.fromkeys((200, 202), Verdict.ACKNOWLEDGED),
    **dict.fromkeys((400, 413, 415, 422), Verdict.REFUSED),
    **dict.fromkeys((401, 403), Verdict.LOCKED_OUT),
    **dict.fromkeys((408, 429, 503, 507), Verdict.DEFERRED),
}


@pytest.mark.parametrize(("status", "verdict"), NAMED.items())
def test_a_status_means_what_the_wire_says(status: int, verdict: Verdict):
    """agent/wire/SPEC.md, section 7."""
    assert decide(status, None) == Answer(verdict)


@pytest.mark.parametrize("status", [s for s in range(100, 600) if s not in NAMED])
def test_any_other_status_loses_no_batch(status: int):
    """A proxy's page, a redirection, a captive portal's 204: none of them says that the batch is stored."""
    assert decide(status, None).verdict is Verdict.DEFERRED


@pytest.mark.parametrize(
    ("retry_after", "wish_s"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        (" 30 ", 30.0),
        ("3600", 3600.0),
        ("999999999999", MAX_RETRY_AFTER_S),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_the_clouds_wish_is_heard_within_an_hour(retry_after: str | None, wish_s: float | None):
    assert decide(503, retry_after) == Answer(Verdict.DEFERRED, wish_s)


def test_waits_double_up_to_the_longest_and_begin_anew_after_success():
    """``random`` at its highest, so the bound itself shows."""
    backoff = Backoff(1.0, 60.0, lambda: 0.999999)

    assert [round(backoff.failed()) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert backoff.failures == 9
    backoff.succeeded()
    assert (round(backoff.failed()), backoff.failures) == (1, 1)


@given(
    st.floats(0.05, 60),
    st.floats(60, 3600),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=200),
    st.none() | st.floats(0, 3600),
)
def test_a_wait_is_never_longer_than_the_bound_nor_shorter_than_the_wish(
    first_s: float, last_s: float, draws: list[float], wish_s: float | None
):
    chance = iter(draws)
    backoff = Backoff(first_s, last_s, lambda: next(chance))

    for n in range(len(draws)):
        wait_s = backoff.failed(wish_s)
        assert (wish_s or 0.0) <= wait_s <= (wish_s or 0.0) + min(last_s, first_s * 2.0 ** min(n, 64))


def test_access_points_that_failed_together_do_not_come_back_together():
    """Full jitter: the wait is drawn from the whole range, down to nothing."""
    waits = [Backoff(8.0, 60.0, lambda share=share: share / 100).failed() for share in range(100)]

    assert min(waits) == 0.0 and max(waits) > 7.9
    assert len(set(waits)) == 100
