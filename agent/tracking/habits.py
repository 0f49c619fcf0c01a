"""The habits of a family of identical phones, learned from the air without labels (core).

Two habits tell identical phones apart where a phone has them, and neither can be known beforehand:

- its sequence counter runs on from scan to scan, under one address or even over a change of address. Learned from how often
  the nearest counter before a scan is nearer than chance;
- it scans by a timer. Learned from lags that occur twice in a row (t, t + lag, t + 2 lag): two timers of one period give other
  lags between each other, but these do not repeat.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import exp, log

from agent.tracking.scans import Scan

SECOND_US = 1_000_000
COUNTER_MODULUS = 4096
HORIZON_US = 400 * SECOND_US
"""A counter is looked for in scans no older than this, and in no more than CANDIDATES of them."""
CANDIDATES = 8
NEAR = 100.0
"""Frames that a phone sends between two scans heard, where it is not learned yet."""
FAR = 10 * NEAR
"""A step that no phone takes between two scans heard."""
STRAY = 0.05
"""Share of scans at which a kept counter jumps all the same: other traffic, a restarted radio."""
PRIOR_ODDS_SAME, PRIOR_ODDS_CHANGE = 0.5, -1.0
"""Log odds, before any was heard, that a counter runs on under one address, and over a change of address: all but a few phones
do the first, half of 33 the second."""

TOLERANCE_S = 0.6
"""A timer keeps to its lag within this."""
SHORTEST_LAG_S, LONGEST_LAG_S = 10.0, 330.0
"""Lags looked for. Shorter ones are scans of one burst of activity."""
FEWEST_REPEATS = 3
TIMES_CHANCE = 2.0
MOST_OMEGA = 0.9
SKIPPED_COST = 1.0
"""The timer's last scan was not the last scan, but the one before or before that."""


def runs_on(step: int, candidates: int) -> float:
    """Log odds (nats) for a counter that runs on, where the nearest of ``candidates`` counters before a scan was ``step`` behind it.

    ``candidates`` are CANDIDATES at most. Beyond FAR it was none of them, and that all are so far is no wonder: a model that begins each
    scan at one number is 4,095 "behind" itself.
    """
    if step > FAR:
        return log(0.1)
    by_chance = candidates / COUNTER_MODULUS * (1.0 - step / COUNTER_MODULUS) ** (candidates - 1)
    return log((0.9 * exp(-step / NEAR) / NEAR + 0.1 * by_chance) / by_chance)


