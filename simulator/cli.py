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
from simulator.day import DaySettings, simulate


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
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    settings = DaySettings(**given | {"date": str(given["date"])})
    if not (
        settings.shoppers >= 0 and 0 <= settings.visitor_share <= 1 and 0 <= settings.opens_h < settings.closes_h <= 24
    ):
        parser.error("shoppers must be 0 or more, visitor-share 0 to 1, and opens-h before closes-h within 0 to 24")
    frames, truth = simulate(settings)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_capture(out.with_name(out.name + ".pcap"), frames)
        out.with_name(out.name + ".truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    except OSError as error:
        print(f"ivizone-simulate: {out}: cannot be written ({error.strerror}); name another place", file=sys.stderr)
        return 4
    summary = truth["summary"]
    print(
        f"{len(frames):,} frames of {summary['devices_heard']:,} devices written to {out}.pcap, the truth to {out}.truth.json"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
