"""A day beside the same weekday of the weeks before (core).

Compared is with the mean of the last ``DAYS`` such days that have a figure. Where that mean lies inside the figure's interval nothing is
claimed: the page then says that the day is much as the others were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta

from cloud.domain.publish import Figure

DAYS = 4
WEEKS = 8
"""How far back those days are looked for."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure beside the mean of the days before; ``share`` is 0.12 for 12 % more, None where the mean is zero."""

    mean: float
    days: int
    share: float | None
    is_alike: bool


def same_weekdays(date: str) -> list[str]:
    """The same weekday of the ``WEEKS`` weeks before, newest first."""
    day = Date.fromisoformat(date)
    return [(day - timedelta(weeks=week)).isoformat() for week in range(1, WEEKS + 1)]


def compare(figure: Figure | None, before: Sequence[float | None]) -> Comparison | None:
    """``before``: the values of the same weekdays, newest first; None where a day has none to show. None without any."""
    known = [value for value in before if value is not None][:DAYS]
    if figure is None or figure.value is None or not known:
        return None
    mean = sum(known) / len(known)
    low, high = figure.low, figure.high
    is_alike = low is not None and high is not None and low <= mean <= high
    return Comparison(mean, len(known), figure.value / mean - 1 if mean else None, is_alike)


def values_of(days: Iterable[dict[str, Figure]], metric: str) -> list[float | None]:
    """One metric of several days."""
    return [day[metric].value if metric in day else None for day in days]
