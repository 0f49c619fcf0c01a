"""`ivizone-simulate`: writes a day as a capture, and its truth beside it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path

from simulator.capture import write_capture
from simulator.day import PRINTERS_MAX, DaySettings, simulate
from simulator.places import LAYOUTS
from simulator.walk import walk


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 ok, 2 usage, 4 the files cannot be written."""
    parser = argparse.ArgumentParser(
        prog="ivizone-simulate", description="A seeded day in a store: OUT.pcap and OUT.truth.json."
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="name of the files, without ending")
    for option in fields(DaySettings):
        kind = date.fromisoformat if option.name == "date" else type(option.default)
        parser.add_argument(
            f"--{option.name.replace('_', '-')}", type=kind, default=option.default, help=f"default {option.default}"
        )
    parser.add_argument("--walk", choices=("inside", "outside"), help="the installer's walk instead: OUT.pcap alone")
    parser.add_argument("--minutes", type=float, default=4.0, help="length of the walk, default 4")
    given = vars(parser.parse_args(arguments))
    out, where, minutes = given.pop("out"), given.pop("walk"), given.pop("minutes")
    settings = DaySettings(**given | {"date": str(given["date"])})
    mistake = mistake_in(settings) or ("" if out.name else f"{out} names no file; give a name such as day")
    if mistake:
        parser.error(mistake)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        print(_write_walk(out, settings, where, minutes) if where else _write_day(out, settings))
    except OSError as error:
        print(f"ivizone-simulate: {out}: cannot be written ({error.strerror}); name another place", file=sys.stderr)
        return 4
    return 0


def _write_day(out: Path, settings: DaySettings) -> str:
    frames, truth = simulate(settings)
    write_capture(out.with_name(out.name + ".pcap"), frames)
    out.with_name(out.name + ".truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    heard = truth["summary"]["devices_heard"]
    return f"{len(frames):,} frames of {heard:,} devices written to {out}.pcap, the truth to {out}.truth.json"


def _write_walk(out: Path, settings: DaySettings, where: str, minutes: float) -> str:
    frames = walk(settings, where, minutes)
    write_capture(out.with_name(out.name + ".pcap"), frames)
    return f"{len(frames):,} frames of a walk {where} written to {out}.pcap"


def mistake_in(settings: DaySettings) -> str:
    """What cannot be, with what is allowed; empty where nothing is wrong."""
    s = settings
    checks = (
        (s.shoppers >= 0 and s.staff >= 0, "shoppers and staff must be 0 or more"),
        (0 <= s.visitor_share <= 1, "visitor-share must be 0 to 1"),
        (0 <= s.opens_h < s.closes_h <= 24, "opens-h must come before closes-h, both within 0 to 24"),
        (
            0 <= s.printers <= PRINTERS_MAX,
            f"printers must be 0 to {PRINTERS_MAX}: each has an address of the documentation range",
        ),
        (s.layout in LAYOUTS, f"layout must be one of {', '.join(LAYOUTS)}"),
        (-720 <= s.utc_offset_min <= 840, "utc-offset-min must be -720 to 840"),
    )
    return next((text for is_right, text in checks if not is_right), "")


if __name__ == "__main__":
    sys.exit(main())
