"""From devices to people: a store's factor, fitted to a few counts by hand, with its uncertainty (core).

Some people carry two phones, some none, some phones never scan: how many people stand behind a device differs from store to store and is
nowhere known beforehand. So it is counted by hand a few times, and the factor is people / devices over all counts. Its interval comes
from how far the single counts lie beside that line: of few counts the scatter itself is hardly known, so it begins at what chance alone
would do (as much as FREEDOM_BEFORE counts say) and Student's t takes the place of the normal distribution.

Source: W. G. Cochran, Sampling Techniques, 3rd edition, 6.3 (ratio estimator); t quantiles after Abramowitz and Stegun, 26.7.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from csv import DictReader
from csv import Error as CsvError
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from math import exp, hypot, log, sqrt

from cloud.domain.intervals import Z90, Interval
from cloud.domain.site import QUARTER_S, Site

COLUMNS = ("date", "from", "to", "people")
FEWEST = 30
"""People counted, and devices heard meanwhile: with fewer of either the factor could be anything."""
FREEDOM_BEFORE = 4
"""Counts that the scatter of chance is worth before any was made."""
MOST_COUNTS = 10_000
UNUSUAL = 5.0
"""A factor beyond this, or below its inverse, is sooner a mistake in the file than a store."""
WIDE_SCATTER = 3.0
"""Times the scatter of chance, from which on the factor itself seems to differ from hour to hour."""


class CountsError(ValueError):
    """The counts cannot be used. The message names line, value and what is allowed."""


@dataclass(frozen=True, slots=True)
class HandCount:
    """So many people came in from ``start_ms`` to ``end_ms`` (epoch ms, on quarter-hours of the store)."""

    start_ms: int
    end_ms: int
    people: int


@dataclass(frozen=True, slots=True)
class Factor:
    """People for each device, with a 90 % interval, and what it was fitted to."""

    value: float
    low: float
    high: float
    counts: int
    people: int
    devices: float
    scatter: float
    """Variance of the counts around the line, as a multiple of what chance alone would do; of one count it is 1, as nothing is known."""


def read_counts(lines: Iterable[str], site: Site) -> list[HandCount]:
    """The counts of a CSV file with the columns of COLUMNS, times of the store. Raises CountsError."""
    reader = DictReader(line for line in lines if line.strip() and not line.startswith("#"))
    try:
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise CountsError(f"the first line must be {','.join(COLUMNS)}")
        counts = [_count(row, number, site) for number, row in enumerate(reader, start=1)]
    except CsvError as error:
        raise CountsError(f"is no CSV ({error}); a count is one line, such as 2026-11-20,10:00,10:30,41") from error
    if not 0 < len(counts) <= MOST_COUNTS:
        raise CountsError(f"{len(counts)} counts; use 1 to {MOST_COUNTS}")
    counts.sort(key=lambda count: count.start_ms)
    for before, after in pairwise(counts):
        if after.start_ms < before.end_ms:
            raise CountsError("two counts overlap; people would count twice")
    return counts


def _count(row: dict[str, str], number: int, site: Site) -> HandCount:
    try:
        day = date.fromisoformat(row["date"].strip())
        start_ms, end_ms = (_time_ms(day, row[name].strip(), site) for name in ("from", "to"))
        people = int(row["people"])
    except (ValueError, AttributeError, TypeError) as error:
        raise CountsError(
            f"count {number}: use a date as 2026-11-20, times of the store as 10:00 and 10:30, a whole number of people"
        ) from error
    if start_ms % (QUARTER_S * 1000) or end_ms % (QUARTER_S * 1000) or not start_ms < end_ms:
        raise CountsError(
            f"count {number}: from {row['from']} to {row['to']}; begin and end on a quarter-hour, the end later"
        )
    if not 0 <= people < 1_000_000:
        raise CountsError(f"count {number}: {people} people; use 0 or more")
    return HandCount(start_ms, end_ms, people)


def _time_ms(day: date, clock: str, site: Site) -> int:
    """24:00 is the end of the day. Raises ValueError, also for a time that names its own zone: it is always the store's."""
    if clock == "24:00":
        day, clock = day + timedelta(days=1), "00:00"
    at = time.fromisoformat(clock)
    if at.tzinfo is not None:
        raise ValueError("a time of another zone")
    return round(datetime.combine(day, at, site.zone()).timestamp() * 1000)


def fit_factor(pairs: Sequence[tuple[int, float]]) -> Factor:
    """The factor of (people counted, devices heard meanwhile). Raises CountsError where they are too few.

    Were each count a matter of chance alone, the squared distance of a count from factor x devices would be between factor - 1 times the
    people (every device a person) and factor + 1 times (no device anybody's): it is taken as factor times before anything is known.
    """
    people, devices = sum(p for p, _ in pairs), sum(d for _, d in pairs)
    if people < FEWEST or devices < FEWEST:
        raise CountsError(
            f"{people} people counted and {devices:.0f} devices heard; at least {FEWEST} of each are needed: count longer"
        )
    factor, freedom = people / devices, len(pairs) - 1
    squares = sum((p - factor * d) ** 2 for p, d in pairs) * len(pairs) / people
    scatter = (FREEDOM_BEFORE * factor + squares) / (FREEDOM_BEFORE + freedom)
    reach = exp(t90(FREEDOM_BEFORE + freedom) * sqrt(scatter / people))
    return Factor(
        factor,
        factor / reach,
        factor * reach,
        len(pairs),
        people,
        devices,
        squares / freedom / factor if freedom else 1.0,
    )


def t90(freedom: int) -> float:
    """Quantile of Student's t, 5 % above. Within 0.003 from 4 degrees of freedom on."""
    z = Z90
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2) + third


def people_of(devices: Interval, factor: Factor) -> Interval:
    """People behind a figure of devices: both doubts are independent, so the squares of their shares add. 0 devices are 0 people."""
    if devices.value <= 0:
        return Interval(0.0, 0.0, devices.high * factor.high)
    value = devices.value * factor.value
    below = hypot(log(devices.value / max(devices.low, 1e-9)), log(factor.value / factor.low))
    above = hypot(log(devices.high / devices.value), log(factor.high / factor.value))
    return Interval(value, value * exp(-below), value * exp(above))