class CounterHabit:
    """Whether a counter runs on, and by how much. ``score`` is a log likelihood ratio against chance."""

    __slots__ = ("_odds", "_steps", "is_kept", "scale")

    def __init__(self, prior_odds: float) -> None:
        self._odds = prior_odds
        self._steps: list[int] = []
        self.is_kept = False
        self.scale = NEAR

    def hear(self, step: int, candidates: int) -> None:
        """The nearest of ``candidates`` counters before a scan was ``step`` behind it."""
        self._odds += runs_on(step, candidates)
        self._steps.append(step)

    def settle(self) -> None:
        """All was heard: decide."""
        steps = sorted(self._steps)
        self.is_kept = self._odds > 0.0
        self.scale = max(24.0, min(256.0, 1.5 * steps[len(steps) // 2])) if steps else 60.0

    def score(self, before: Scan, after: Scan) -> float:
        """How much better than chance ``after`` continues the counter of ``before``; 0 where the family does not keep it."""
        if not self.is_kept or before.sequence_last is None or after.sequence_first is None:
            return 0.0
        step = (after.sequence_first - before.sequence_last) % COUNTER_MODULUS
        gap_s = max(0, after.first_us - before.last_us) / SECOND_US
        scale = self.scale * (1.0 + gap_s / 120.0)
        return log((1.0 - STRAY) * exp(-step / scale) / scale * COUNTER_MODULUS + STRAY)


class Rhythm:
    """The lags of one kind of scan. ``score`` is a log likelihood ratio against scans at any time."""

    __slots__ = ("_gain", "_highs", "_lows", "_miss", "omega")

    def __init__(self, times_s: Sequence[float]) -> None:
        self._lows: list[float] = []
        self._highs: list[float] = []
        self.omega = 0.0
        """Share of scans that come by the timer, 0 where none was found."""
        if len(times_s) > FEWEST_REPEATS:
            self._learn(times_s)

    def _learn(self, times: Sequence[float]) -> None:
        rate = len(times) / max(1.0, times[-1] - times[0])
        for lag in _repeated_lags(times, rate):
            if self._highs and lag - self._highs[-1] <= 1.5 * TOLERANCE_S:
                self._highs[-1] = lag + TOLERANCE_S / 2
            else:
                self._lows.append(lag - TOLERANCE_S / 2)
                self._highs.append(lag + TOLERANCE_S / 2)
        width = sum(self._highs) - sum(self._lows)
        share = sum(1 for n in range(len(times)) if self._came_by_timer(times, n)) / len(times)
        if width and share > TIMES_CHANCE * (1.0 - exp(-rate * width)) + 0.1:
            self.omega = omega = min(MOST_OMEGA, share)
            self._miss = log(1.0 - omega)
            self._gain = log(1.0 - omega + omega * LONGEST_LAG_S / max(width, TOLERANCE_S))

    def _came_by_timer(self, times: Sequence[float], n: int) -> bool:
        return any(self._is_lag(times[n] - time) for time in times[max(0, n - 80) : n])

    def _is_lag(self, seconds: float) -> bool:
        place = bisect_left(self._highs, seconds)
        return place < len(self._lows) and self._lows[place] <= seconds

    def score(self, earlier_s: Sequence[float], time_s: float) -> float | None:
        """How well a scan at ``time_s`` fits a device that scanned at ``earlier_s``; None where it is part of the last scan."""
        gap = time_s - earlier_s[-1]
        if gap < SAME_SCAN_S:
            return None
        if gap > LONGEST_LAG_S:
            return 0.0
        if self._is_lag(gap):
            return self._gain
        if any(self._is_lag(time_s - time) for time in earlier_s[-3:-1]):
            return self._miss + self._gain - SKIPPED_COST
        return self._miss


SAME_SCAN_S = 3.0


def _repeated_lags(times: Sequence[float], rate: float) -> list[float]:
    """Lags from one scan to a later one that are followed by the same lag again, well above chance. Sorted."""
    lags, repeated = [], []
    for n, start in enumerate(times):
        for middle in times[n + 1 : n + 80]:
            lag = middle - start
            if lag > LONGEST_LAG_S:
                break
            if lag < SHORTEST_LAG_S:
                continue
            lags.append(lag)
            place = bisect_left(times, middle + lag - TOLERANCE_S)
            if place < len(times) and times[place] <= middle + lag + TOLERANCE_S:
                repeated.append(lag)
    lags.sort()
    repeated.sort()
    return [lag for lag in repeated if _is_beyond_chance(lag, lags, repeated, rate)]


def _is_beyond_chance(lag: float, lags: Sequence[float], repeated: Sequence[float], rate: float) -> bool:
    def near(sorted_lags: Sequence[float]) -> int:
        return bisect_left(sorted_lags, lag + TOLERANCE_S) - bisect_left(sorted_lags, lag - TOLERANCE_S)

    by_chance = near(lags) * rate * 2.0 * TOLERANCE_S
    repeats = near(repeated)
    return repeats >= FEWEST_REPEATS and repeats > TIMES_CHANCE * by_chance + 0.5


class Habits:
    """What was learned of one family: its counter under one address and over a change of address, and its rhythms by kind."""

    __slots__ = ("change", "rhythms", "same")

    def __init__(self, scans: Sequence[Scan]) -> None:
        self.same = CounterHabit(PRIOR_ODDS_SAME)
        self.change = CounterHabit(PRIOR_ODDS_CHANGE)
        for n in range(len(scans)):
            self._hear_counters(scans, n)
        self.same.settle()
        self.change.settle()
        self.rhythms = _rhythms(scans)

    def _hear_counters(self, scans: Sequence[Scan], n: int) -> None:
        scan = scans[n]
        same: list[int] = []
        change: list[int] = []
        is_continued = False
        for before in reversed(scans[max(0, n - 4 * CANDIDATES) : n]):
            if scan.first_us - before.last_us > HORIZON_US:
                break
            if scan.sequence_first is None or before.sequence_last is None:
                continue
            step = (scan.sequence_first - before.sequence_last) % COUNTER_MODULUS
            if shares_address(before, scan):
                is_continued = True
                same.append(step)
            elif not is_continued:
                change.append(step)
            if len(same) + len(change) >= CANDIDATES:
                break
        if same:
            self.same.hear(min(same), len(same))
        elif change:
            self.change.hear(min(change), len(change))

    def counter_score(self, before: Scan, after: Scan) -> float:
        """How much better than chance ``after`` continues the counter of ``before``."""
        return (self.same if shares_address(before, after) else self.change).score(before, after)


def shares_address(one: Scan, other: Scan) -> bool:
    """True where both used one address."""
    return one.addresses[0] == other.addresses[0] or not set(one.addresses).isdisjoint(other.addresses)


def _rhythms(scans: Sequence[Scan]) -> dict[int, Rhythm]:
    """Kind -> its rhythm, for the kinds that have one."""
    times: dict[int, list[float]] = {}
    for scan in scans:
        of_kind = times.setdefault(scan.kind, [])
        time_s = scan.first_us / SECOND_US
        if not of_kind or time_s - of_kind[-1] > SAME_SCAN_S:
            of_kind.append(time_s)
    rhythms = {kind: Rhythm(of_kind) for kind, of_kind in times.items()}
    return {kind: rhythm for kind, rhythm in rhythms.items() if rhythm.omega}
