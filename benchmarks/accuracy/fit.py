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

from benchmarks.accuracy.crossing import NO_CAPTURES, by_regret, load, loss_of, on_subsets, phones_loaded

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
        judged = on_subsets(known, CROWDS, pool)
    lowest = {name: min(map(loss_of, of_pair.values())) for name, of_pair in judged.items()}
    print(
        f"{'weight':>6} {'bonus':>6} {'loss':>6}  loss as a multiple of the subset's best, coverage: {', '.join(judged)}"
    )
    for regret, pair in by_regret(judged)[:SHOWN]:
        errors = {name: of_pair[pair] for name, of_pair in judged.items()}
        each = "  ".join(
            f"{loss_of(found) / lowest[name]:.2f} {100 * fmean(held for _, held in found.values()):.0f} %"
            for name, found in errors.items()
        )
        print(f"{pair[0]:>6} {pair[1]:>6} {regret:>6.3f}  {each}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
