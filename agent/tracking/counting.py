"""How many devices, from what each family's groupings say (core).

Identical phones that nothing tells apart cannot be counted one by one. But an air has a habit too: where those families that
can be divided hold two phones each, so do, likely, those that cannot. So the number of devices of a family has a prior that is
learned from all families heard (empirical Bayes), and the count is the median of the sum over all families.

Evidence is taken at a fifth of its face value: scans of one phone are not independent of each other (a door closes, and ten
levels change together), and groupings other than the best were not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, exp

from agent.tracking.estimate import DeviceEstimate
from agent.tracking.grouping import MOST_DEVICES

EVIDENCE_WEIGHT = 0.2
HIDDEN_BONUS = 0.3
"""Nats for each device more: the many groupings beside the best one."""
PRIOR_RATIO = 0.3
"""Before any was heard, each further phone of a family is less likely by this."""
PRIOR_FAMILIES = 1.0
"""How many families that prior is worth."""
ROUNDS = 8
MODEL_ERROR = 0.07
"""Standard deviation of a count, as a share of it, that no family knows of: phones with two sets of capabilities, devices that
share an address (docs/adr/0005-tracking.md)."""
NEGLIGIBLE = 1e-9
TAIL = 0.05
"""Probability left out on each side of the interval."""


Distribution = Mapping[int, float]
"""Number of devices -> probability."""


def family_sizes(
    curves: Sequence[Mapping[int, float]], weight: float = EVIDENCE_WEIGHT, bonus: float = HIDDEN_BONUS
) -> list[Distribution]:
    """How many devices each family has. ``curves`` give the log evidence (nats) of each number of devices."""
    first = {number: (1.0 - PRIOR_RATIO) * PRIOR_RATIO ** (number - 1) for number in range(1, MOST_DEVICES + 1)}
    likelihoods = [_likelihood(curve, weight, bonus) for curve in curves]
    prior = first
    posteriors: list[dict[int, float]] = []
    for _ in range(ROUNDS):
        posteriors = [_posterior(likelihood, prior) for likelihood in likelihoods]
        heard = {number: PRIOR_FAMILIES * share for number, share in first.items()}
        for posterior in posteriors:
            for number, share in posterior.items():
                if number <= MOST_DEVICES:
                    heard[number] += share
        whole = sum(heard.values())
        prior = {number: share / whole for number, share in heard.items()}
    return list(posteriors)


def _likelihood(curve: Mapping[int, float], weight: float, bonus: float) -> dict[int, float]:
    logs = {number: weight * log + bonus * (number - 1) for number, log in curve.items()}
    top = max(logs.values())
    return {number: exp(max(-700.0, log - top)) for number, log in logs.items()}


def _posterior(likelihood: Mapping[int, float], prior: Mapping[int, float]) -> dict[int, float]:
    smallest = prior[MOST_DEVICES]
    weights = {number: share * prior.get(number, smallest) for number, share in likelihood.items()}
    whole = sum(weights.values())
    return {number: weight / whole for number, weight in weights.items()}


def total(sizes: Iterable[Distribution]) -> Distribution:
    """How many devices all families have together, where one family's error says nothing of another's."""
    whole: dict[int, float] = {0: 1.0}
    for size in sizes:
        added: dict[int, float] = {}
        for number, share in whole.items():
            for more, probability in size.items():
                added[number + more] = added.get(number + more, 0.0) + share * probability
        whole = {number: share for number, share in added.items() if share > NEGLIGIBLE}
    return whole


def count(devices: Distribution, certain: int = 0) -> DeviceEstimate:
    """The median of ``devices``, with a 90 % interval, and ``certain`` devices more that stand for themselves."""
    median = _quantile(devices, 0.5)
    if not median + certain:
        return DeviceEstimate(0.0, 0.0, 0.0, 1.0)
    mean = sum(number * share for number, share in devices.items())
    variance = sum((number - mean) ** 2 * share for number, share in devices.items())
    blurred = _blurred(devices, MODEL_ERROR * (mean + certain))
    low = max(1.0, float(min(median, _quantile(blurred, TAIL)) + certain))
    high = float(max(median, _quantile(blurred, 1.0 - TAIL)) + certain)
    return DeviceEstimate(float(median + certain), low, high, 1.0 / (1.0 + variance / (mean + certain)))


def _quantile(devices: Distribution, share: float) -> int:
    """The least number below or at which ``share`` of the probability lies."""
    left = share * sum(devices.values())
    for number in sorted(devices):
        left -= devices[number]
        if left <= 0.0:
            return number
    return max(devices)


def _blurred(devices: Distribution, deviation: float) -> Distribution:
    """``devices`` with an independent error of this standard deviation added, in whole devices."""
    reach = ceil(3.0 * deviation)
    error = {step: exp(-0.5 * (step / deviation) ** 2) for step in range(-reach, reach + 1)} if deviation else {0: 1.0}
    whole = sum(error.values())
    return total((devices, {step: share / whole for step, share in error.items()}))
