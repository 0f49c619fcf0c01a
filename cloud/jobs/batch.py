"""Back-fill: the figures of a range of local dates again, of some stores or all: after a change of a preset, or where the stream was off.

It marks the days that lie in the lake and computes what is marked, so a run that is killed is finished by the next one, or by the stream.

    spark-submit batch.py --from 2026-11-01 --to 2026-11-30 --database-secret ID
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import date

from cloud.jobs.analyst import Day
from cloud.jobs.shell import OK, Parts, add_options, run
from cloud.stores.base import ObjectStore

WAIT_S = 2.0
"""While another process computes some of the days."""
_DATE = re.compile(r"/date=(\d{4}-\d\d-\d\d)/")


def days_in_lake(store: ObjectStore, sites: Iterable[str], first: str, last: str) -> list[Day]:
    """The days of these sites that something was heard of, both ends included: each batch has a row in the ledger."""
    found = {(site, _DATE.search(name)) for site in sites for name in store.names(f"ledger/site={site}/")}
    return sorted({(site, match[1]) for site, match in found if match and first <= match[1] <= last})


def backfill(options: argparse.Namespace, parts: Parts) -> int:
    """Compute the range; every day of it is newer than its mark when this returns."""
    sites = options.site or [site.site for site in parts.fleet.sites()]
    days = days_in_lake(parts.store, sites, options.first.isoformat(), options.last.isoformat())
    analyst = parts.analyst(parts.spark("ivizone-batch"))
    marked = analyst.mark(days)
    mine = analyst.marks(marked) if marked else {}
    done = figures = 0
    while mine:
        for report in analyst.analyse_dirty():
            done, figures = done + 1, figures + report.figures
        still = analyst.marks(mine)
        # A mark that is another by now was taken for data that came meanwhile: the day was computed, or is in turn.
        mine = {day: since_ms for day, since_ms in mine.items() if still.get(day) == since_ms}
        if mine:
            time.sleep(WAIT_S)
    print(f"{len(marked)} days of {len({site for site, _ in marked})} stores: {done} computed here, {figures} figures")
    return OK


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it as 2026-11-20") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The job; gives the exit code."""
    parser = argparse.ArgumentParser(prog="batch.py", description="Figures of a range of days again, by Spark.")
    parser.add_argument("--from", dest="first", type=_day, required=True, metavar="YYYY-MM-DD", help="first local date")
    parser.add_argument("--to", dest="last", type=_day, required=True, metavar="YYYY-MM-DD", help="last local date")
    parser.add_argument("--site", action="append", help="this store only; may be said again (default: all)")
    add_options(parser)
    return run(parser, backfill, arguments)


if __name__ == "__main__":
    sys.exit(main())
