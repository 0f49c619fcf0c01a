"""`ivizone-agent calibrate`: a walk inside and a walk outside give the site's own curve from level to probability (shell).

From captures every burst counts, so they should hold one walk and little else. Live, the installer first holds the phone against the access point: the
loudest device of that minute is the phone, and only bursts like its own count afterwards. Nothing of it is kept or sent.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median_low

import yaml

from agent import compose
from agent.commands import configured, fail
from agent.config import DEFAULT_PATH, Config, parse_config
from agent.dot11.captured import Heard
from agent.exit_codes import INPUT, OK, USAGE
from agent.proximity.calibration import Calibration, TooFewBursts, calibrate
from agent.secret_file import write_secret
from agent.sources.errors import SourceError
from agent.survey import Survey
from agent.tracking.bursts import Burst

AGAINST_THE_AP_DBM = -45
"""A phone in the hand beside the antenna is louder than this, one at the other end of a table is not."""
NEAR_S = 60.0


def run_calibrate(options: argparse.Namespace) -> int:
    """Fit, explain, and write where asked."""
    config = configured(options)
    if bool(options.inside) != bool(options.outside):
        return fail(
            "calibrate needs captures of both walks: --inside CAPTURE... --outside CAPTURE..., or neither to listen now",
            USAGE,
        )
    try:
        inside, outside = (
            _captured_walks(config, options) if options.inside else _live_walks(config, options.minutes * 60.0)
        )
        found = calibrate(inside, outside)
    except TooFewBursts as error:
        return fail(error, INPUT)
    _tell(found, inside, outside, config, as_json=options.json)
    if options.write:
        if not found.is_usable():
            return fail(f"nothing was written: {found.verdict()}", INPUT)
        path = options.config or DEFAULT_PATH
        _write(path, found)
        print(
            f"written to {path}; a running agent takes it on: kill -HUP, or `service ivizone-agent reload`",
            file=sys.stderr,
        )
    return OK


# --- the two walks ------------------------------------------------------------------------------------------------------


def _captured_walks(config: Config, options: argparse.Namespace) -> tuple[list[int], list[int]]:
    walks = []
    for captures in (options.inside, options.outside):
        source = compose.open_source(config, tuple(captures))
        walks.append(_levels(_bursts(config, source)))
        source.close()
    return walks[0], walks[1]


def _live_walks(config: Config, walk_s: float) -> tuple[list[int], list[int]]:
    """Three stretches of the air that is heard now."""
    if config.source.name == "pcap":  # asked before it is opened: its own complaint is of a missing capture
        raise SourceError(
            "source 'pcap' hears no walk; name captures with --inside and --outside, or set source.name to monitor"
        )
    if config.source.name == "hostapd":
        raise SourceError(
            "source 'hostapd' tells no elements, so your phone cannot be told from others; "
            "name captures with --inside and --outside, or set source.name to monitor"
        )
    source = compose.open_source(config)
    try:
        heard = iter(source)
        near = _bursts(
            config, _stretch(heard, NEAR_S, "Hold your phone against the access point, its Wi-Fi settings open")
        )
        mine = phone_of(near)
        walks = []
        for where in ("inside, everywhere a customer goes", "outside, along the street and up to the door"):
            frames = _stretch(heard, walk_s, f"Now walk {where}, the phone in your hand, its Wi-Fi settings open")
            walks.append(_levels([burst for burst in _bursts(config, frames) if burst.fingerprint == mine]))
    finally:
        source.close()
    return walks[0], walks[1]


def _stretch(heard: Iterator[Heard], duration_s: float, task: str) -> Iterator[Heard]:
    """The frames of the next seconds, after the installer was told what to do."""
    print(f"{task} ({duration_s / 60:.0f} min). Press Enter to begin.", file=sys.stderr, flush=True)
    sys.stdin.readline()
    until_s = time.monotonic() + duration_s
    for frame in heard:
        yield frame
        if time.monotonic() >= until_s:
            break
    print("done", file=sys.stderr, flush=True)


def _bursts(config: Config, frames: Iterator[Heard] | object) -> list[Burst]:
    survey = Survey(compose.tracking_settings(config), compose.proximity_settings(config))
    bursts = {id(seen.burst): seen.burst for seen in survey.walk(frames) if seen.burst is not None}  # type: ignore[arg-type]
    return list(bursts.values())


def _levels(bursts: Sequence[Burst]) -> list[int]:
    return [level for burst in bursts if (level := burst.level()) is not None]


def phone_of(bursts: Sequence[Burst]) -> int:
    """The fingerprint of the phone that was held against the access point. Raises TooFewBursts where none was so loud."""
    levels: dict[int, list[int]] = {}
    for burst in bursts:
        level = burst.level()
        if burst.fingerprint and level is not None:
            levels.setdefault(burst.fingerprint, []).append(level)
    loudest = max(((median_low(found), mark) for mark, found in levels.items() if len(found) > 1), default=(-200, 0))
    if loudest[0] < AGAINST_THE_AP_DBM:
        raise TooFewBursts(
            f"no phone was heard beside the access point (above {AGAINST_THE_AP_DBM} dBm, twice); "
            "hold it closer, its Wi-Fi settings open so that it scans, and begin again"
        )
    return loudest[1]


# --- what is said and written -------------------------------------------------------------------------------------------


def _tell(found: Calibration, inside: Sequence[int], outside: Sequence[int], config: Config, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "threshold_dbm": found.threshold_dbm,
            "slope_db": found.slope_db,
            "inside_bursts": found.inside,
            "outside_bursts": found.outside,
            "right_share": round(found.right_share, 3),
            "brier": round(found.brier, 4),
        }
        print(json.dumps(facts))
        return
    for name, levels in (("inside", inside), ("outside", outside)):
        ordered = sorted(levels)
        tenth = len(ordered) // 10
        print(
            f"{name:8} {len(levels):>4} bursts, median {median_low(ordered)} dBm, eight of ten from {ordered[tenth]} to {ordered[-1 - tenth]} dBm"
        )
    print(
        f"threshold {found.threshold_dbm:.0f} dBm: there inside and outside are equally likely (until now {config.proximity.threshold_dbm:.0f})"
    )
    print(
        f"slope     {found.slope_db} dB: so much louder, and inside is 73 % likely; twice, 88 % (until now {config.proximity.slope_db})"
    )
    print(
        f"judged    {100 * found.right_share:.0f} % of the walk's bursts on the right side, Brier score {found.brier:.3f} (a coin has 50 % and 0.25)"
    )
    print(found.verdict())
    print(f"proximity:\n  threshold_dbm: {found.threshold_dbm}\n  slope_db: {found.slope_db}")


def _write(path: Path, found: Calibration) -> None:
    """Put the curve into the configuration. Raises ConfigError."""
    existing = path.read_text() if path.exists() else ""
    parse_config(existing, path.name)
    content = yaml.safe_load(existing) or {}
    content.setdefault("proximity", {}).update({"threshold_dbm": found.threshold_dbm, "slope_db": found.slope_db})
    written = yaml.safe_dump(content, sort_keys=False)
    parse_config(written, path.name)
    write_secret(path, written.encode())
