"""`ivizone-agent count` and `explain`: what captures hold, without batches, keys or a network (shell)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from agent import compose
from agent.commands import configured, devices_of, report_troubles
from agent.dot11.mac import is_randomised
from agent.dot11.probe_request import ProbeRequest
from agent.sources.base import Source
from agent.survey import Survey


def count(options: argparse.Namespace) -> int:
    """How many devices the captures hold, with an interval."""
    config = configured(options)
    source = compose.open_source(config, tuple(options.captures))
    survey = Survey(compose.tracking_settings(config), compose.proximity_settings(config))
    started = time.monotonic()
    for _ in survey.walk(source):
        pass
    estimate = survey.resolve()
    seconds = time.monotonic() - started
    if options.json:
        devices = devices_of(estimate)
        summary: dict[str, Any] = {"devices": devices.pop("estimate"), **devices}
        summary |= {"frames": survey.frames, "probe_requests": survey.probe_requests, "seconds": round(seconds, 3)}
        print(json.dumps(summary))
    else:
        devices_in_words = "1 device" if estimate.devices == 1 else f"{estimate.devices:.0f} devices"
        print(f"{devices_in_words} ({estimate.low:.0f} to {estimate.high:.0f}, 90 % interval)")
        print(f"from {survey.probe_requests:,} probe requests in {survey.frames:,} frames")
    return _end_survey(source, survey)


def explain(options: argparse.Namespace) -> int:
    """One row for each frame, capture by capture, after the whole was resolved."""
    config = configured(options)
    source = compose.open_source(config, tuple(options.captures))
    survey = Survey(compose.tracking_settings(config), compose.proximity_settings(config))
    rows: list[list[tuple[Any, ...]]] = [[] for _ in options.captures]
    for seen in survey.walk(source):
        request = seen.request
        details: tuple[Any, ...]
        if isinstance(request, ProbeRequest):
            details = (seen.burst, None, is_randomised(request.address), request.rssi_dbm, request.channel)
        else:
            details = (None, request.reason, None, None, None)
        rows[seen.frame.capture].append((seen.frame.time_us, *details))
    survey.resolve()
    for capture, frames in enumerate(rows):
        for number, (time_us, burst, reason, randomised, rssi, channel) in enumerate(frames):
            share = burst.p_inside if burst else None
            row = {
                "capture": capture,
                "frame": number,
                "time": time_us / 1_000_000,
                "outcome": "probe_request" if burst else "skipped",
                "reason": reason,
                "device": burst.device() if burst else None,
                "randomised": randomised,
                "rssi_dbm": rssi,
                "channel": channel,
                "p_inside": None if share is None else round(share, 3),
            }
            print(json.dumps(row) if options.format == "ndjson" else _row_in_words(row))
    return _end_survey(source, survey)


def _row_in_words(row: dict[str, Any]) -> str:
    place = f"{row['capture']}:{row['frame']:<6} {row['time']:.6f} "
    if row["outcome"] == "skipped":
        return f"{place} skipped  {row['reason']}"
    kind = "randomised" if row["randomised"] else "global"
    level = "?" if row["rssi_dbm"] is None else row["rssi_dbm"]
    share = "?" if row["p_inside"] is None else f"{row['p_inside']:.2f}"
    return (
        f"{place} device {row['device']:<5} {kind:<10} {level} dBm  channel {row['channel'] or '?'}  p_inside {share}"
    )


def _end_survey(source: Source, survey: Survey) -> int:
    source.close()
    if survey.steps_back > 1:
        print(
            f"ivizone-agent: time went back by more than a minute {survey.steps_back:,} times. Where no clock was set so often, the frames "
            "are out of order and the count is wrong: put them in order first (reordercap, of Wireshark)",
            file=sys.stderr,
        )
    return report_troubles(list(getattr(source, "troubles", ())))
