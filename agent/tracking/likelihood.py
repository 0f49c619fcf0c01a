"""How well a set of scans is explained by one device (core).

The log evidence of a set is a sum of what each habit says; joining two sets is worth the evidence of both together less that
of each. Constants are in natural logarithms (nats) or decibels; docs/adr/0005-tracking.md says where each comes from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from math import exp, lgamma, log, pi

from agent.dot11.mac import is_randomised
from agent.tracking.habits import Habits
from agent.tracking.scans import TOUCH_US, Scan

SECOND_US = 1_000_000

DEVICE_COST = 4.0
"""A device more is less likely by this before any was heard: one is expected in MARGIN_S * exp(DEVICE_COST), 14 hours."""
PRESENCE_WEIGHT = 0.95
"""Of what the number of scans in a stay says, taken a little less than whole: scans are not quite random."""
MARGIN_S = 900.0
"""Who was heard once was about for so long: the gap that ends a visit."""

LEVEL_RANGE_COST = 3.7
"""log(40): a device not heard before may have any level in a range of 40 dB."""
STILL_VARIANCE = 1.2
"""Of the strongest level of a still phone, dB^2."""
QUANTUM_VARIANCE = 0.6
"""Drivers report levels in steps of 1 or 2 dB."""
VARIANCE_WEIGHT = 6
"""Scans that the variance above is worth; a device's own takes over with more."""
MEMORY_SCANS = 6.0
"""The level expected is about the mean of so many last scans: people move."""
MOST_DEGREES = 60
"""Scans from which on older ones count for less and less."""
STUDENT = (0.0, *(lgamma((n + 1) / 2) - lgamma(n / 2) - 0.5 * log(n * pi) for n in range(1, MOST_DEGREES + 1)))
"""Logarithm of a Student density's constant, by degrees of freedom."""
WEAKER_COST, STRONGER_COST, FURTHER_COST = -7.0, -12.0, -2.0
"""At most this for a scan of which only leaked frames were heard (weaker), for the opposite, and for each further radio."""
NOWHERE = -1000.0
"""No stray level to remember."""
MOVED_WITHIN_DB, MOVED_COST = 4.0, 1.0
"""Two scans far off that agree within this are no accident: somebody took the phone elsewhere. What that costs beside the first of them."""

ADDRESS_COST = 10.0
"""For each address of a device: two sets that share one have it in common. About log(20,000)."""
RETURN_COST = 4.0
"""A phone rarely goes back to an address after it used another."""
GLOBAL_COST = 200.0
"""Two global addresses are two devices."""
BOTH_COST = 15.0
"""A phone that shows its global address rarely hides it in the same hour."""
SHARED_ADDRESS = bytes.fromhex("020000000000")
"""Some phones send with this placeholder in place of an address. Source: Android 6.0 Changes, "Access to Hardware Identifier"."""
OVERLAP_COST = 8.0
"""A radio sends one frame at a time."""
HARDWARE_COST = 50.0
"""One phone names one hardware. Two that were named under one address are taken for one beforehand."""
KIND_COST = 1.5
"""A phone that uses a further kind of scan."""


def log_evidence(scans: Sequence[Scan], habits: Habits, variance: float = STILL_VARIANCE) -> float:
    """Log evidence (nats) that ``scans``, in order of time, are one device. ``variance`` of levels in dB^2."""
    evidence = presence(len(scans), scans[0].first_us, scans[-1].first_us) - DEVICE_COST
    evidence += _levels(scans, variance) + _addresses(scans)
    if len(scans) > 1:
        evidence += _succession(scans, habits) + _kinds(scans)
        if habits.rhythms:
            evidence += _rhythm(scans, habits)
    return evidence


def presence(number: int, first_us: int, last_us: int) -> float:
    """Log evidence of so many scans of one device within its own stay, whatever its rate.

    The rate's prior is 1 / rate, so nothing is presumed of it: integrated over, n scans in T seconds have Gamma(n) / T^n.
    """
    stay_s = (last_us - first_us) / SECOND_US
    return PRESENCE_WEIGHT * (lgamma(number) - number * log(1.0 + stay_s / MARGIN_S))


def arrivals(number: int, span_s: float) -> float:
    """Log evidence of so many devices of a family in a time, beside DEVICE_COST for each: where many come, one more is no surprise.

    The rate at which they come has an exponential prior with the mean that DEVICE_COST stands for; integrated over, k devices in T seconds
    have k! / (1 + T / mean)^k.
    """
    return lgamma(number + 1) - number * log(1.0 + span_s / (MARGIN_S * exp(DEVICE_COST)))


