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
from pathlib import Path
from statistics import fmean

from benchmarks.accuracy.crossing import (
    NO_CAPTURES,
    Pair,
    cases_of,
    errors_of,
    load,
    losses_of,
    phones_loaded,
    regrets_of,
    subsets,
)

CROWDS = 15
"""Of each kind and number of radios, for each subset."""
SHOWN = 8


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
    with ProcessPoolExecutor(os.cpu_count(), initializer=load, initargs=(folder,)) as pool:
        losses = losses_of(known, CROWDS, pool)
        regrets = regrets_of(losses)
        shown = sorted(regrets, key=lambda pair: (regrets[pair], pair))[:SHOWN]
        coverage: dict[str, dict[Pair, float]] = {}
        for name in losses:
            cases = cases_of(subsets(known)[name], CROWDS, pool)
            coverage[name] = {pair: fmean(held for _, held in errors_of(cases, *pair).values()) for pair in shown}
    print(
        f"{'weight':>6} {'bonus':>6} {'loss':>6}  loss as a multiple of the subset's best, coverage: {', '.join(losses)}"
    )
    for pair in shown:
        each = "  ".join(
            f"{losses[name][pair] / min(losses[name].values()):.2f} {100 * coverage[name][pair]:.0f} %"
            for name in losses
        )
        print(f"{pair[0]:>6} {pair[1]:>6} {regrets[pair]:>6.3f}  {each}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
