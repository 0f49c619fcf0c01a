"""Hours in the place of quarter-hours, for days on which few come (core).

They are put together of what may be shown of the quarter-hours and of nothing else, so they tell nothing that those do not: a hidden one
is taken for 0 to 4, and so wide does the hour's interval become. A larger one that is hidden with small ones can be more; on days on which
few come that is rare, and the page says what it takes for granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cloud.domain.publish import ADDITIVE, HIDDEN_MIDDLE, Figure, K
from cloud.domain.site import QUARTER_S

FULL = 4
HOUR_S = FULL * QUARTER_S
MOST_HIDDEN = K - 1.0


def is_sparse(figures: Iterable[Figure]) -> bool:
    """True where of the quarter-hours in which anybody came more are hidden than shown."""
    told = [(figure.is_hidden, bool(figure.value)) for figure in figures]
    return sum(is_hidden for is_hidden, _ in told) > sum(is_shown for _, is_shown in told)


def can_be_small(figures: Sequence[Figure], whole: Figure | None) -> bool:
    """False where the day's figure leaves more for the hidden quarter-hours of an additive metric than so many small ones can hold.

    Then a larger one is among them, and an hour that takes each for 0 to 4 would be untrue. Made of what is shown, so it tells nothing.
    """
    if whole is None or whole.value is None:
        return True
    left = whole.value - sum(figure.value or 0.0 for figure in figures)
    return left <= MOST_HIDDEN * sum(figure.is_hidden for figure in figures)


def hour_starts(starts_ms: Iterable[int], zone: ZoneInfo) -> list[int]:
    """The hours, by the store's clock, that quarter-hours lie in; in order."""
    return sorted({_hour_of(start_ms, zone) for start_ms in starts_ms})


def by_hour(figures: Sequence[Figure], zone: ZoneInfo) -> list[Figure]:
    """The hours of one metric of which every quarter-hour was heard: sums of arrivals, means of anything else."""
    hours: dict[int, list[Figure]] = {}
    for figure in figures:
        if figure.value is not None or figure.is_hidden:
            hours.setdefault(_hour_of(figure.start_ms or 0, zone), []).append(figure)
    return [_hour(start_ms, found) for start_ms, found in sorted(hours.items()) if len(found) == FULL]


def _hour(start_ms: int, quarters: list[Figure]) -> Figure:
    metric, hidden = quarters[0].metric, sum(figure.is_hidden for figure in quarters)
    known = [figure.coverage for figure in quarters if figure.coverage is not None]
    coverage = sum(known) / len(known) if known else None
    if hidden and not any(figure.value for figure in quarters) and (hidden == 1 or metric not in ADDITIVE):
        # All that is known of a mean is again: fewer than five. Of one quarter-hour of arrivals not even that is.
        return Figure(metric, None, None, None, coverage, True, start_ms, is_small=metric not in ADDITIVE)
    parts = 1 if metric in ADDITIVE else FULL
    low = sum(figure.low or 0.0 for figure in quarters)
    high = sum(MOST_HIDDEN if figure.is_hidden else figure.high or 0.0 for figure in quarters)
    value = sum(HIDDEN_MIDDLE if figure.is_hidden else figure.value or 0.0 for figure in quarters)
    return Figure(metric, value / parts, low / parts, high / parts, coverage, False, start_ms)


def _hour_of(start_ms: int, zone: ZoneInfo) -> int:
    """The offset to UTC may be a half or a quarter of an hour, so the clock decides."""
    local = datetime.fromtimestamp(start_ms / 1000, zone)
    return start_ms - (local.minute * 60 + local.second) * 1000
