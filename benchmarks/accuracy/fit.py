"""Which evidence weight and hidden bonus to ship: the pair that loses least, on average, over several subsets of the phones.

    python -m benchmarks.accuracy.fit PHONES

The best pair of one set of phones is chance: the loss lies within a few percent over a long valley. So each subset's loss is told as a
multiple of the best that any pair reaches on it, and the pairs are sorted by the mean of these.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from statistics import fmean

from benchmarks.accuracy.crossing import NO_CAPTURES, cases_of, errors_of, load, loss_of, phones_loaded

WEIGHTS = (0.1, 0.12, 0.15, 0.2, 0.25, 0.3)
BONUSES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
CROWDS = 15
"""Of each kind and number of radios, for each subset."""
SHOWN = 8


def subsets(phones: list[str]) -> dict[str, list[str]]:
    """All phones; halves; two thirds."""
    middle = (len(phones) + 1) // 2
    thirds = [phones[start::3] for start in range(3)]
    return {
        "all": phones,
        "every other": phones[::2],
        "the others": phones[1::2],
        "first half": phones[:middle],
        "without a third": thirds[0] + thirds[1],
        "without another": thirds[1] + thirds[2],
        "without the last": thirds[0] + thirds[2],
    }


def main() -> int:
    """Print the best pairs; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phones", type=Path, help="folder of <model>/<start>-<mode>-ch<channel>.pcap")
    folder = parser.parse_args().phones
    load(folder)
    known = phones_loaded()
    if not known:
        print(NO_CAPTURES.format(folder), file=sys.stderr)
        return 4
    pairs = list(product(WEIGHTS, BONUSES))
    losses: dict[str, dict[tuple[float, float], float]] = {}
    coverage: dict[str, dict[tuple[float, float], float]] = {}
    with ProcessPoolExecutor(os.cpu_count(), initializer=load, initargs=(folder,)) as pool:
        for name, phones in subsets(known).items():
            cases = cases_of(phones, CROWDS, pool)
            errors = {pair: errors_of(cases, *pair) for pair in pairs}
            losses[name] = {pair: loss_of(judged) for pair, judged in errors.items()}
            coverage[name] = {pair: fmean(held for _, held in judged.values()) for pair, judged in errors.items()}
    best = {name: min(of_pair.values()) for name, of_pair in losses.items()}
    regrets = sorted((fmean(losses[name][pair] / best[name] for name in losses), pair) for pair in pairs)
    print(
        f"{'weight':>6} {'bonus':>6} {'loss':>6}  loss as a multiple of the subset's best, coverage: {', '.join(losses)}"
    )
    for regret, pair in regrets[:SHOWN]:
        each = "  ".join(f"{losses[name][pair] / best[name]:.2f} {100 * coverage[name][pair]:.0f} %" for name in losses)
        print(f"{pair[0]:>6} {pair[1]:>6} {regret:>6.3f}  {each}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
