"""`ivizone-cloud site calibrate` and `site people`: from devices to people, by hand counts and only where asked for (shell)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from cloud.domain.people import (
    COLUMNS,
    FREEDOM_BEFORE,
    UNUSUAL,
    WIDE_SCATTER,
    CountsError,
    Factor,
    read_counts,
    t90,
)
from cloud.domain.site import Site, SiteError
from cloud.fleet.people import HEARD_ENOUGH, Compared, Kept, PeopleFactors
from cloud.fleet.registry import Fleet

OK, INPUT = 0, 4
OpenDatabase = Callable[[argparse.Namespace], tuple[Engine, Callable[[], int]]]
NEWEST = -1


def add_people_commands(
    sites: Any,
    command: Callable[..., argparse.ArgumentParser],
    open_database: OpenDatabase,
    operator: Callable[[], str],
) -> None:
    """Add them to the group `site`."""

    def runs(action: Callable[..., int]) -> Callable[[argparse.Namespace], int]:
        def run(options: argparse.Namespace) -> int:
            database, now_ms = open_database(options)
            site = Fleet(database, now_ms).site(options.site)
            if site is None:
                raise SiteError(f"site {options.site!r} does not exist; `ivizone-cloud site ls` lists them")
            return action(options, site, PeopleFactors(database, now_ms), operator())

        return run

    fit = command(sites, "calibrate", runs(_calibrate), "fit the store's factor from devices to people to hand counts")
    fit.add_argument("site")
    fit.add_argument(
        "--counts", required=True, type=Path, metavar="FILE",
        help=f"CSV with the columns {','.join(COLUMNS)}: how many people came in, from one quarter-hour of the store to another",
    )  # fmt: skip
    people = command(
        sites, "people", runs(_people), "list the store's factors, and choose whether its page shows people"
    )
    people.add_argument("site")
    choice = people.add_mutually_exclusive_group()
    choice.add_argument(
        "--show", nargs="?", type=int, const=NEWEST, metavar="VERSION", help="show people by this factor (the newest)"
    )
    choice.add_argument("--hide", action="store_true", help="show devices alone")


def _calibrate(options: argparse.Namespace, site: Site, factors: PeopleFactors, by: str) -> int:
    try:
        with options.counts.open(encoding="utf-8-sig") as file:
            counts = read_counts(file, site)
        compared = factors.compare(site, counts)
        _print_compared(site, compared)
        kept = factors.calibrate(site, compared, by)
    except (CountsError, UnicodeDecodeError) as error:
        print(f"ivizone-cloud: {options.counts}: {error}", file=sys.stderr)
        return INPUT
    print("\n".join(_explained(site, kept)))
    return OK


def _print_compared(site: Site, compared: Sequence[Compared]) -> None:
    print("counted               people  devices")
    for one in compared:
        start, end = (datetime.fromtimestamp(ms / 1000, site.zone()) for ms in (one.count.start_ms, one.count.end_ms))
        heard = (
            f"{one.devices:8.0f}"
            if one.devices is not None
            else f"       - heard less than {HEARD_ENOUGH:.0%}; left out"
        )
        print(f"{start:%Y-%m-%d %H:%M}-{end:%H:%M} {one.count.people:7} {heard}")


def _explained(site: Site, kept: Kept) -> list[str]:
    """What was found, and how."""
    f = kept.factor
    freedom = FREEDOM_BEFORE + f.counts - 1
    lines = [
        f"factor {f.value:.2f} people for each visitors' device, 90 % interval {f.low:.2f} to {f.high:.2f}",
        f"computed as {f.people} people / {f.devices:.0f} devices over {f.counts} counts; the interval is that of a ratio:",
        f"its scatter from the counts themselves ({f.scatter:.1f} times chance) and from chance alone (worth {FREEDOM_BEFORE} counts),",
        f"times t = {t90(freedom):.2f} of {freedom} degrees of freedom",
    ]
    if not 1 / UNUSUAL <= f.value <= UNUSUAL:
        lines.append(
            "so many people for a device are unusual: look for a wrong number, date or hour in the file before it is shown"
        )
    if f.scatter > WIDE_SCATTER:
        lines.append(
            "the counts differ by more than chance: the factor may change with the hour; count at more times of the day and week"
        )
    lines.append(
        f"kept as version {kept.version}; nothing shows it until: ivizone-cloud site people {site.site} --show {kept.version}"
    )
    return lines


def _people(options: argparse.Namespace, site: Site, factors: PeopleFactors, by: str) -> int:
    known = factors.history(site)
    if options.hide:
        factors.show(site, None, by)
    elif options.show is not None:
        newest = known[-1].version if known else 0
        factors.show(site, newest if options.show == NEWEST else options.show, by)
    shown = factors.shown(site)
    for kept in known:
        print(
            f"{kept.version:3} {_time(kept.made_ms)} {_short(kept.factor)} {kept.made_by}{'  shown' if kept.version == shown else ''}"
        )
    if shown is None:
        print(f"the page of {site.site} shows devices; people are not shown")
    return OK


def _short(factor: Factor) -> str:
    return f"{factor.value:.2f} ({factor.low:.2f} to {factor.high:.2f}) from {factor.counts} counts of {factor.people} people"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