def _levels(scans: Sequence[Scan], variance: float) -> float:
    """Each radio's levels by a Student distribution whose centre follows the last scans and whose width is learned.

    One that is far off costs no more than a scan of leaked frames; two that agree have moved the phone.
    """
    evidence = 0.0
    states: dict[int, list[float]] = {}
    for scan in scans:
        has_strayed = False
        for channel, level in scan.levels.items():
            state = states.get(channel)
            if state is None:
                evidence -= LEVEL_RANGE_COST
                states[channel] = [1.0, float(level), VARIANCE_WEIGHT, VARIANCE_WEIGHT * variance, NOWHERE]
                continue
            known, centre, degrees, squares, stray = state
            error = level - centre
            width = (squares / degrees + QUANTUM_VARIANCE) * (1.0 + 1.0 / known)
            fit = STUDENT[int(degrees)] - 0.5 * log(
                width * (1.0 + error * error / (degrees * width)) ** (degrees + 1.0)
            )
            worst = WEAKER_COST if error < 0 else STRONGER_COST
            if fit > worst:
                evidence += fit
                known = state[0] = min(MEMORY_SCANS, known + 1.0)
                state[1] = centre + error / known
                state[3] = squares + error * error * (known - 1.0) / known
                state[4] = NOWHERE
                if degrees < MOST_DEGREES:
                    state[2] = degrees + 1.0
                else:
                    state[3] *= MOST_DEGREES / (MOST_DEGREES + 1)
            elif abs(level - stray) <= MOVED_WITHIN_DB:
                evidence -= LEVEL_RANGE_COST + MOVED_COST  # a level of its own, as at first
                state[0], state[1], state[4] = 2.0, (level + stray) / 2.0, NOWHERE
            else:
                evidence += max(worst, FURTHER_COST) if has_strayed else worst
                has_strayed = True
                state[4] = float(level)
                if error > 0 and known <= 2.0:
                    state[1] = float(level)  # the first was of leaked frames
    return evidence


def _succession(scans: Sequence[Scan], habits: Habits) -> float:
    """Counters that run on, scans that overlap, addresses that come back."""
    evidence = 0.0
    counter_score = habits.counter_score if habits.same.is_kept or habits.change.is_kept else None
    before = scans[0]
    ends_us = before.last_us - TOUCH_US
    for scan in islice(scans, 1, None):
        if scan.first_us < ends_us:
            evidence -= OVERLAP_COST
        ends_us = scan.last_us - TOUCH_US
        if counter_score is not None:
            evidence += counter_score(before, scan)
        before = scan
    return evidence


def _addresses(scans: Sequence[Scan]) -> float:
    """Few are likelier than many; one that comes back after others, and global ones beside others, are unlikely."""
    addresses = {address for scan in scans for address in scan.addresses}
    evidence = -RETURN_COST * _returns(scans) if len(addresses) < sum([len(scan.addresses) for scan in scans]) else 0.0
    addresses.discard(SHARED_ADDRESS)
    evidence -= ADDRESS_COST * len(addresses)
    if True in [scan.is_global for scan in scans]:
        global_ones = sum(1 for address in addresses if not is_randomised(address))
        evidence -= GLOBAL_COST * (global_ones - 1) + (BOTH_COST if global_ones < len(addresses) else 0.0)
    return evidence


def _returns(scans: Sequence[Scan]) -> int:
    """How often an address came back after another."""
    returns = 0
    used: set[bytes] = set()
    before: tuple[bytes, ...] = ()
    for scan in scans:
        if scan.addresses != before:
            returns += sum(1 for address in scan.addresses if address in used and address not in before)
            used.update(scan.addresses)
            before = scan.addresses
    return returns


def _kinds(scans: Sequence[Scan]) -> float:
    """Kinds of scan that keep to themselves are as well two devices as one with two kinds; two kinds of hardware are two devices."""
    if len({scan.kind for scan in scans}) == 1:
        return 0.0
    counts = Counter(scan.kind for scan in scans)
    hardware = {scan.hardware for scan in scans if scan.hardware is not None}
    further = HARDWARE_COST * max(0, len(hardware) - 1) + KIND_COST * (len(counts) - 1)
    return sum(map(lgamma, counts.values())) - lgamma(len(scans)) - further


def _rhythm(scans: Sequence[Scan], habits: Habits) -> float:
    evidence = 0.0
    earlier: dict[int, list[float]] = {}
    for scan in scans:
        rhythm = habits.rhythms.get(scan.kind)
        if rhythm is None:
            continue
        time_s = scan.first_us / SECOND_US
        times = earlier.get(scan.kind)
        if times is None:
            earlier[scan.kind] = [time_s]
            continue
        score = rhythm.score(times, time_s)
        if score is not None:
            evidence += score
            times.append(time_s)
    return evidence
